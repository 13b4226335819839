#include "base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(clock, goes_on_and_can_be_shifted)
{
	int64_t before_ms = ct_clock_wall_ms();
	int64_t monotonic_us = ct_clock_monotonic_us();
	cr_assert_gt(before_ms, INT64_C(1700000000000));
	ct_clock_shift_wall_ms(86400000);
	int64_t ahead_ms = ct_clock_wall_ms() - before_ms;
	cr_assert(ahead_ms >= 86400000 && ahead_ms < 86400000 + 10000);
	ct_clock_shift_wall_ms(0);
	cr_assert_lt(ct_clock_wall_ms() - before_ms, 10000);
	cr_assert_geq(ct_clock_monotonic_us(), monotonic_us);
	cr_assert_leq(ct_clock_monotonic_ms() - ct_clock_monotonic_us() / 1000, 0);
}

static const struct {
	int64_t wall_ms;
	const char *rfc3339;
	const char *http;
} times[] = {
	{ 0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT" },
	{ INT64_C(784111777000), "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT" },
	{ INT64_C(951782399999), "2000-02-28T23:59:59.999Z", "Mon, 28 Feb 2000 23:59:59 GMT" },
	{ INT64_C(951782400007), "2000-02-29T00:00:00.007Z", "Tue, 29 Feb 2000 00:00:00 GMT" },
	{ -1, "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 GMT" },
	{ INT64_C(253402300799999), "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT" },
	{ INT64_MAX, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT" },
	{ INT64_MIN, "0001-01-01T00:00:00.000Z", "Mon, 01 Jan 0001 00:00:00 GMT" },
};

Test(time, formats)
{
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char rfc3339[CT_TIME_RFC3339_CHARS + 1];
		char http[CT_TIME_HTTP_CHARS + 1];
		ct_time_format_rfc3339(times[i].wall_ms, rfc3339);
		ct_time_format_http(times[i].wall_ms, http);
		cr_assert_str_eq(rfc3339, times[i].rfc3339);
		cr_assert_str_eq(http, times[i].http);
	}
}
