/*
 * One small real file of each type that is taken by default.
 */
#ifndef CT_TESTS_UPLOADS_SAMPLES_H
#define CT_TESTS_UPLOADS_SAMPLES_H

#include <stddef.h>

#define SAMPLE_COUNT 4
#define SAMPLE_PNG 1

struct sample {
	const char *type;
	const unsigned char *data;
	size_t length;
};

extern const struct sample samples[SAMPLE_COUNT];

#endif
