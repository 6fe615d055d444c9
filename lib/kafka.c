#include "kafka.h"

#include "buf.h"
#include "clock.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_CONFIG  "/etc/sluice/kafka.conf"
#define USER_CONFIG    "sluice/kafka.conf" /* below $XDG_CONFIG_HOME or ~/.config */
#define DEFAULT_BROKER "localhost:9092"
#define BROKERS        "bootstrap.servers"

/* ---- gathering ---- */

int kafka_config_file(void *config, const char *path)
{
	struct kafka_config *c = config;

	c->file = xrealloc(c->file, (c->files + 1) * sizeof(*c->file));
	c->file[c->files++] = path;
	return 0;
}

int kafka_config_set(void *config, const char *key_value)
{
	struct kafka_config *c = config;

	if (strcmp(key_value, "list") == 0) {
		c->list = true;
		return 0;
	}
	if (strcmp(key_value, "dump") == 0) {
		c->dump = true;
		return 0;
	}
	if (!strchr(key_value, '=') || key_value[0] == '=')
		return fail(EXIT_USAGE, "not KEY=VALUE");
	c->set = xrealloc(c->set, (c->sets + 1) * sizeof(*c->set));
	c->set[c->sets++] = key_value;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static void add_pair(struct kafka_config *c, struct span key, struct span value, const char *from)
{
	if (span_is(key, "metadata.broker.list")) /* its old name */
		key = SPAN(BROKERS);
	c->pair = xrealloc(c->pair, (c->pairs + 1) * sizeof(*c->pair));
	c->pair[c->pairs++] = (struct kafka_pair){ xstrndup(key.p, key.n),
		xstrndup(value.p, value.n), xstrdup(from) };
}

/* A line of kcat's format: key=value, a # comment or blank. Never quotes the line: it may be a secret. */
static int read_line(struct kafka_config *c, struct span line, const char *from)
{
	const char *eq;
	struct span key;

	line = trim(line);
	if (line.n == 0 || line.p[0] == '#')
		return 0;
	if (memchr(line.p, '\0', line.n))
		return fail(EXIT_CONFIG, "%s: a NUL byte", from);
	eq = memchr(line.p, '=', line.n);
	if (!eq)
		return fail(EXIT_CONFIG, "%s: not key=value", from);
	key = trim((struct span){ line.p, (size_t)(eq - line.p) });
	if (key.n == 0)
		return fail(EXIT_CONFIG, "%s: no key before =", from);
	add_pair(c, key, trim((struct span){ eq + 1, line.n - (size_t)(eq + 1 - line.p) }), from);
	return 0;
}

static int read_config(struct kafka_config *c, const char *path, bool must)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum line_result got = LINE_EOF;
	struct buf from = BUF_INIT;
	struct reader r;
	struct span line;
	int result = 0;

	if (fd < 0) {
		if (!must && (errno == ENOENT || errno == ENOTDIR))
			return 0;
		return fail_errno(errno == EACCES ? EXIT_PERM : EXIT_CONFIG, "%s", path);
	}
	reader_init(&r, fd, path, NULL);
	while (result == 0 && ((got = reader_line(&r, &line, -1)) == LINE_OK || got == LINE_TAIL)) {
		buf_clear(&from);
		buf_addf(&from, "%s:%llu", path, (unsigned long long)r.lines);
		result = read_line(c, line, buf_cstr(&from));
	}
	if (got == LINE_FAIL)
		result = fail(EXIT_CONFIG, "%s", fail_message());
	buf_release(&from);
	reader_release(&r);
	close(fd);
	return result;
}

static int read_user_config(struct kafka_config *c)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	struct buf path = BUF_INIT;
	int result = 0;

	if (xdg && xdg[0] == '/')
		buf_addf(&path, "%s/" USER_CONFIG, xdg);
	else if (home && *home)
		buf_addf(&path, "%s/.config/" USER_CONFIG, home);
	if (path.len > 0)
		result = read_config(c, buf_cstr(&path), false);
	buf_release(&path);
	return result;
}

