/*
 * corpus: main of a program that runs the fuzz target it is linked with without libFuzzer: on the files of its
 * corpus, t/fuzz/NAME, NAME being its own; or on those that are its arguments. Each is run whole and, those
 * of the corpus, cut in up to corpus_cuts places.
 */
#include "io.h"
#include "log.h"

#include "../fuzz/fuzz.h"
#include "../unit/place.h"

#include <dirent.h>

unsigned corpus_cuts __attribute__((weak)) = 100;

static unsigned long files, runs;

static void run(const char *text, size_t n)
{
	LLVMFuzzerTestOneInput((const uint8_t *)place(PLACE_AT_END, text, n), n);
	runs++;
}

static void replay(const char *path, bool cut)
{
	size_t n;
	char *text = read_file(path, &n);

	if (!text || n > PLACE_ROOM) {
		fprintf(stderr, "corpus: %s\n", text ? "too long" : fail_message());
		exit(1);
	}
	fprintf(stderr, "corpus: %s\n", path); /* the last one that is said has failed */
	for (size_t at = 0; cut && at < n; at += n / corpus_cuts + 1)
		run(text, at);
	run(text, n);
	free(text);
	files++;
}

static void replay_all(const char *top)
{
	DIR *dir = opendir(top);
	struct dirent *entry;
	struct buf path = BUF_INIT;

	if (!dir) {
		fprintf(stderr, "corpus: no %s: run this in the top directory of the source\n", top);
		exit(1);
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		buf_clear(&path);
		buf_addf(&path, "%s/%s", top, entry->d_name);
		replay(buf_cstr(&path), true);
	}
	closedir(dir);
	buf_release(&path);
	must(files > 10, "there is a corpus");
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	struct buf top = BUF_INIT;

	buf_addf(&top, "t/fuzz/%s", slash ? slash + 1 : argv[0]);
	if (argc == 1)
		replay_all(buf_cstr(&top));
	for (int i = 1; i < argc; i++)
		replay(argv[i], false);
	fprintf(stderr, "corpus: %lu texts of %lu files\n", runs, files);
	buf_release(&top);
	return 0;
}
