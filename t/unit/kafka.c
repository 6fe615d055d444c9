/*
 * kafka: settings and their order, error classes, without a broker.
 * The library's headers first: cmocka.h has a macro named fail.
 */
#include "kafka.h"
#include "clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- settings ---- */

static char dir[] = "/tmp/sluice-kafka-XXXXXX";
static char file[100];

static int make_dir(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/kafka.conf", dir);
	setenv("XDG_CONFIG_HOME", dir, 1);
	unsetenv("SLUICE_BROKERS");
	return 0;
}

static int remove_dir(void **state)
{
	unlink(file);
	return rmdir(dir);
}

static void write_file(const char *text, size_t n)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static int load(struct kafka_config *c, const char *text)
{
	*c = (struct kafka_config)KAFKA_CONFIG_INIT;
	write_file(text, strlen(text));
	kafka_config_file(c, file);
	return kafka_config_load(c);
}

static void later_settings_replace_earlier_ones(void **state)
{
	struct kafka_config c;

	assert_int_equal(load(&c, ""), 0);
	assert_string_equal(kafka_config_brokers(&c), "localhost:9092");
	kafka_config_release(&c);

	setenv("SLUICE_BROKERS", "env:1", 1);
	assert_int_equal(load(&c, ""), 0);
	assert_string_equal(kafka_config_brokers(&c), "env:1");
	kafka_config_release(&c);

	assert_int_equal(load(&c, "bootstrap.servers=file:1\nx=1\nx=2\n"), 0);
	assert_string_equal(kafka_config_brokers(&c), "file:1");
	assert_string_equal(kafka_config_get(&c, "x"), "2");
	assert_null(kafka_config_get(&c, "y"));
	kafka_config_release(&c);

	c = (struct kafka_config)KAFKA_CONFIG_INIT;
	write_file("bootstrap.servers=file:1\n", 25);
	kafka_config_file(&c, file);
	assert_int_equal(kafka_config_set(&c, "metadata.broker.list=set:1"), 0);
	assert_int_equal(kafka_config_load(&c), 0);
	assert_string_equal(kafka_config_brokers(&c), "set:1");
	kafka_config_release(&c);

	c = (struct kafka_config)KAFKA_CONFIG_INIT;
	kafka_config_set(&c, "bootstrap.servers=set:1");
	c.brokers = "option:1";
	assert_int_equal(kafka_config_load(&c), 0);
	assert_string_equal(kafka_config_brokers(&c), "option:1");
	kafka_config_release(&c);
	unsetenv("SLUICE_BROKERS");
}

static void lines_are_key_value_comments_or_blank(void **state)
{
	struct kafka_config c;

	assert_int_equal(load(&c, "# k=v\n\n \t \n a = b = c \r\n  # d=e\nempty=\nlast=1"), 0);
	assert_string_equal(kafka_config_get(&c, "a"), "b = c");
	assert_string_equal(kafka_config_get(&c, "empty"), "");
	assert_string_equal(kafka_config_get(&c, "last"), "1");
	assert_null(kafka_config_get(&c, "# k"));
	assert_null(kafka_config_get(&c, "d"));
	kafka_config_release(&c);
}

static void a_bad_line_is_named_but_not_shown(void **state)
{
	static const char *const bad[] = { "a=b\nhunter2\n", "a=b\n=hunter2\n",
		"a=b\n  sasl.password hunter2" };
	struct kafka_config c;
	char expected[200];

	snprintf(expected, sizeof(expected), "%s:2: ", file);
	for (size_t i = 0; i < OPT_COUNT(bad); i++) {
		assert_int_equal(load(&c, bad[i]), -1);
		assert_int_equal(fail_code(), EXIT_CONFIG);
		assert_memory_equal(fail_message(), expected, strlen(expected));
		assert_null(strstr(fail_message(), "hunter2"));
		kafka_config_release(&c);
	}
}

static void settings_that_do_not_exist_are_refused(void **state)
{
	struct kafka k = { 0 };
	struct kafka_config c;

	assert_int_equal(load(&c, "client.id=a\nsasl.pasword=hunter2\n"), 0);
	assert_int_equal(kafka_open(&k, &c, RD_KAFKA_CONSUMER, NULL, 0), -1);
	assert_int_equal(fail_code(), EXIT_CONFIG);
	assert_non_null(strstr(fail_message(), ":2: sasl.pasword: there is no such setting"));
	assert_null(strstr(fail_message(), "hunter2"));
	kafka_config_release(&c);
}

