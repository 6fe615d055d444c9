#include "table.h"

#define main jsonl_sink_main
#include "../../tools/jsonl-sink.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	memset(&o, 0, sizeof(o));
}

const struct tool_table jsonl_sink_table = { &tool, reset };
