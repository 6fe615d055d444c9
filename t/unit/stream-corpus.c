/* The fuzzer's invariants of stream on its seeds and on all that it ever found. */
#include "../fuzz/stream.c" /* NOLINT(bugprone-suspicious-include) */

#define CORPUS "t/fuzz/stream"
#include "corpus.h"
