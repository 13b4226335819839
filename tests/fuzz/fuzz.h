/*
 * A fuzz target: one function that takes any bytes and returns 0, or aborts. Built twice: with
 * replay.c, as a test that runs over a committed corpus; and by tests/fuzz/fuzz.py with libFuzzer.
 * No state may live on from one input to the next.
 */
#ifndef CT_TESTS_FUZZ_H
#define CT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like an assert; says more. */
#define FUZZ_CHECK(condition, ...)                                                            \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			(void)fprintf(stderr, __VA_ARGS__);                                   \
			(void)fputc('\n', stderr);                                            \
			abort();                                                              \
		}                                                                             \
	} while (0)

/* Takes numbers and bytes off the front of an input; zeros when it is used up. */
struct fuzz_input {
	const uint8_t *data;
	size_t length;
};

static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
	if (input->length == 0)
		return 0;
	input->length--;
	return *input->data++;
}

/* A number that depends on the bytes only; `state` begins as their hash. */
static inline uint32_t fuzz_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static inline uint32_t fuzz_seed(const uint8_t *data, size_t size)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ data[i]) * 16777619u;
	return hash != 0 ? hash : 1;
}

#endif
