#include "table.h"

#define main kread_main
#include "../../tools/kread.c" /* NOLINT(bugprone-suspicious-include) */

static void reset(void)
{
	for (size_t i = 0; i < options.topics; i++)
		free(topics[i]);
	free(topics);
	free(partitions);
	topics = NULL;
	partitions = NULL;
	options.topics = options.partitions = 0;
	kafka_config_release(&config);
}

const struct table kread_table = { &tool, reset };
