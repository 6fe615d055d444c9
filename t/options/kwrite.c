#include "table.h"

#define main kwrite_main
#include "../../tools/kwrite.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	kafka_config_release(&config);
	codec = NULL;
}

const struct tool_table kwrite_table = { &tool, reset };