static void a_setting_may_have_the_prefix_that_kcat_gives_it(void **state)
{
	struct kafka k = { 0 };
	struct kafka_config c;

	assert_int_equal(load(&c, "topic.auto.offset.reset=error\nbootstrap.servers=127.0.0.1:1\n"), 0);
	assert_int_equal(kafka_open(&k, &c, RD_KAFKA_CONSUMER, NULL, 0), 0);
	kafka_close(&k);
	kafka_config_release(&c);
	assert_int_equal(load(&c, "topic.nosuch=1\n"), 0);
	assert_int_equal(kafka_open(&k, &c, RD_KAFKA_CONSUMER, NULL, 0), -1);
	assert_non_null(strstr(fail_message(), ":1: topic.nosuch: there is no such setting"));
	kafka_config_release(&c);
}

static void nothing_is_shown_of_settings_that_are_wrong(void **state)
{
	struct kafka_config c;

	assert_int_equal(load(&c, "fetch.max.bytes=-1\n"), 0);
	c.dump = true;
	assert_int_equal(kafka_config_show(&c, NULL, 0), EXIT_CONFIG);
	assert_non_null(strstr(fail_message(), ":1: fetch.max.bytes: "));
	kafka_config_release(&c);
}

static const char *in_use(struct kafka *k, const char *key)
{
	static char value[200];
	size_t size = sizeof(value);

	assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(k->rk), key, value, &size), RD_KAFKA_CONF_OK);
	return value;
}

static void fixed_settings_win_and_defaults_yield(void **state)
{
	const struct kafka_setting settings[] = { { "client.id", "default", false },
		{ "socket.nagle.disable", "true", false }, { "enable.auto.commit", "false", true } };
	struct kafka k = { 0 };
	struct kafka_config c;

	assert_int_equal(load(&c, "client.id=mine\nenable.auto.commit=true\nbootstrap.servers=127.0.0.1:1\n"),
	    0);
	assert_int_equal(kafka_open(&k, &c, RD_KAFKA_CONSUMER, settings, OPT_COUNT(settings)), 0);
	assert_string_equal(in_use(&k, "client.id"), "mine");
	assert_string_equal(in_use(&k, "socket.nagle.disable"), "true");
	assert_string_equal(in_use(&k, "enable.auto.commit"), "false");
	kafka_close(&k);
	kafka_config_release(&c);
}

static void nobody_listening_is_told_in_time(void **state)
{
	struct kafka k = { 0 };
	struct kafka_config c;

	assert_int_equal(load(&c, "bootstrap.servers=127.0.0.1:1\n"), 0);
	assert_int_equal(kafka_open(&k, &c, RD_KAFKA_CONSUMER, NULL, 0), 0);
	assert_int_equal(kafka_metadata(&k, KAFKA_ASK_NONE, clock_mono_ms() + 500, NULL), -1);
	assert_int_equal(fail_code(), EXIT_UNAVAILABLE);
	assert_non_null(strstr(fail_message(), "127.0.0.1:1: no answer"));
	assert_non_null(strstr(fail_message(), "refused"));
	kafka_close(&k);
	kafka_config_release(&c);
}

static void who_refuses_us_is_not_just_silent(void **state)
{
	struct kafka k = { .brokers = "b:9092", .why = "wrong password", .all_down = true };

	k.err = RD_KAFKA_RESP_ERR__AUTHENTICATION;
	assert_int_equal(kafka_fail_unreachable(&k), -1);
	assert_int_equal(fail_code(), EXIT_PERM);
	assert_string_equal(fail_message(), "b:9092: wrong password");
}

/* ---- errors ---- */

static void errors_have_the_exit_code_of_their_kind(void **state)
{
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR__AUTHENTICATION), EXIT_PERM);
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), EXIT_PERM);
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), EXIT_CONFIG);
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE), EXIT_DATA);
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR__BAD_MSG), EXIT_DATA);
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR__TRANSPORT), EXIT_UNAVAILABLE);
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR__SSL), EXIT_UNAVAILABLE);
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR__FENCED), EXIT_TRYAGAIN);
	assert_int_equal(kafka_exit_code(RD_KAFKA_RESP_ERR_NO_ERROR), EXIT_DONE);
	assert_true(kafka_transient(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION));
	assert_true(kafka_transient(RD_KAFKA_RESP_ERR__TRANSPORT));
	assert_false(kafka_transient(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED));
	assert_false(kafka_transient(RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_settings_replace_earlier_ones),
		cmocka_unit_test(lines_are_key_value_comments_or_blank),
		cmocka_unit_test(a_bad_line_is_named_but_not_shown),
		cmocka_unit_test(settings_that_do_not_exist_are_refused),
		cmocka_unit_test(a_setting_may_have_the_prefix_that_kcat_gives_it),
		cmocka_unit_test(nothing_is_shown_of_settings_that_are_wrong),
		cmocka_unit_test(who_refuses_us_is_not_just_silent),
		cmocka_unit_test(fixed_settings_win_and_defaults_yield),
		cmocka_unit_test(nobody_listening_is_told_in_time),
		cmocka_unit_test(errors_have_the_exit_code_of_their_kind),
	};

	return cmocka_run_group_tests_name("kafka", tests, make_dir, remove_dir);
}
