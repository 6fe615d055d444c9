/* replay_internal: what replay.c (the journal) and replay_files.c (the files of a commit) share. */
#ifndef SLUICE_REPLAY_INTERNAL_H
#define SLUICE_REPLAY_INTERNAL_H

#include "lake_internal.h"
#include "replay.h"
#include "stream.h"

/* One partition of a topic. */
struct part {
	struct position *at; /* topic and partition: the map's entry */
	size_t number;
	bool wanted; /* -t */
	char *owner; /* the name whose positions count: the one that has files */
	bool live;   /* a commit of it has files */
	int64_t lost; /* files of this commit and all before are gone, retention took them; -1: none */
	bool met;     /* its start mark is out */
	int64_t from; /* where the commit at hand found it; -1: not known */
	int64_t seen; /* the last offset written; -1: none */
	bool warned;
	bool pending;                     /* a position mark is to come at the end */
	struct journal_position position; /* that mark; its spans are not valid */
};

/* Overwrite leaves alone what a run brings nothing for: all live snapshots of a name are one set of files. */
struct snapshots {
	char *name;
	int64_t last; /* the last commit of the name that has some: they are written when its turn comes */
	const struct lake_entry **entry; /* those of earlier commits */
	size_t entries;
};

typedef int replay_step(struct replay *r, const struct journal_line *line);

struct replay {
	struct replay_options o;
	struct lake_catalog catalog;
	struct lake_catalog later; /* read again when a file was not what it should be */
	int *fd;                   /* by index in the catalog: snapshots, opened in advance; -1 */
	struct stream stream;
	struct positions map; /* its entries' `own` is our struct part */
	struct part **part;
	size_t parts;
	struct snapshots *snapshots;
	size_t snapshot_names;
	char *several; /* what replay_open complains about: a topic with several names */
	struct writer *out;
	struct progress *progress;
	struct replay_counts counts;
	char *damage;      /* why the journal cannot be read to its end; NULL: it can */
	replay_step *step; /* of the walk over the journal that is going on */
	bool stopped, finished;
};

bool replay_wants(const struct replay *r, struct span topic);
struct part *replay_part(struct replay *r, struct span topic, int32_t partition);
/* Before the first line of a partition: its start mark. */
void replay_meet(struct replay *r, struct part *p, int64_t offset);

/* Writes the records of these files, in order. 0; -1 with fail(), or r->stopped, or r->out failed. */
int replay_files(struct replay *r, const struct lake_entry **entry, size_t n);

#endif
