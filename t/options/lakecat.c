#include "table.h"

#define main lakecat_main
#include "../../tools/lakecat.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	release_topics();
	memset(&options, 0, sizeof(options));
}

const struct tool_table lakecat_table = { &tool, reset };
