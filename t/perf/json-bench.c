/*
 * json-bench: the speed of the scanner against cJSON's on lines as kread writes them, in MB/s of
 * CPU time, and the ratio of both. Rounds alternate, so that a busy machine slows both alike; the
 * figures are medians.
 *
 *     json-bench [ROUNDS]
 */
#include "buf.h"
#include "json.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINES  50000
#define ROUNDS 9

struct lines {
	struct buf text;
	size_t start[LINES + 1];
};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *const cities[] = { "Lyon", "Paris", "Marseille", "Nice", "Bordeaux", "Lille" };
static const char *const types[] = { "purchase", "refund", "transfer", "withdrawal" };
static const char *const methods[] = { "card", "cash", "transfer", "mobile_payment" };

/* A transaction of ten members and about 255 bytes: what most topics of the field carry. */
static void add_payload(struct buf *b, unsigned n, uint32_t r)
{
	buf_addf(b, "{\"transaction_id\":\"T%08u\",\"user_id\":\"U%06u\",\"amount\":%u.%02u,", n,
	    r % 100000, r % 5000, r % 100);
	buf_addf(b, "\"currency\":\"EUR\",\"type\":\"%s\",\"method\":\"%s\",\"city\":\"%s\",",
	    types[r % 4], methods[r / 4 % 4], cities[r / 16 % 6]);
	buf_addf(b,
	    "\"product\":\"P%03u\",\"quantity\":%u,\"timestamp\":\"2026-11-21T%02u:%02u:%02u.%03uZ\"}",
	    r % 1000, r % 12, n / 3600 % 24, n / 60 % 60, n % 60, r % 1000);
}

static void generate(struct lines *l, bool whole_line)
{
	uint32_t r = 1;

	for (unsigned n = 0; n < LINES; n++) {
		r = r * 1664525 + 1013904223;
		l->start[n] = l->text.len;
		if (whole_line)
			buf_addf(&l->text,
			    "{\"topic\":\"TX\",\"partition\":%u,\"offset\":%u,\"tstype\":\"create\","
			    "\"ts\":%" PRIu64 ",\"key\":\"U%06u\",\"payload\":",
			    n % 4, n, UINT64_C(1763697600000) + (uint64_t)n * 37, (r >> 8) % 100000);
		add_payload(&l->text, n, r >> 8);
		if (whole_line)
			buf_add_char(&l->text, '}');
	}
	l->start[LINES] = l->text.len;
}

static bool validate(const char *p, size_t n)
{
	return json_valid(p, n, NULL);
}

/* As the tools use it: every member's name and value are seen. */
static bool pull(const char *p, size_t n)
{
	struct json j;
	struct json_value v;
	struct span key;
	bool escaped;
	int r;

	json_init(&j, p, n);
	if (json_enter(&j) < 0)
		return false;
	while ((r = json_member(&j, &key, &escaped)) > 0)
		if (json_value(&j, &v) < 0)
			return false;
	return r == 0 && json_finish(&j) == 0;
}

static bool with_cjson(const char *p, size_t n)
{
	cJSON *tree = cJSON_ParseWithLength(p, n);

	cJSON_Delete(tree);
	return tree != NULL;
}

static double measure(const struct lines *l, bool (*parse)(const char *, size_t))
{
	double start = cpu_seconds();

	for (size_t n = 0; n < LINES; n++) {
		if (!parse(l->text.data + l->start[n], l->start[n + 1] - l->start[n])) {
			fprintf(stderr, "json-bench: line %zu rejected\n", n + 1);
			exit(1);
		}
	}
	return (double)l->text.len / (cpu_seconds() - start) / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static void compare(const char *what, const struct lines *l, size_t rounds)
{
	double *valid = xcalloc(rounds * 4, sizeof(double));
	double *pulled = valid + rounds, *theirs = pulled + rounds, *ratio = theirs + rounds;

	for (size_t i = 0; i < rounds; i++) {
		valid[i] = measure(l, validate);
		theirs[i] = measure(l, with_cjson);
		pulled[i] = measure(l, pull);
		ratio[i] = valid[i] / theirs[i];
	}
	printf("%-8s %4zu bytes: validate %5.0f MB/s, members %5.0f MB/s, cJSON %4.0f MB/s, ratio %.1f\n",
	    what, l->text.len / LINES, median(valid, rounds), median(pulled, rounds),
	    median(theirs, rounds), median(ratio, rounds));
	free(valid);
}

int main(int argc, char **argv)
{
	static struct lines flat, whole;
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;

	if (rounds == 0)
		rounds = 1;
	generate(&flat, false);
	generate(&whole, true);
	compare("payload", &flat, rounds);
	compare("line", &whole, rounds);
	buf_release(&flat.text);
	buf_release(&whole.text);
	return 0;
}
