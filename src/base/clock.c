#include "base/clock.h"
#include "base/assert.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
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

/* -1: none of them. */
static int find_name(const char *text, const char names[][4], int count)
{
	for (int i = 0; i < count; i++) {
		if (memcmp(text, names[i], 3) == 0)
			return i;
	}
	return -1;
}

/* `count` digits; -1: something else. */
static int parse_digits(const char *text, int count)
{
	int value = 0;
	for (int i = 0; i < count; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

static bool has_shape(const char *text)
{
	static const char shape[] = "___, __ ___ ____ __:__:__ GMT";
	_Static_assert(sizeof(shape) == CT_TIME_HTTP_CHARS + 1, "the shape has the length");
	for (size_t i = 0; i < CT_TIME_HTTP_CHARS; i++) {
		if (shape[i] != '_' && shape[i] != text[i])
			return false;
	}
	return true;
}

int ct_time_parse_http(struct ct_slice text, int64_t *ret_wall_ms)
{
	if (text.length != CT_TIME_HTTP_CHARS || !has_shape(text.data))
		return -EINVAL;
	int day_of_week = find_name(text.data, day_names, 7);
	int day = parse_digits(text.data + 5, 2);
	int month = find_name(text.data + 8, month_names, 12);
	int year = parse_digits(text.data + 12, 4);
	int hour = parse_digits(text.data + 17, 2);
	int minute = parse_digits(text.data + 20, 2);
	int second = parse_digits(text.data + 23, 2);
	if (day_of_week < 0 || day < 1 || month < 0 || year < 1 || hour < 0 || hour > 23 ||
	    minute < 0 || minute > 59 || second < 0 || second > 60)
		return -EINVAL;

	struct tm time = {
		.tm_mday = day,
		.tm_mon = month,
		.tm_year = year - 1900,
	};
	int64_t midnight = (int64_t)timegm(&time);
	/* timegm turns 31 Feb into March, and fills in the day of the week. */
	if (time.tm_mday != day || time.tm_wday != day_of_week)
		return -EINVAL;
	*ret_wall_ms = (midnight + hour * 3600 + minute * 60 + second) * 1000;
	return 0;
}
