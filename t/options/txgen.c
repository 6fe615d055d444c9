#include "table.h"

#define main txgen_main
#include "../../tools/txgen.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	seed = 1;
}

const struct tool_table txgen_table = { &tool, reset };
