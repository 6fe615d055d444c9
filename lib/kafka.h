/*
 * kafka: configuration and clients of librdkafka, and what its errors mean for a tool.
 *
 * Settings are librdkafka's own key=value, gathered in this order, a later one replacing an earlier:
 * the tool's defaults, /etc/sluice/kafka.conf, ~/.config/sluice/kafka.conf, $SLUICE_BROKERS, each
 * -F FILE, each -X, -b; last those that the tool's promise rests on (struct kafka_setting.fixed).
 * Values never appear in a message: one of them may be a password.
 */
#ifndef SLUICE_KAFKA_H
#define SLUICE_KAFKA_H

#include "log.h"
#include "opt.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

struct kafka_setting {
	const char *key, *value;
	bool fixed; /* cannot be overridden */
};

struct kafka_config {
	const char *brokers;      /* -b; points into argv */
	const char **file, **set; /* -F and -X; point into argv */
	size_t files, sets;
	bool list, dump; /* -X list, -X dump: the tool calls kafka_config_show and ends */

	struct kafka_pair { /* what was gathered, in order */
		char *key, *value, *from;
	} * pair;
	size_t pairs;
};

#define KAFKA_CONFIG_INIT                                                                          \
	{                                                                                          \
		0                                                                                  \
	}

/* The entries -b, -F and -X for a tool's option table; c is a struct kafka_config *. */
#define KAFKA_OPTIONS(c)                                                                                           \
	{ 'b', "brokers", "HOSTS", OPT_STRING, &(c)->brokers,                                                      \
		.help = "brokers, HOST[:PORT],... (default: $SLUICE_BROKERS, else localhost:9092)" },              \
	    { 'F', "config", "FILE", OPT_CALL, (c), kafka_config_file,                                             \
		    .help = "read librdkafka settings from FILE, key=value (may repeat)" },                        \
	{                                                                                                          \
		'X', "set", "KEY=VALUE", OPT_CALL, (c), kafka_config_set,                                          \
		    .help = "set a librdkafka setting (may repeat); list: print all there are; dump: those in use" \
	}

int kafka_config_file(void *config, const char *path);     /* for OPT_CALL */
int kafka_config_set(void *config, const char *key_value); /* for OPT_CALL */

/* Reads the files and the environment. 0; -1 with fail(EXIT_CONFIG) "FILE:LINE: why". */
int kafka_config_load(struct kafka_config *c);
void kafka_config_release(struct kafka_config *c);

/* The value that is in force, as it was written; NULL when nobody set it. */
const char *kafka_config_get(const struct kafka_config *c, const char *key);
const char *kafka_config_brokers(const struct kafka_config *c);

/* Prints what -X list or -X dump ask for on stdout, without secrets. EXIT_DONE, or fail()'s code. */
enum exit_code kafka_config_show(const struct kafka_config *c, const struct kafka_setting *settings,
    size_t count);

/*
 * A client: librdkafka's handle and the last thing it said went wrong. Its log lines become note()s.
 * Errors come in through rd_kafka_poll(), which the tool has to call now and then (kafka_poll).
 */
struct kafka {
	rd_kafka_t *rk;
	char brokers[512];       /* for messages */
	char why[512];           /* the last error text; "" when none */
	rd_kafka_resp_err_t err; /* the last error that tells why a broker cannot be used */
	bool all_down;           /* no broker is connected */
	bool fatal;              /* librdkafka gave up: why says it */

	/* Producers: called by kafka_poll for each message that is done. Set before kafka_open. */
	void (*delivered)(void *ctx, const rd_kafka_message_t *m);
	void *ctx;
};

/*
 * Opens k->rk. It connects in the background: no error yet when there is no broker. 0, or -1
 * with fail(EXIT_CONFIG). Nothing but `delivered` and `ctx` of *k needs to be set before. k must
 * stay where it is.
 */
int kafka_open(struct kafka *k, const struct kafka_config *c, rd_kafka_type_t type,
    const struct kafka_setting *settings, size_t count);
void kafka_close(struct kafka *k);
int kafka_poll(struct kafka *k, int timeout_ms); /* events served */

/*
 * Asks a broker for the metadata of no topic, of those the client knows, or of all. 0, *md being the
 * caller's (rd_kafka_metadata_destroy; NULL: only wait for an answer). -1 with fail(): EXIT_PERM when
 * authentication failed and EXIT_UNAVAILABLE for a TLS failure, both at once; EXIT_UNAVAILABLE when
 * nobody answered before the deadline (of clock_mono_ms). -1 too when a signal came: sig_stop().
 */
enum kafka_ask { KAFKA_ASK_NONE, KAFKA_ASK_KNOWN, KAFKA_ASK_ALL };
int kafka_metadata(struct kafka *k, enum kafka_ask ask, int64_t deadline_ms,
    const struct rd_kafka_metadata **md);

/* The exit code that an error of librdkafka stands for. */
enum exit_code kafka_exit_code(rd_kafka_resp_err_t err);

/* Whether it may pass by itself: a broker restarting, a leader moving, metadata still spreading. */
bool kafka_transient(rd_kafka_resp_err_t err);

/* Said of what is not there, but also of a topic that is new and by a broker that has just started. */
bool kafka_unknown(rd_kafka_resp_err_t err);

/* fail(): no broker answers; names them and librdkafka's last reason. Returns -1. */
int kafka_fail_unreachable(const struct kafka *k);

/*
 * In place of a time, rd_kafka_offsets_for_times takes ListOffsets' own numbers for the ends of the log:
 * one request per leader for any number of partitions. Under read_committed the end is the last
 * stable offset.
 */
#define KAFKA_LOG_END   (-1)
#define KAFKA_LOG_START (-2)

/* rd_kafka_offsets_for_times(), but that one partition's error is the answer, too. */
rd_kafka_resp_err_t kafka_ask_offsets(struct kafka *k, rd_kafka_topic_partition_list_t *list,
    int timeout_ms);

/*
 * The partition that err, the answer to all of the list, is about: librdkafka does not say, so each is asked for by
 * itself. NULL: none fails in this way any more.
 */
const rd_kafka_topic_partition_t *kafka_culprit(struct kafka *k,
    const rd_kafka_topic_partition_list_t *list, rd_kafka_resp_err_t err, int timeout_ms);

/* Begins to fetch from an absolute offset into the queue. 0 or -1 with fail(). */
int kafka_start(rd_kafka_topic_t *rkt, int32_t partition, int64_t offset, rd_kafka_queue_t *queue);

#endif
