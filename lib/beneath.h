/*
 * beneath: opening what lies below a directory, whatever names a stranger chose.
 *
 * openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV where the kernel has it (5.6)
 * and lets us, else a walk with O_NOFOLLOW that compares devices. A symlink on the way is an error, as
 * is a mount point; nothing outside is ever touched.
 */
#ifndef SLUICE_BENEATH_H
#define SLUICE_BENEATH_H

#include "buf.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * All return a descriptor (O_CLOEXEC), or -1 with errno: ELOOP for a symlink, ENOTDIR for a file in the way, EXDEV
 * for a mount point and for a path that is absolute or has a `..`. "" is the directory itself.
 */
int beneath_open(int dirfd, const char *path, int flags, mode_t mode);
int beneath_dir(int dirfd, const char *path);

/* Opens a directory and makes what is missing of it. *made: the number of components that were made. */
int beneath_make_dir(int dirfd, const char *path, int *made);

/* Length of the directory part of a path, 0 when there is none: "a/b/c" -> 3. */
size_t beneath_dirname(const char *path, size_t n);

#endif