static void add_brokers(struct kafka_config *c, const char *hosts, const char *from)
{
	if (hosts && *hosts)
		add_pair(c, SPAN(BROKERS), (struct span){ hosts, strlen(hosts) }, from);
}

int kafka_config_load(struct kafka_config *c)
{
	add_brokers(c, DEFAULT_BROKER, "default");
	if (read_config(c, SYSTEM_CONFIG, false) < 0 || read_user_config(c) < 0)
		return -1;
	add_brokers(c, getenv("SLUICE_BROKERS"), "$SLUICE_BROKERS");
	for (size_t i = 0; i < c->files; i++)
		if (read_config(c, c->file[i], true) < 0)
			return -1;
	for (size_t i = 0; i < c->sets; i++) {
		const char *eq = strchr(c->set[i], '=');

		add_pair(c, (struct span){ c->set[i], (size_t)(eq - c->set[i]) },
		    (struct span){ eq + 1, strlen(eq + 1) }, "-X");
	}
	add_brokers(c, c->brokers, "-b");
	return 0;
}

void kafka_config_release(struct kafka_config *c)
{
	for (size_t i = 0; i < c->pairs; i++) {
		free(c->pair[i].key);
		free(c->pair[i].value);
		free(c->pair[i].from);
	}
	free(c->pair);
	free(c->file);
	free(c->set);
	*c = (struct kafka_config)KAFKA_CONFIG_INIT;
}

const char *kafka_config_get(const struct kafka_config *c, const char *key)
{
	for (size_t i = c->pairs; i-- > 0;)
		if (strcmp(c->pair[i].key, key) == 0)
			return c->pair[i].value;
	return NULL;
}

const char *kafka_config_brokers(const struct kafka_config *c)
{
	const char *brokers = kafka_config_get(c, BROKERS);

	return brokers ? brokers : DEFAULT_BROKER;
}

/* ---- librdkafka's configuration ---- */

static bool is_secret(const char *key)
{
	static const char *const word[] = { "password", "secret", ".pem", "oauthbearer.config", "jaas" };

	for (size_t i = 0; i < OPT_COUNT(word); i++)
		if (strstr(key, word[i]))
			return true;
	return false;
}

static int set_pair(rd_kafka_conf_t *conf, const struct kafka_pair *p)
{
	char why[512];
	rd_kafka_conf_res_t r = rd_kafka_conf_set(conf, p->key, p->value, why, sizeof(why));

	/* kcat takes topic.NAME too for what librdkafka calls topic configuration. */
	if (r == RD_KAFKA_CONF_UNKNOWN && strncmp(p->key, "topic.", 6) == 0)
		r = rd_kafka_conf_set(conf, p->key + 6, p->value, why, sizeof(why));
	if (r == RD_KAFKA_CONF_OK)
		return 0;
	if (r == RD_KAFKA_CONF_UNKNOWN)
		return fail(EXIT_CONFIG, "%s: %s: there is no such setting", p->from, p->key);
	if (is_secret(p->key))
		return fail(EXIT_CONFIG, "%s: %s: not a value that it can have", p->from, p->key);
	return fail(EXIT_CONFIG, "%s: %s: %s", p->from, p->key, why);
}

