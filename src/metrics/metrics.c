/*
 * A thread takes the next shard when it counts first; shards are summed without a lock, so a page
 * may show a request in one figure and not yet in another, but no count is ever lost.
 */
#include "metrics/metrics.h"

#include "base/assert.h"
#include "calotype/error.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SHARDS 8
#define CACHE_LINE 64
#define TIMINGS_MAX 16

/* Upper bounds in microseconds; the exposition says them in seconds. The last is +Inf. */
static const int64_t bounds_us[] = { 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000,
	500000, 1000000, 2500000, 5000000, 10000000, 30000000 };
#define BOUNDS (sizeof(bounds_us) / sizeof(bounds_us[0]))

enum kind { COUNTER, READ_COUNTER, READ_GAUGE, TIMING };

struct row {
	enum kind kind;
	const char *family, *labels, *help;
};

static const struct row rows[] = {
#define CT_SERIES(id, kind, family, labels, help) { kind, family, labels, help },
#define CT_TIMING(id, family, labels, help) { TIMING, family, labels, help },
#include "metrics/metrics.def"
#undef CT_SERIES
#undef CT_TIMING
};

struct shard {
	_Alignas(CACHE_LINE) _Atomic uint64_t counts[CT_METRIC_COUNT];
	_Atomic uint64_t sums_us[CT_METRIC_COUNT];
	/* By order of the TIMING rows, see slots; not cumulative. */
	_Atomic uint64_t buckets[TIMINGS_MAX][BOUNDS + 1];
};

static struct shard shards[SHARDS];
static atomic_uint next_shard;
static _Thread_local struct shard *mine;

/* Set once, before the threads. */
static struct {
	ct_metrics_read_fn read;
	void *arg;
} readers[CT_METRIC_COUNT];

static struct shard *own_shard(void)
{
	if (mine == NULL)
		mine = &shards[atomic_fetch_add(&next_shard, 1) % SHARDS];
	return mine;
}

static void count(_Atomic uint64_t *cell, uint64_t number)
{
	(void)atomic_fetch_add_explicit(cell, number, memory_order_relaxed);
}

static uint64_t value_of(const _Atomic uint64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

/* Which histogram a TIMING row is: their number before it, counted by the compiler. */
enum {
#define CT_SERIES(id, kind, family, labels, help)
#define CT_TIMING(id, family, labels, help) SLOT_##id,
#include "metrics/metrics.def"
#undef CT_SERIES
#undef CT_TIMING
	SLOT_COUNT
};
_Static_assert(SLOT_COUNT <= TIMINGS_MAX, "raise TIMINGS_MAX");

static const unsigned char slots[] = {
#define CT_SERIES(id, kind, family, labels, help) 0,
#define CT_TIMING(id, family, labels, help) SLOT_##id,
#include "metrics/metrics.def"
#undef CT_SERIES
#undef CT_TIMING
};

void ct_metrics_add(enum ct_metric metric, uint64_t number)
{
	CT_ASSERT(metric < CT_METRIC_COUNT && rows[metric].kind == COUNTER);
	count(&own_shard()->counts[metric], number);
}

void ct_metrics_observe_us(enum ct_metric metric, int64_t duration_us)
{
	CT_ASSERT(metric < CT_METRIC_COUNT && rows[metric].kind == TIMING);
	struct shard *shard = own_shard();
	size_t bucket = 0;
	if (duration_us < 0)
		duration_us = 0;
	while (bucket < BOUNDS && duration_us > bounds_us[bucket])
		bucket++;
	count(&shard->counts[metric], 1);
	count(&shard->sums_us[metric], (uint64_t)duration_us);
	count(&shard->buckets[slots[metric]][bucket], 1);
}

void ct_metrics_read_with(enum ct_metric metric, ct_metrics_read_fn read, void *arg)
{
	CT_ASSERT(metric < CT_METRIC_COUNT);
	CT_ASSERT(rows[metric].kind == READ_COUNTER || rows[metric].kind == READ_GAUGE);
	readers[metric].read = read;
	readers[metric].arg = arg;
}

uint64_t ct_metrics_count(enum ct_metric metric)
{
	uint64_t sum = 0;
	CT_ASSERT(metric < CT_METRIC_COUNT);
	for (size_t i = 0; i < SHARDS; i++)
		sum += value_of(&shards[i].counts[metric]);
	return sum;
}

/* ---- the page ---- */

static void write_name(
    struct ct_buffer *buffer, const struct row *row, const char *suffix, const char *more_labels)
{
	bool has_both = row->labels[0] != '\0' && more_labels[0] != '\0';
	bool has_any = row->labels[0] != '\0' || more_labels[0] != '\0';
	ct_buffer_printf(buffer, "%s%s%s%s%s%s%s ", row->family, suffix, has_any ? "{" : "",
	    row->labels, has_both ? "," : "", more_labels, has_any ? "}" : "");
}

static void write_timing(struct ct_buffer *buffer, enum ct_metric metric)
{
	uint64_t sum_us = 0, below = 0;
	char label[32];
	for (size_t bucket = 0; bucket <= BOUNDS; bucket++) {
		for (size_t i = 0; i < SHARDS; i++)
			below += value_of(&shards[i].buckets[slots[metric]][bucket]);
		if (bucket < BOUNDS)
			(void)snprintf(
			    label, sizeof(label), "le=\"%g\"", (double)bounds_us[bucket] / 1e6);
		else
			(void)snprintf(label, sizeof(label), "le=\"+Inf\"");
		write_name(buffer, &rows[metric], "_bucket", label);
		ct_buffer_printf(buffer, "%llu\n", (unsigned long long)below);
	}
	for (size_t i = 0; i < SHARDS; i++)
		sum_us += value_of(&shards[i].sums_us[metric]);
	write_name(buffer, &rows[metric], "_sum", "");
	ct_buffer_printf(buffer, "%.6f\n", (double)sum_us / 1e6);
	/* Of the buckets and not of `counts`: the two must agree within one page. */
	write_name(buffer, &rows[metric], "_count", "");
	ct_buffer_printf(buffer, "%llu\n", (unsigned long long)below);
}

static void write_value(struct ct_buffer *buffer, enum ct_metric metric)
{
	double value;
	if (rows[metric].kind == COUNTER) {
		write_name(buffer, &rows[metric], "", "");
		ct_buffer_printf(buffer, "%llu\n", (unsigned long long)ct_metrics_count(metric));
	} else if (readers[metric].read != NULL &&
		   readers[metric].read(readers[metric].arg, &value)) {
		write_name(buffer, &rows[metric], "", "");
		ct_buffer_printf(buffer, "%.15g\n", value);
	}
}

int ct_metrics_write(struct ct_buffer *buffer)
{
	static const char *const types[] = { "counter", "counter", "gauge", "histogram" };
	const char *family = "";
	for (enum ct_metric metric = 0; metric < CT_METRIC_COUNT; metric++) {
		const struct row *row = &rows[metric];
		if (strcmp(row->family, family) != 0)
			ct_buffer_printf(buffer, "# HELP %s %s\n# TYPE %s %s\n", row->family,
			    row->help, row->family, types[row->kind]);
		family = row->family;
		if (row->kind == TIMING)
			write_timing(buffer, metric);
		else
			write_value(buffer, metric);
	}
	return ct_buffer_error(buffer);
}
