#include "table.h"

#define main mysql_upsert_main
#include "../../tools/mysql-upsert.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	memset(&o, 0, sizeof(o));
}

const struct tool_table mysql_upsert_table = { &tool, reset };
