/*
 * Mutants of valid files, by seed: the same seed, file and neighbour give the same mutant, on every
 * machine.
 */
#ifndef TEST_MUTATE_H
#define TEST_MUTATE_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
	uint8_t *data; /* from malloc, owned */
	size_t length;
};

/*
 * A mutant of `file`, 1 to 2 * length + 4096 bytes: bits turned, numbers set to their limits,
 * pieces cut out, doubled, or taken from `neighbour`. The checksums of a PNG are mended for every
 * second seed, or nearly all would end at the first chunk.
 */
struct bytes mutate(uint64_t seed, const struct bytes *file, const struct bytes *neighbour);

#endif
