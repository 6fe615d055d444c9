#include "io.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define WRITER_HIGH  (256 * 1024)
#define READER_BLOCK (256 * 1024)
#define STALL_TICKS  2 /* s that a reader may take nothing once we are told to stop */

static volatile sig_atomic_t stop_signal;
static volatile sig_atomic_t ticks; /* seconds since it came */
static int signal_fd = -1; /* readable when a signal to stop is pending; -1: they are not blocked */
static bool gave_up;       /* told to stop, and nobody took our output */

/* ---- writer ---- */

int write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

void writer_init(struct writer *w, int fd, size_t high)
{
	*w = (struct writer){ .fd = fd, .high = high ? high : WRITER_HIGH };
}

void writer_release(struct writer *w)
{
	buf_release(&w->buf);
}

static void block_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(how, &set, NULL);
}

/*
 * A signal to stop interrupts a write that blocks; one that comes just before it is made good by the tick, a second
 * later.
 */
static ssize_t write_once(int fd, const char *p, size_t n)
{
	ssize_t done;
	int why;

	if (signal_fd < 0)
		return write(fd, p, n);
	block_signals(SIG_UNBLOCK);
	done = write(fd, p, n);
	why = errno;
	block_signals(SIG_BLOCK);
	errno = why;
	return done;
}

/*
 * As write_all; but told to stop, we do not wait for ever for a reader that takes nothing, though the line at hand
 * stays incomplete then. A slow one is waited for.
 */
static int write_out(int fd, const char *p, size_t n)
{
	int since = ticks;

	while (n > 0) {
		ssize_t done = write_once(fd, p, n);

		if (done < 0 && errno != EINTR)
			return -1;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
			since = ticks;
		} else if (ticks - since >= STALL_TICKS) {
			gave_up = true;
			warn("told to stop, and nobody reads the output: its last line may be incomplete");
			errno = EPIPE;
			return -1;
		}
	}
	return 0;
}

int writer_flush(struct writer *w)
{
	if (w->failed) {
		w->buf.len = 0;
		return -1;
	}
	if (w->buf.len == 0)
		return 0;
	if (write_out(w->fd, w->buf.data, w->buf.len) < 0) {
		w->failed = true;
		w->broken = errno == EPIPE;
		w->buf.len = 0;
		return fail_errno(EXIT_IO, w->fd == STDOUT_FILENO ? "stdout" : "write");
	}
	w->bytes += w->buf.len;
	w->buf.len = 0;
	return 0;
}

int writer_idle(struct writer *w)
{
	struct pollfd p = { .fd = w->fd };

	if (writer_flush(w) < 0)
		return -1;
	if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLERR))
		return 0;
	w->failed = w->broken = true;
	errno = EPIPE;
	return fail_errno(EXIT_IO, w->fd == STDOUT_FILENO ? "stdout" : "write");
}

int writer_close(struct writer *w)
{
	int result = writer_flush(w);

	/* NFS and quotas may report the failed write only here. */
	if (close(w->fd) < 0 && result == 0)
		result = fail_errno(EXIT_IO, w->fd == STDOUT_FILENO ? "stdout" : "close");
	w->fd = -1;
	return result;
}

/* ---- signals ---- */

static void on_signal(int signo)
{
	stop_signal = signo;
	alarm(1);
}

static void on_tick(int signo)
{
	ticks++;
	alarm(1);
}

/*
 * A reader polls the signalfd(2) beside its input: a signal can then neither be lost between a check
 * and a blocking read, nor be overlooked while input never runs dry, nor cut a write in two.
 */
void sig_install(bool anytime)
{
	struct sigaction stop = { .sa_handler = on_signal }, tick = { .sa_handler = on_tick };
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&stop.sa_mask);
	sigemptyset(&tick.sa_mask);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGALRM, &tick, NULL);
	if (anytime)
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd >= 0)
		block_signals(SIG_BLOCK);
}

int sig_stop(void)
{
	return stop_signal;
}

void sig_broken_pipe(void)
{
	int signo = gave_up ? stop_signal : SIGPIPE;

	signal(signo, SIG_DFL);
	block_signals(SIG_UNBLOCK);
	raise(signo);
}

static void take_signal(void)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) == sizeof(info))
		on_signal((int)info.ssi_signo);
}

/* ---- reader ---- */

void reader_init(struct reader *r, int fd, const char *name, struct writer *tied)
{
	*r = (struct reader){ .fd = fd,
		.name = name,
		.tied = tied,
		.block = READER_BLOCK,
		.max = LINE_MAX_BYTES };
}

