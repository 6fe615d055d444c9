#include "lake_internal.h"

int lake_repair(const char *dir)
{
	return 0;
}
