/*
 * Figures for operators: counters and histograms that any layer above may count, and values that
 * are asked for when the page is made. Each is a row of metrics.def, with its help text.
 *
 * There is one set of them in the process, as there is one log: counting must cost nothing to hand
 * around. Counts are sharded over the threads (no cache line is fought for) and summed by the page.
 *
 * Threads: ct_metrics_add() and ct_metrics_observe_us() any, they never wait. Readers are set
 * before the threads start, taken away after they have ended.
 * Format: Prometheus text exposition 0.0.4.
 */
#ifndef CT_METRICS_H
#define CT_METRICS_H

#include "base/buffer.h"
#include <stdint.h>

enum ct_metric {
#define CT_SERIES(id, kind, family, labels, help) CT_METRIC_##id,
#define CT_TIMING(id, family, labels, help) CT_METRIC_##id,
#include "metrics/metrics.def"
#undef CT_SERIES
#undef CT_TIMING
	CT_METRIC_COUNT
};

#define CT_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define CT_METRICS_MAX_BYTES (64 * 1024) /* the page stays below; it has no unbounded label */

/* Asserts that the row is a COUNTER. */
void ct_metrics_add(enum ct_metric metric, uint64_t count);
/* Asserts that the row is a TIMING. Negative durations count as 0. */
void ct_metrics_observe_us(enum ct_metric metric, int64_t duration_us);

/*
 * Who is asked for a READ_ row. `read` runs in the thread that makes the page; it must not block
 * for long. False: not known now, the row is left out. NULL takes the reader away.
 */
typedef bool (*ct_metrics_read_fn)(void *arg, double *ret_value);
void ct_metrics_read_with(enum ct_metric metric, ct_metrics_read_fn read, void *arg);

/* Appends the page. -EMSGSIZE, -ENOMEM: see ct_buffer_error(). */
int ct_metrics_write(struct ct_buffer *buffer);

/* The sum of a counter, or the number of observations of a timing. */
uint64_t ct_metrics_count(enum ct_metric metric);

#endif
