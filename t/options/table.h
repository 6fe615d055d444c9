/*
 * table: the option table of a tool, made visible to t/fuzz/options.c: each file here is its tool's source with main
 * renamed, and a way back to the state before the first option.
 */
#ifndef TABLE_H
#define TABLE_H

#include "opt.h"

struct tool_table {
	const struct opt_tool *tool;
	void (*reset)(void); /* what the OPT_CALLs have gathered; the rest is put back by its pointers */
};

extern const struct tool_table jsonl_sink_table, kmock_table, kread_table, kwrite_table,
    lakecat_table, mysql_upsert_table, partition_table, txgen_table;

int jsonl_sink_main(int argc, char **argv);
int kmock_main(int argc, char **argv);
int kread_main(int argc, char **argv);
int kwrite_main(int argc, char **argv);
int lakecat_main(int argc, char **argv);
int mysql_upsert_main(int argc, char **argv);
int partition_main(int argc, char **argv);
int txgen_main(int argc, char **argv);

#endif
