#include "io.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"

/* ---- reader ---- */

/* A file of these bytes, read from its start. */
static int file_of(const void *p, size_t n)
{
	char name[] = "/tmp/sluice-io-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write_all(fd, p, n), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void assert_line(struct reader *r, const char *text)
{
	struct span line;

	assert_int_equal(reader_line(r, &line, -1), LINE_OK);
	assert_int_equal(line.n, strlen(text));
	assert_memory_equal(line.p, text, line.n);
}

/* The cap is LINE_MAX_BYTES; t/long-line.t tries that one. */
static void a_line_over_the_cap_is_bad_data(void **state)
{
	static const char *const text[] = { "123456\n", "123456", "1\n123456\n7\n", "12345\n123456" };
	struct span line;

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		enum line_result got = LINE_OK;
		struct reader r;

		reader_init(&r, file_of(text[i], strlen(text[i])), "stdin", NULL);
		r.max = 5;
		while (got == LINE_OK)
			got = reader_line(&r, &line, -1);
		assert_int_equal(got, LINE_FAIL);
		assert_int_equal(fail_code(), EXIT_DATA);
		assert_string_equal(fail_message(),
		    i < 2 ? "stdin:1: longer than 5 bytes" : "stdin:2: longer than 5 bytes");
		close(r.fd);
		reader_release(&r);
	}
}

static void a_line_as_long_as_the_cap_is_none(void **state)
{
	static const char text[] = "12345\n\n12345";
	struct span line;
	struct reader r;

	reader_init(&r, file_of(text, sizeof(text) - 1), "stdin", NULL);
	assert_true(r.max == LINE_MAX_BYTES);
	r.max = 5;
	assert_line(&r, "12345");
	assert_line(&r, "");
	assert_int_equal(reader_line(&r, &line, -1), LINE_TAIL);
	assert_true(span_is(line, "12345"));
	close(r.fd);
	reader_release(&r);
}

static void lines_come_without_newline_and_are_counted(void **state)
{
	static const char text[] = "one\n\nthree\r\nf\0ur\n";
	struct span line;
	struct reader r;

	reader_init(&r, file_of(text, sizeof(text) - 1), "stdin", NULL);
	assert_line(&r, "one");
	assert_int_equal(r.lines, 1);
	assert_line(&r, "");
	assert_line(&r, "three\r");
	assert_int_equal(reader_line(&r, &line, -1), LINE_OK);
	assert_true(span_eq(line, SPAN("f\0ur")));
	assert_int_equal(r.lines, 4);
	assert_int_equal(reader_line(&r, &line, -1), LINE_EOF);
	assert_int_equal(reader_line(&r, &line, -1), LINE_EOF);
	assert_int_equal(r.bytes, sizeof(text) - 1);
	close(r.fd);
	reader_release(&r);
}

static void a_last_line_without_newline_is_told_apart(void **state)
{
	struct span line;
	struct reader r;

	reader_init(&r, file_of("one\ntail", 8), "stdin", NULL);
	assert_line(&r, "one");
	assert_int_equal(reader_line(&r, &line, -1), LINE_TAIL);
	assert_true(span_is(line, "tail"));
	assert_int_equal(r.lines, 2);
	assert_int_equal(reader_line(&r, &line, -1), LINE_EOF);
	close(r.fd);
	reader_release(&r);
}

static void empty_input_has_no_line(void **state)
{
	struct span line;
	struct reader r;

	reader_init(&r, file_of("", 0), "stdin", NULL);
	assert_int_equal(reader_line(&r, &line, -1), LINE_EOF);
	assert_int_equal(r.lines, 0);
	close(r.fd);
	reader_release(&r);
}

