#include "progress.h"

#include "base/assert.h"
#include "base/slice.h"
#include "format.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define RATE_MEMORY_MS 3000
#define RATE_STEP_MS 200
#define MAX_NAME_COLUMNS 32
#define MIN_NAME_COLUMNS 8
#define MIN_BAR_COLUMNS 10
#define MAX_BAR_COLUMNS 60
#define DETAIL_CHARS 127

void ct_rate_start(struct ct_rate *rate, int64_t now_ms, uint64_t bytes)
{
	*rate = (struct ct_rate){ .at_ms = now_ms, .bytes = bytes };
}

void ct_rate_sample(struct ct_rate *rate, int64_t now_ms, uint64_t bytes)
{
	int64_t passed_ms = now_ms - rate->at_ms;
	if (passed_ms < RATE_STEP_MS || bytes < rate->bytes)
		return;
	double current = (double)(bytes - rate->bytes) * 1000 / (double)passed_ms;
	double weight = (double)passed_ms / (double)(passed_ms + RATE_MEMORY_MS);
	if (rate->bytes_per_second <= 0)
		weight = 1;
	rate->bytes_per_second += (current - rate->bytes_per_second) * weight;
	rate->at_ms = now_ms;
	rate->bytes = bytes;
}

static unsigned percent_of(const struct ct_progress *progress)
{
	if (progress->total == 0)
		return 0;
	if (progress->done >= progress->total)
		return 100;
	return (unsigned)((double)progress->done * 100 / (double)progress->total);
}

/* As much detail as `level` asks: 0 percent, 1 bytes, 2 rate, 3 time left. */
static void format_detail(
    const struct ct_progress *progress, int level, char ret_text[DETAIL_CHARS + 1])
{
	char done[CT_FORMAT_BYTES_CHARS + 1];
	char total[CT_FORMAT_BYTES_CHARS + 1];
	char rate[CT_FORMAT_BYTES_CHARS + 1];
	char left[CT_FORMAT_DURATION_CHARS + 1] = "--:--";
	double speed = progress->bytes_per_second;
	uint64_t rest = progress->total > progress->done ? progress->total - progress->done : 0;
	int chars;

	ct_format_bytes(progress->done, done);
	ct_format_bytes(progress->total, total);
	ct_format_bytes((uint64_t)speed, rate);
	if (speed >= 1)
		ct_format_duration((uint64_t)((double)rest / speed + 0.5), left);
	unsigned percent = percent_of(progress);
	if (progress->state != NULL)
		chars = snprintf(ret_text, DETAIL_CHARS + 1, "%s", progress->state);
	else if (level == 0)
		chars = snprintf(ret_text, DETAIL_CHARS + 1, "%3u%%", percent);
	else if (level == 1)
		chars =
		    snprintf(ret_text, DETAIL_CHARS + 1, "%3u%%  %10s / %s", percent, done, total);
	else if (level == 2)
		chars = snprintf(ret_text, DETAIL_CHARS + 1, "%3u%%  %10s / %s  %10s/s", percent,
		    done, total, rate);
	else
		chars = snprintf(ret_text, DETAIL_CHARS + 1, "%3u%%  %10s / %s  %10s/s  %5s",
		    percent, done, total, rate, left);
	CT_ASSERT(chars >= 0); /* a long state is cut */
}

static void append_bar(struct ct_buffer *buffer, unsigned percent, size_t columns)
{
	size_t full = columns * percent / 100;
	ct_buffer_append(buffer, " [", 2);
	for (size_t i = 0; i < columns; i++)
		ct_buffer_append(buffer, i < full ? "#" : ".", 1);
	ct_buffer_append(buffer, "]", 1);
}

static size_t name_columns(const struct ct_progress *progress, size_t columns)
{
	size_t wanted = ct_text_columns(ct_slice_from_string(progress->name));
	size_t most = columns / 3 < MAX_NAME_COLUMNS ? columns / 3 : MAX_NAME_COLUMNS;
	if (most < MIN_NAME_COLUMNS)
		most = MIN_NAME_COLUMNS;
	return wanted < most ? wanted : most;
}

void ct_progress_format(
    const struct ct_progress *progress, size_t columns, struct ct_buffer *buffer)
{
	char detail[DETAIL_CHARS + 1];
	size_t name = name_columns(progress, columns);
	size_t detail_columns;
	int level = progress->bytes_per_second >= 1 ? 3 : 1;

	do {
		format_detail(progress, level, detail);
		detail_columns = ct_text_columns(ct_slice_from_string(detail));
	} while (name + 2 + detail_columns > columns && level-- > 0);
	if (name + 2 + detail_columns > columns) {
		ct_text_fit(buffer, ct_slice_from_string(progress->name), columns);
		return;
	}
	ct_text_fit(buffer, ct_slice_from_string(progress->name), name);
	size_t left = columns - name - 2 - detail_columns;
	if (progress->state == NULL && left >= MIN_BAR_COLUMNS + 3) {
		size_t bar = left - 3 < MAX_BAR_COLUMNS ? left - 3 : MAX_BAR_COLUMNS;
		append_bar(buffer, percent_of(progress), bar);
	}
	ct_buffer_append(buffer, "  ", 2);
	ct_buffer_append_string(buffer, detail);
}
