#include "pump.h"

#include "io.h"

#include <unistd.h>

#define TICK_BYTES (256 * 1024) /* so often at least the clock is looked at */

int pump_run(const struct pump *to, struct progress *progress)
{
	enum line_result result;
	struct reader in;
	struct span line;
	uint64_t tick = 0;
	int r = 0;

	reader_init(&in, STDIN_FILENO, "stdin", NULL);
	do {
		result = reader_line(&in, &line, to->deadline(to->ctx));
		if (result == LINE_OK || result == LINE_TAIL)
			r = to->line(to->ctx, line, in.lines, result == LINE_TAIL);
		if (r == 0 && (result == LINE_WAIT || in.bytes >= tick)) {
			tick = in.bytes + TICK_BYTES;
			r = to->tick(to->ctx);
			progress_show(progress, in.lines, in.bytes, 0);
		}
	} while (r == 0 && result != LINE_EOF && result != LINE_FAIL && !sig_stop());
	progress_clear(progress);
	if (result == LINE_FAIL)
		r = -1;
	if (r == 0)
		r = to->end(to->ctx, result != LINE_EOF);
	else
		to->abort(to->ctx);
	reader_release(&in);
	return r;
}
