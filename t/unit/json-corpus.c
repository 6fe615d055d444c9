/* The fuzzer's invariants on its seeds and on all that it ever found, without libFuzzer. */
#include "../fuzz/json.c"

#include "io.h"
#include "log.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#undef fail
#include <cmocka.h>

#include "place.h"

#define CORPUS "t/fuzz/json"

/* Each file whole and cut at every byte (what is long: at every hundredth of it). */
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
		LLVMFuzzerTestOneInput((const uint8_t *)place(PLACE_AT_END, text, cut), cut);
	LLVMFuzzerTestOneInput((const uint8_t *)place(PLACE_AT_END, text, n), n);
	free(text);
}

static void the_corpus_holds_the_invariants(void **state)
{
	DIR *dir = opendir(CORPUS);
	struct dirent *entry;
	int files = 0;

	if (!dir)
		fail_msg("run this in the top directory of the source: no " CORPUS);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		replay(entry->d_name);
		files++;
	}
	closedir(dir);
	assert_true(files > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_corpus_holds_the_invariants) };

	return cmocka_run_group_tests_name("json corpus", tests, NULL, NULL);
}
