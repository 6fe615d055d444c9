/*
 * rng: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
 *
 * For test data only. The same seed gives the same numbers on every machine, and rng_at jumps to the
 * stream of any record, so that record 1,000,000 does not depend on the 999,999 before it.
 */
#ifndef SLUICE_RNG_H
#define SLUICE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t rng_next(struct rng *r)
{
	return rng_mix(r->state += UINT64_C(0x9e3779b97f4a7c15));
}

/* The generator of item `number` of `stream`. */
static inline struct rng rng_at(uint64_t seed, uint64_t stream, uint64_t number)
{
	return (struct rng){ rng_mix(
	    seed + rng_mix(stream + 1) + number * UINT64_C(0xd1342543de82ef95)) };
}

/* 0 <= result < n. The bias of multiply-shift is below n / 2^32: of no matter here. */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}

#endif
