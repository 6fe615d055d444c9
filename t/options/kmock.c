#include "table.h"

#define main kmock_main
#include "../../tools/kmock.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	free(topics);
	topics = NULL;
}

const struct tool_table kmock_table = { &tool, reset };
