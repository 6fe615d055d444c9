#include "resume.h"

#include "io.h"
#include "lake.h"
#include "log.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

static int take_mark(struct stream *stream, struct span text, struct positions *to)
{
	struct line l;

	if (stream_parse(stream, text, &l) < 0)
		return -1;
	if (l.kind != LINE_MARK)
		return fail(EXIT_DATA, "not a mark");
	if (l.mark == MARK_POSITION)
		positions_set(to, l.topic, l.partition, l.offset, l.has_last ? l.last_offset : -1,
		    l.has_last ? l.last_ts : 0);
	return 0;
}

static int read_marks(int fd, const char *file, struct positions *to)
{
	enum line_result got;
	struct stream stream;
	struct reader in;
	struct span text;
	int result = 0;

	stream_init(&stream);
	reader_init(&in, fd, file, NULL);
	while (result == 0 && (got = reader_line(&in, &text, -1)) != LINE_EOF) {
		if (got == LINE_FAIL)
			result = -1;
		else if (got == LINE_WAIT)
			result = sig_stop() ? fail(EXIT_INT, "interrupted") : 0;
		else if (take_mark(&stream, text, to) < 0)
			result = fail_context("%s:%" PRIu64, file, in.lines);
	}
	reader_release(&in);
	stream_release(&stream);
	return result;
}

int resume_read(const char *source, const char *name, struct positions *to)
{
	struct stat st;
	int fd, result;

	if (strcmp(source, "-") == 0)
		return read_marks(STDIN_FILENO, "stdin", to);
	if (stat(source, &st) < 0) {
		/* The first run of a line: its sink makes the lake, before or after this. */
		if (errno == ENOENT && *source && source[strlen(source) - 1] == '/')
			return 0;
		return fail_errno(errno == EACCES ? EXIT_PERM : EXIT_CONFIG, "%s", source);
	}
	if (S_ISDIR(st.st_mode))
		return lake_read_positions(source, name, to);
	fd = open(source, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(errno == EACCES ? EXIT_PERM : EXIT_CONFIG, "%s", source);
	result = read_marks(fd, source, to);
	close(fd);
	return result;
}

bool resume_may_be_lake(const char *source)
{
	struct stat st;

	return strcmp(source, "-") != 0 && (stat(source, &st) < 0 || S_ISDIR(st.st_mode));
}