/* Lines of every length around the block size, one after the other, with padding that may be read. */
static void lines_of_any_length_survive_block_borders(void **state)
{
	static const size_t lengths[] = { 0, 1, 63, 64, 65, 262079, 262080, 262143, 262144, 262145,
		300000, 524287, 524288, 524289, 5000000, 3, 262144, 1 };
	struct buf text = BUF_INIT;
	struct reader r;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (size_t k = 0; k < lengths[i]; k++)
			buf_add_char(&text, (char)('a' + (k * 31 + i) % 26));
		buf_add_char(&text, '\n');
	}
	reader_init(&r, file_of(text.data, text.len), "stdin", NULL);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct span line;
		volatile char sum = 0;

		assert_int_equal(reader_line(&r, &line, -1), LINE_OK);
		assert_int_equal(line.n, lengths[i]);
		for (size_t k = 0; k < line.n; k++)
			if (line.p[k] != (char)('a' + (k * 31 + i) % 26))
				fail_msg("line %zu, byte %zu", i, k);
		for (size_t k = 0; k < READ_PAD; k++) /* the address sanitizer watches */
			sum = (char)(sum + line.p[line.n + k]);
	}
	close(r.fd);
	reader_release(&r);
	buf_release(&text);
}

static void a_deadline_passes_and_nothing_is_lost(void **state)
{
	struct span line;
	struct reader r;
	int64_t before;
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	reader_init(&r, fd[0], "stdin", NULL);
	assert_int_equal(write(fd[1], "hal", 3), 3);
	before = clock_mono_ms();
	assert_int_equal(reader_line(&r, &line, before + 50), LINE_WAIT);
	assert_in_range(clock_mono_ms() - before, 49, 5000);
	assert_int_equal(write(fd[1], "f\nnext\n", 7), 7);
	assert_line(&r, "half");
	assert_false(reader_empty(&r));
	assert_line(&r, "next");
	assert_true(reader_empty(&r));
	close(fd[1]);
	assert_int_equal(reader_line(&r, &line, -1), LINE_EOF);
	close(fd[0]);
	reader_release(&r);
}

static void a_deadline_that_is_over_still_takes_what_is_there(void **state)
{
	struct reader r;
	struct span line;
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	reader_init(&r, fd[0], "stdin", NULL);
	assert_int_equal(write(fd[1], "a\nb\n", 4), 4);
	assert_int_equal(reader_line(&r, &line, 0), LINE_OK);
	assert_int_equal(reader_line(&r, &line, 0), LINE_OK);
	assert_int_equal(reader_line(&r, &line, 0), LINE_WAIT);
	close(fd[0]);
	close(fd[1]);
	reader_release(&r);
}

static void the_tied_writer_is_flushed_before_waiting(void **state)
{
	struct span line;
	struct reader r;
	struct writer w;
	char got[10];
	int in[2], out[2];

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	writer_init(&w, out[1], 0);
	reader_init(&r, in[0], "stdin", &w);
	buf_add_str(&w.buf, "answer\n");
	assert_int_equal(write(in[1], "x\n", 2), 2);
	assert_int_equal(reader_line(&r, &line, -1), LINE_OK);
	assert_int_equal(w.buf.len, 7); /* there was input: no need to flush */
	assert_int_equal(reader_line(&r, &line, clock_mono_ms() + 20), LINE_WAIT);
	assert_int_equal(w.buf.len, 0);
	assert_int_equal(read(out[0], got, sizeof(got)), 7);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
	reader_release(&r);
	writer_release(&w);
}

static void a_read_error_is_named(void **state)
{
	struct span line;
	struct reader r;

	reader_init(&r, open("/tmp", O_RDONLY | O_DIRECTORY), "some/file", NULL);
	assert_int_equal(reader_line(&r, &line, -1), LINE_FAIL);
	assert_int_equal(fail_code(), EXIT_IO);
	assert_string_equal(fail_message(), "some/file: Is a directory");
	close(r.fd);
	reader_release(&r);
}

/* ---- writer ---- */

static void a_writer_gathers_up_to_its_mark(void **state)
{
	struct writer w;
	char got[32];
	int fd[2];

	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	writer_init(&w, fd[1], 10);
	buf_add_str(&w.buf, "123456789");
	assert_int_equal(writer_check(&w), 0);
	assert_int_equal(read(fd[0], got, sizeof(got)), -1);
	buf_add_str(&w.buf, "0");
	assert_int_equal(writer_check(&w), 0);
	assert_int_equal(read(fd[0], got, sizeof(got)), 10);
	assert_int_equal(w.bytes, 10);
	buf_add_str(&w.buf, "rest");
	assert_int_equal(writer_close(&w), 0);
	assert_int_equal(read(fd[0], got, sizeof(got)), 4);
	assert_int_equal(w.bytes, 14);
	close(fd[0]);
	writer_release(&w);
}

