/* The fuzzer's invariants of json and base64 on its seeds and on all that it ever found. */
#include "../fuzz/json.c" /* NOLINT(bugprone-suspicious-include) */

#define CORPUS "t/fuzz/json"
#include "corpus.h"