static int set_all(rd_kafka_conf_t *conf, const struct kafka_setting *s, size_t count, bool fixed)
{
	char why[512];

	for (size_t i = 0; i < count; i++)
		if (s[i].fixed == fixed &&
		    rd_kafka_conf_set(conf, s[i].key, s[i].value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
			return fail(EXIT_CONFIG, "%s: %s", s[i].key, why);
	return 0;
}

static rd_kafka_conf_t *make_conf(const struct kafka_config *c,
    const struct kafka_setting *settings, size_t count)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	int result = set_all(conf, settings, count, false);

	for (size_t i = 0; result == 0 && i < c->pairs; i++)
		result = set_pair(conf, &c->pair[i]);
	if (result == 0)
		result = set_all(conf, settings, count, true);
	if (result < 0) {
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	return conf;
}

enum exit_code kafka_config_show(const struct kafka_config *c, const struct kafka_setting *settings,
    size_t count)
{
	rd_kafka_conf_t *conf;
	const char **entry;
	size_t entries;

	if (c->list) {
		rd_kafka_conf_properties_show(stdout);
	} else {
		conf = make_conf(c, settings, count);
		if (!conf)
			return fail_code();
		entry = rd_kafka_conf_dump(conf, &entries);
		for (size_t i = 0; i + 1 < entries; i += 2)
			printf("%s = %s\n", entry[i], is_secret(entry[i]) ? "[set]" : entry[i + 1]);
		rd_kafka_conf_dump_free(entry, entries);
		rd_kafka_conf_destroy(conf);
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fail_errno(EXIT_IO, "stdout");
		return EXIT_IO;
	}
	return EXIT_DONE;
}

/* ---- clients ---- */

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	note("librdkafka: %s: %s", facility, text);
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	struct kafka *k = opaque;

	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		k->all_down = true; /* why was said by the errors before it */
		return;
	}
	if (err == RD_KAFKA_RESP_ERR__FATAL) {
		k->fatal = true;
		rd_kafka_fatal_error(rk, k->why, sizeof(k->why));
	} else {
		snprintf(k->why, sizeof(k->why), "%s", reason);
	}
	k->err = err;
	note("librdkafka: %s", reason);
}

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka *k = opaque;

	k->delivered(k->ctx, m);
}

int kafka_open(struct kafka *k, const struct kafka_config *c, rd_kafka_type_t type,
    const struct kafka_setting *settings, size_t count)
{
	rd_kafka_conf_t *conf = make_conf(c, settings, count);
	char why[512];

	if (!conf)
		return -1;
	k->why[0] = '\0';
	k->err = RD_KAFKA_RESP_ERR_NO_ERROR;
	k->all_down = k->fatal = false;
	snprintf(k->brokers, sizeof(k->brokers), "%s", kafka_config_brokers(c));
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	if (k->delivered)
		rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
	rd_kafka_conf_set_opaque(conf, k);
	k->rk = rd_kafka_new(type, conf, why, sizeof(why));
	if (k->rk)
		return 0;
	rd_kafka_conf_destroy(conf);
	return fail(EXIT_CONFIG, "Kafka: %s", why);
}

void kafka_close(struct kafka *k)
{
	if (k->rk)
		rd_kafka_destroy(k->rk);
	k->rk = NULL;
}

int kafka_poll(struct kafka *k, int timeout_ms)
{
	return rd_kafka_poll(k->rk, timeout_ms);
}

/* A broker that refuses us will do so again: there is no point in waiting for the deadline. */
static int check_refused(const struct kafka *k)
{
	if (k->all_down && k->err == RD_KAFKA_RESP_ERR__AUTHENTICATION)
		return fail(EXIT_PERM, "%s: %s", k->brokers, k->why);
	if (k->all_down && k->err == RD_KAFKA_RESP_ERR__SSL)
		return fail(EXIT_UNAVAILABLE, "%s: %s", k->brokers, k->why);
	return 0;
}

int kafka_fail_unreachable(const struct kafka *k)
{
	if (check_refused(k) < 0)
		return -1;
	return fail(EXIT_UNAVAILABLE, "%s: no answer from Kafka in time%s%s", k->brokers,
	    k->why[0] ? ": " : "", k->why);
}

