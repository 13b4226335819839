#include "base/clock.h"
#include "base/assert.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

/* What has a year of four digits: 0001-01-01 to 9999-12-31. */
#define MIN_WALL_MS INT64_C(-62135596800000)
#define MAX_WALL_MS INT64_C(253402300799999)

static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
	"Sep", "Oct", "Nov", "Dec" };

static _Atomic int64_t wall_shift_ms;

static int64_t read_clock_us(clockid_t clock)
{
	struct timespec now;
	CT_ASSERT(clock_gettime(clock, &now) == 0);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t ct_clock_wall_ms(void)
{
	return read_clock_us(CLOCK_REALTIME) / 1000 + atomic_load(&wall_shift_ms);
}

int64_t ct_clock_monotonic_ms(void)
{
	return ct_clock_monotonic_us() / 1000;
}

int64_t ct_clock_monotonic_us(void)
{
	return read_clock_us(CLOCK_MONOTONIC);
}

void ct_clock_shift_wall_ms(int64_t shift_ms)
{
	atomic_store(&wall_shift_ms, shift_ms);
}

/* Into whole seconds of UTC; the milliseconds that are left, 0 to 999. */
static int split(int64_t wall_ms, struct tm *ret_time)
{
	if (wall_ms < MIN_WALL_MS)
		wall_ms = MIN_WALL_MS;
	if (wall_ms > MAX_WALL_MS)
		wall_ms = MAX_WALL_MS;
	int rest_ms = (int)(wall_ms % 1000);
	if (rest_ms < 0)
		rest_ms += 1000;
	time_t seconds = (time_t)((wall_ms - rest_ms) / 1000);
	CT_ASSERT(gmtime_r(&seconds, ret_time) != NULL);
	return rest_ms;
}

void ct_time_format_rfc3339(int64_t wall_ms, char ret_text[CT_TIME_RFC3339_CHARS + 1])
{
	struct tm time;
	int rest_ms = split(wall_ms, &time);
	int length = snprintf(ret_text, CT_TIME_RFC3339_CHARS + 1,
	    "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", time.tm_year + 1900, time.tm_mon + 1,
	    time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec, rest_ms);
	CT_ASSERT(length == CT_TIME_RFC3339_CHARS);
}

void ct_time_format_http(int64_t wall_ms, char ret_text[CT_TIME_HTTP_CHARS + 1])
{
	struct tm time;
	(void)split(wall_ms, &time); /* the format has no milliseconds */
	int length = snprintf(ret_text, CT_TIME_HTTP_CHARS + 1,
	    "%s, %02d %s %04d %02d:%02d:%02d GMT", day_names[time.tm_wday], time.tm_mday,
	    month_names[time.tm_mon], time.tm_year + 1900, time.tm_hour, time.tm_min, time.tm_sec);
	CT_ASSERT(length == CT_TIME_HTTP_CHARS);
}