static void an_error_sticks_until_the_end(void **state)
{
	struct writer w;

	writer_init(&w, open("/dev/full", O_WRONLY), 0);
	buf_add_str(&w.buf, "lost");
	assert_int_equal(writer_flush(&w), -1);
	assert_int_equal(fail_code(), EXIT_IO);
	assert_non_null(strstr(fail_message(), "No space left on device"));
	assert_true(w.failed);
	assert_false(w.broken);
	buf_add_str(&w.buf, "more");
	assert_int_equal(writer_flush(&w), -1);
	assert_int_equal(writer_close(&w), -1);
	writer_release(&w);
}

static void a_reader_that_left_is_told_apart(void **state)
{
	struct writer w;
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fd), 0);
	close(fd[0]);
	writer_init(&w, fd[1], 0);
	buf_add_str(&w.buf, "x");
	assert_int_equal(writer_flush(&w), -1);
	assert_true(w.broken);
	close(fd[1]);
	writer_release(&w);
}

static void close_is_checked(void **state)
{
	struct writer w;

	writer_init(&w, 9999, 0);
	assert_int_equal(writer_close(&w), -1);
	assert_int_equal(fail_code(), EXIT_IO);
	writer_release(&w);
}

struct slow_reader {
	int fd;
	size_t bytes;
};

static void *read_slowly(void *arg)
{
	struct slow_reader *s = arg;
	char block[4099];
	ssize_t n;

	while ((n = read(s->fd, block, sizeof(block))) > 0)
		s->bytes += (size_t)n;
	return NULL;
}

static void more_than_a_pipe_holds_is_written_whole(void **state)
{
	struct slow_reader s = { 0 };
	struct buf b = BUF_INIT;
	pthread_t thread;
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	s.fd = fd[0];
	buf_reserve(&b, 3000001);
	memset(b.data, 'x', 3000001);
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &s), 0);
	assert_int_equal(write_all(fd[1], b.data, 3000001), 0);
	close(fd[1]);
	pthread_join(thread, NULL);
	assert_int_equal(s.bytes, 3000001);
	close(fd[0]);
	buf_release(&b);
}

/* ---- files ---- */

static void a_file_is_read_whole(void **state)
{
	char name[] = "/tmp/sluice-io-XXXXXX";
	int fd = mkstemp(name);
	struct buf b = BUF_INIT;
	size_t n;
	char *got;

	for (int i = 0; i < 200001; i++)
		buf_add_char(&b, (char)i);
	assert_int_equal(write_all(fd, b.data, b.len), 0);
	close(fd);
	got = read_file(name, &n);
	assert_non_null(got);
	assert_int_equal(n, b.len);
	assert_memory_equal(got, b.data, n);
	assert_int_equal(got[n], '\0');
	free(got);
	buf_release(&b);
	unlink(name);
}

static void a_file_that_is_not_there_is_an_error(void **state)
{
	assert_null(read_file("/nonexistent/file", NULL));
	assert_string_equal(fail_message(), "/nonexistent/file: No such file or directory");
}

/* ---- signals; the last test, for it changes the process ---- */

static void a_signal_ends_the_wait_also_when_it_came_before(void **state)
{
	struct span line;
	struct reader r;
	int fd[2];

	sig_install(false);
	assert_int_equal(pipe(fd), 0);
	reader_init(&r, fd[0], "stdin", NULL);
	assert_int_equal(write(fd[1], "a\nb\n", 4), 4);
	assert_line(&r, "a");
	assert_int_equal(sig_stop(), 0);
	raise(SIGTERM);
	assert_line(&r, "b"); /* what was read already is still delivered */
	assert_int_equal(reader_line(&r, &line, -1), LINE_WAIT);
	assert_int_equal(sig_stop(), SIGTERM);
	assert_int_equal(reader_line(&r, &line, -1), LINE_WAIT);
	close(fd[0]);
	close(fd[1]);
	reader_release(&r);
}

