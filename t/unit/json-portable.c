/* The same tests as json-bytes for the scanner that machines without SSE2 get; this program's own
 * copy. */
#define JSON_PORTABLE
#include "../../lib/json.c" /* NOLINT(bugprone-suspicious-include) */
#include "json-bytes.c"     /* NOLINT(bugprone-suspicious-include) */
