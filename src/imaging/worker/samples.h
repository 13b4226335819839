/*
 * One tiny picture of each type that is decoded, to run each codec once before the first hostile
 * byte.
 */
#ifndef CT_WORKER_SAMPLES_H
#define CT_WORKER_SAMPLES_H

#include <stddef.h>

struct ct_sample {
	const char *data;
	size_t length;
};

extern const struct ct_sample ct_samples[];
extern const size_t ct_sample_count;

#endif
