#include "table.h"

#define main partition_main
#include "../../tools/partition.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	clock_zone("UTC");
}

const struct tool_table partition_table = { &tool, reset };
