/*
 * What a line of progress says, and how fast something goes. Pure.
 */
#ifndef CT_CLI_PROGRESS_H
#define CT_CLI_PROGRESS_H

#include "base/buffer.h"
#include <stddef.h>
#include <stdint.h>

/* An average that forgets: half of it is older than about two seconds. */
struct ct_rate {
	int64_t at_ms;
	uint64_t bytes;
	double bytes_per_second; /* 0: not known yet */
};

void ct_rate_start(struct ct_rate *rate, int64_t now_ms, uint64_t bytes);
void ct_rate_sample(struct ct_rate *rate, int64_t now_ms, uint64_t bytes);

struct ct_progress {
	const char *name; /* escaped */
	uint64_t done;
	uint64_t total;
	double bytes_per_second; /* 0: not known */
	const char *state;	 /* instead of bytes, rate and time: "processing"; or NULL */
};

/*
 * Appends "name [####....]  45%  5.4/12.0 MiB  3.2 MiB/s  0:02", never wider than `columns`: the
 * bar goes first, then time, rate and bytes.
 */
void ct_progress_format(
    const struct ct_progress *progress, size_t columns, struct ct_buffer *buffer);

#endif