void reader_init_pull(struct reader *r, int64_t (*pull)(void *ctx, char *to, size_t n), void *ctx,
    const char *name, size_t block)
{
	*r = (struct reader){ .fd = -1,
		.name = name,
		.block = block,
		.max = LINE_MAX_BYTES,
		.pull = pull,
		.ctx = ctx };
}

void reader_release(struct reader *r)
{
	free(r->data);
	r->data = NULL;
}

bool reader_empty(const struct reader *r)
{
	return r->scanned == r->end;
}

static int too_long(const struct reader *r)
{
	return fail(EXIT_DATA, "%s:%llu: longer than %zu bytes", r->name,
	    (unsigned long long)r->lines + 1, r->max);
}

/* Room for a block behind `end`: moves the unread tail to the front, grows when a line is longer. */
static int make_room(struct reader *r)
{
	size_t unread = r->end - r->start;

	if (unread > r->max)
		return too_long(r);
	if (r->start > 0) {
		memmove(r->data, r->data + r->start, unread);
		r->scanned -= r->start;
		r->start = 0;
		r->end = unread;
	}
	if (r->cap < unread + r->block + READ_PAD) {
		r->cap = r->cap ? r->cap * 2 : 2 * r->block + READ_PAD;
		r->data = xrealloc(r->data, r->cap);
	}
	return 0;
}

/* Waits until fd can be read: 1; deadline or signal to stop: 0. */
static int wait_readable(struct reader *r, int64_t deadline_ms)
{
	struct pollfd p[2] = { { .fd = r->fd, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN } };
	int64_t left = -1;
	int n = 0;

	if (r->tied && r->tied->buf.len > 0) {
		n = poll(p, 2, 0);
		if (n == 0 && writer_flush(r->tied) < 0)
			return 0; /* the next line may be hours away: the tool must hear of it now */
	}
	if (deadline_ms >= 0) {
		left = deadline_ms - clock_mono_ms();
		left = left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : left;
	}
	if (n == 0 && !stop_signal)
		n = poll(p, 2, r->pull ? 0 : (int)left);
	if (n > 0 && (p[1].revents & POLLIN))
		take_signal();
	return (r->pull || (n > 0 && p[0].revents)) && !stop_signal;
}

static enum line_result finish_input(struct reader *r, struct span *line)
{
	if (r->start == r->end)
		return LINE_EOF;
	if (r->end - r->start > r->max)
		return (enum line_result)too_long(r);
	*line = (struct span){ r->data + r->start, r->end - r->start };
	r->start = r->scanned = r->end;
	r->bytes += line->n;
	r->lines++;
	return LINE_TAIL;
}

enum line_result reader_line(struct reader *r, struct span *line, int64_t deadline_ms)
{
	for (;;) {
		const char *nl = r->scanned < r->end
		    ? memchr(r->data + r->scanned, '\n', r->end - r->scanned)
		    : NULL;
		size_t room;
		ssize_t n;

		if (nl) {
			size_t len = (size_t)(nl - (r->data + r->start));

			if (len > r->max)
				return (enum line_result)too_long(r);
			*line = (struct span){ r->data + r->start, len };
			r->start += len + 1;
			r->scanned = r->start;
			r->bytes += len + 1;
			r->lines++;
			return LINE_OK;
		}
		r->scanned = r->end;
		if (r->eof)
			return finish_input(r, line);
		if (make_room(r) < 0)
			return LINE_FAIL;
		if (!wait_readable(r, deadline_ms))
			return LINE_WAIT;
		room = r->cap - r->end - READ_PAD;
		n = r->pull ? r->pull(r->ctx, r->data + r->end, room)
			    : read(r->fd, r->data + r->end, room);
		if (n < 0 && r->pull)
			return LINE_FAIL;
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0) {
			fail_errno(EXIT_IO, "%s", r->name);
			return LINE_FAIL;
		}
		if (n == 0)
			r->eof = true;
		r->end += (size_t)n;
	}
}

char *read_file(const char *path, size_t *n)
{
	struct buf b = BUF_INIT;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;

	if (fd < 0) {
		fail_errno(0, "%s", path);
		return NULL;
	}
	while (got > 0) {
		buf_reserve(&b, 64 * 1024);
		got = read(fd, b.data + b.len, b.cap - b.len);
		if (got > 0)
			b.len += (size_t)got;
	}
	if (got < 0) {
		fail_errno(EXIT_IO, "%s", path);
		buf_release(&b);
		close(fd);
		return NULL;
	}
	close(fd);
	buf_cstr(&b);
	if (n)
		*n = b.len;
	return b.data;
}