int kafka_metadata(struct kafka *k, enum kafka_ask ask, int64_t deadline_ms,
    const struct rd_kafka_metadata **md)
{
	const struct rd_kafka_metadata *got;
	int64_t slice = 250;

	/*
	 * The call cannot be interrupted, so it is made in slices: of growing length, because a busy
	 * broker may need seconds for a long list.
	 */
	while (!sig_stop()) {
		int64_t left = deadline_ms - clock_mono_ms();
		rd_kafka_resp_err_t err;

		if (left <= 0)
			return kafka_fail_unreachable(k);
		err = rd_kafka_metadata(k->rk, ask == KAFKA_ASK_ALL, NULL, &got,
		    (int)(left < slice ? left : slice));
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
			k->all_down = false;
			if (md)
				*md = got;
			else
				rd_kafka_metadata_destroy(got);
			return 0;
		}
		kafka_poll(k, 0);
		if (check_refused(k) < 0)
			return -1;
		if (!kafka_transient(err))
			return fail(kafka_exit_code(err), "%s: %s", k->brokers, rd_kafka_err2str(err));
		if (slice < 4000) /* a signal has to wait so long */
			slice *= 2;
	}
	return fail(EXIT_INT, "interrupted");
}

rd_kafka_resp_err_t kafka_ask_offsets(struct kafka *k, rd_kafka_topic_partition_list_t *list,
    int timeout_ms)
{
	rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(k->rk, list, timeout_ms);

	for (int i = 0; !err && i < list->cnt; i++)
		err = list->elems[i].err;
	return err;
}

static rd_kafka_resp_err_t ask_for_one(struct kafka *k, const rd_kafka_topic_partition_t *p,
    int timeout_ms)
{
	rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t err;

	rd_kafka_topic_partition_list_add(one, p->topic, p->partition)->offset = KAFKA_LOG_END;
	err = kafka_ask_offsets(k, one, timeout_ms);
	rd_kafka_topic_partition_list_destroy(one);
	return err;
}

const rd_kafka_topic_partition_t *kafka_culprit(struct kafka *k,
    const rd_kafka_topic_partition_list_t *list, rd_kafka_resp_err_t err, int timeout_ms)
{
	rd_kafka_resp_err_t answer = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (list->cnt == 1)
		return &list->elems[0];
	for (int i = 0; i < list->cnt && !kafka_transient(answer); i++) {
		answer = ask_for_one(k, &list->elems[i], timeout_ms);
		if (answer == err)
			return &list->elems[i];
	}
	return NULL;
}

int kafka_start(rd_kafka_topic_t *rkt, int32_t partition, int64_t offset, rd_kafka_queue_t *queue)
{
	rd_kafka_resp_err_t err;

	if (rd_kafka_consume_start_queue(rkt, partition, offset, queue) == 0)
		return 0;
	err = rd_kafka_last_error();
	return fail(kafka_exit_code(err), "%s/%" PRId32 ": offset %" PRId64 ": %s",
	    rd_kafka_topic_name(rkt), partition, offset, rd_kafka_err2str(err));
}

/* ---- errors ---- */

bool kafka_unknown(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	    err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

bool kafka_transient(rd_kafka_resp_err_t err)
{
	switch (err) {
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__RESOLVE:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
	case RD_KAFKA_RESP_ERR__WAIT_CACHE:
	case RD_KAFKA_RESP_ERR__WAIT_COORD:
	case RD_KAFKA_RESP_ERR__OUTDATED:
	case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
	case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
	case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
	case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
	case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
	case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
	case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
	case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
	case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
	case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_PREFERRED_LEADER_NOT_AVAILABLE:
		return true;
	default:
		return false;
	}
}

enum exit_code kafka_exit_code(rd_kafka_resp_err_t err)
{
	switch (err) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return EXIT_DONE;
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
		return EXIT_PERM;
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR__INVALID_ARG:
	case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS:
	case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
		return EXIT_CONFIG;
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR__BAD_MSG:
	case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
		return EXIT_DATA;
	case RD_KAFKA_RESP_ERR__FENCED:
	case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
	case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
		return EXIT_TRYAGAIN;
	default:
		return EXIT_UNAVAILABLE;
	}
}
