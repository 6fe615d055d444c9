#include "table.h"

#define main kread_main
#include "../../tools/kread.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	plan_options_release(&options);
	kafka_config_release(&config);
}

const struct tool_table kread_table = { &tool, reset };
