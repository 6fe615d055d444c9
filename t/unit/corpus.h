/*
 * corpus: main of a program that runs a fuzz target, included before, on the files of CORPUS: each
 * whole and cut at every byte (at every hundredth of it when it is long).
 */
#include "io.h"
#include "log.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "place.h"

static void run(const char *text, size_t n)
{
	LLVMFuzzerTestOneInput((const uint8_t *)place(PLACE_AT_END, text, n), n);
}

static void replay(const char *name)
{
	char path[300];
	size_t n;
	char *text;

	snprintf(path, sizeof(path), CORPUS "/%s", name);
	text = read_file(path, &n);
	if (!text)
		fail_msg("%s", fail_message());
	assert_true(n <= PLACE_ROOM);
	for (size_t cut = 0; cut < n; cut += n / 100 + 1)
		run(text, cut);
	run(text, n);
	free(text);
}

static void the_corpus_holds_the_invariants(void **state)
{
	DIR *dir = opendir(CORPUS);
	struct dirent *entry;
	int files = 0;

	if (!dir)
		fail_msg("no " CORPUS ": run this in the top directory of the source");
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		replay(entry->d_name);
		files++;
	}
	closedir(dir);
	assert_true(files > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_corpus_holds_the_invariants) };

	return cmocka_run_group_tests_name(CORPUS, tests, NULL, NULL);
}