static void a_reader_that_is_gone_is_noticed_without_writing(void **state)
{
	struct writer w;
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fd), 0);
	writer_init(&w, fd[1], 0);
	assert_int_equal(writer_idle(&w), 0);
	close(fd[0]);
	assert_int_equal(writer_idle(&w), -1);
	assert_true(w.failed && w.broken);
	assert_int_equal(fail_code(), EXIT_IO);
	assert_int_equal(writer_idle(&w), -1); /* and stays so */
	close(fd[1]);
	writer_release(&w);
}

static void a_tied_writer_that_fails_ends_the_wait(void **state)
{
	int fd[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct writer w;
	struct reader r;
	struct span line;

	assert_int_equal(pipe(fd), 0);
	writer_init(&w, full, 0);
	reader_init(&r, fd[0], "stdin", &w);
	buf_add_str(&w.buf, "text");
	assert_int_equal(reader_line(&r, &line, -1), LINE_WAIT);
	assert_true(w.failed);
	reader_release(&r);
	writer_release(&w);
	close(full);
	close(fd[0]);
	close(fd[1]);
}

static int64_t pull_nothing(void *ctx, char *to, size_t n)
{
	return (fail)(EXIT_DATA, "damaged"); /* in brackets: cmocka has a macro of that name */
}

static void what_is_pulled_may_fail(void **state)
{
	struct reader r;
	struct span line;

	reader_init_pull(&r, pull_nothing, NULL, "file", 4096);
	assert_int_equal(reader_line(&r, &line, -1), LINE_FAIL);
	assert_string_equal(fail_message(), "damaged");
	reader_release(&r);
}

static void a_directory_is_no_file_to_read(void **state)
{
	size_t n;

	assert_null(read_file("/", &n));
	assert_int_equal(fail_code(), EXIT_IO);
	assert_string_equal(fail_message(), "/: Is a directory");
}

/* Without a descriptor for signalfd(2) a signal still sets the flag. */
static int stop_without_descriptors(void)
{
	set_limit(RLIMIT_NOFILE, 0);
	sig_install(false);
	raise(SIGTERM);
	return sig_stop();
}

static int end_by_sigpipe(void)
{
	signal(SIGPIPE, SIG_IGN);
	sig_broken_pipe();
	return 0;
}

static void signals_in_processes_of_their_own(void **state)
{
	assert_int_equal(in_child(stop_without_descriptors), SIGTERM);
	assert_int_equal(in_child(end_by_sigpipe), -SIGPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_without_newline_and_are_counted),
		cmocka_unit_test(a_line_over_the_cap_is_bad_data),
		cmocka_unit_test(a_line_as_long_as_the_cap_is_none),
		cmocka_unit_test(a_last_line_without_newline_is_told_apart),
		cmocka_unit_test(empty_input_has_no_line),
		cmocka_unit_test(lines_of_any_length_survive_block_borders),
		cmocka_unit_test(a_deadline_passes_and_nothing_is_lost),
		cmocka_unit_test(a_deadline_that_is_over_still_takes_what_is_there),
		cmocka_unit_test(the_tied_writer_is_flushed_before_waiting),
		cmocka_unit_test(a_read_error_is_named),
		cmocka_unit_test(a_writer_gathers_up_to_its_mark),
		cmocka_unit_test(an_error_sticks_until_the_end),
		cmocka_unit_test(a_reader_that_left_is_told_apart),
		cmocka_unit_test(close_is_checked),
		cmocka_unit_test(more_than_a_pipe_holds_is_written_whole),
		cmocka_unit_test(a_file_is_read_whole),
		cmocka_unit_test(a_file_that_is_not_there_is_an_error),
		cmocka_unit_test(a_reader_that_is_gone_is_noticed_without_writing),
		cmocka_unit_test(a_tied_writer_that_fails_ends_the_wait),
		cmocka_unit_test(what_is_pulled_may_fail),
		cmocka_unit_test(a_directory_is_no_file_to_read),
		cmocka_unit_test(signals_in_processes_of_their_own),
		cmocka_unit_test(a_signal_ends_the_wait_also_when_it_came_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
