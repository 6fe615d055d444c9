#include "interleave.h"

#include "buf.h"

#include <stdlib.h>

/* The offsets of one partition in one file, as differences: 7 bits a byte, the last byte below 128. */
struct run {
	size_t file;
	int64_t last; /* building: the last offset; reading: the next one */
	size_t at;    /* reading: of the next difference in bytes */
	struct buf bytes;
};

/* Its runs; from the first interleave_next on a heap with the smallest next offset on top. */
struct part {
	struct run *run;
	size_t runs, cap;
	bool heap;
};

struct interleave {
	struct part *part;
	size_t parts;
};

struct interleave *interleave_new(void)
{
	return xcalloc(1, sizeof(struct interleave));
}

void interleave_free(struct interleave *i)
{
	if (!i)
		return;
	for (size_t p = 0; p < i->parts; p++) {
		for (size_t r = 0; r < i->part[p].runs; r++)
			buf_release(&i->part[p].run[r].bytes);
		free(i->part[p].run);
	}
	free(i->part);
	free(i);
}

/* ---- first pass ---- */

static struct part *get_part(struct interleave *i, size_t partition)
{
	if (partition >= i->parts) {
		size_t n = partition + 1;

		i->part = xrealloc(i->part, n * sizeof(*i->part));
		memset(&i->part[i->parts], 0, (n - i->parts) * sizeof(*i->part));
		i->parts = n;
	}
	return &i->part[partition];
}

static struct run *add_run(struct part *p, size_t file)
{
	if (p->runs > 0 && p->run[p->runs - 1].bytes.data) {
		struct buf *done = &p->run[p->runs - 1].bytes;

		done->data = xrealloc(done->data, done->len);
		done->cap = done->len;
	}
	if (p->runs == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 4;
		p->run = xrealloc(p->run, p->cap * sizeof(*p->run));
	}
	p->run[p->runs] = (struct run){ .file = file, .last = -1 };
	return &p->run[p->runs++];
}

int interleave_add(struct interleave *i, size_t file, size_t partition, int64_t offset)
{
	struct part *p = get_part(i, partition);
	struct run *r = p->runs > 0 ? &p->run[p->runs - 1] : NULL;
	uint64_t difference;

	if (!r || r->file != file)
		r = add_run(p, file);
	if (offset <= r->last)
		return -1;
	difference = (uint64_t)offset - (uint64_t)r->last; /* at least 1 */
	r->last = offset;
	for (; difference > 127; difference >>= 7)
		buf_add_char(&r->bytes, (char)(difference | 128));
	buf_add_char(&r->bytes, (char)difference);
	return 0;
}

/* ---- second pass ---- */

/* Goes on to the run's next offset. False: there is none. */
static bool advance(struct run *r)
{
	uint64_t difference = 0;
	unsigned char byte;
	int shift = 0;

	if (r->at == r->bytes.len)
		return false;
	do {
		byte = (unsigned char)r->bytes.data[r->at++];
		difference |= (uint64_t)(byte & 127) << shift;
		shift += 7;
	} while (byte & 128);
	r->last += (int64_t)difference;
	return true;
}

/* Equal offsets (snapshots of different runs) come in the order of their files. */
static bool before(const struct run *a, const struct run *b)
{
	return a->last != b->last ? a->last < b->last : a->file < b->file;
}

static void sift_down(struct part *p, size_t at)
{
	struct run moving = p->run[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < p->runs && before(&p->run[child + 1], &p->run[child]))
			child++;
		if (child >= p->runs || !before(&p->run[child], &moving))
			break;
		p->run[at] = p->run[child];
		at = child;
	}
	p->run[at] = moving;
}

static void make_heap(struct part *p)
{
	for (size_t r = 0; r < p->runs; r++) {
		p->run[r].last = -1;
		advance(&p->run[r]);
	}
	for (size_t r = p->runs / 2; r > 0; r--)
		sift_down(p, r - 1);
	p->heap = true;
}

size_t interleave_next(struct interleave *i, size_t partition, int64_t *offset)
{
	struct part *p = get_part(i, partition);

	if (!p->heap)
		make_heap(p);
	if (p->runs == 0)
		return SIZE_MAX;
	*offset = p->run[0].last;
	return p->run[0].file;
}

void interleave_take(struct interleave *i, size_t partition)
{
	struct part *p = &i->part[partition];

	if (!advance(&p->run[0])) {
		buf_release(&p->run[0].bytes);
		p->run[0] = p->run[--p->runs];
	}
	if (p->runs > 1)
		sift_down(p, 0);
}
