/*
 * Time. Any thread. Tests may shift the wall clock.
 */
#ifndef CT_BASE_CLOCK_H
#define CT_BASE_CLOCK_H

#include <stdint.h>

#define CT_TIME_RFC3339_CHARS 24 /* 2026-11-24T06:54:19.123Z */
#define CT_TIME_HTTP_CHARS 29	 /* Tue, 24 Nov 2026 06:54:19 GMT */

int64_t ct_clock_wall_ms(void);	     /* since 1970-01-01 UTC */
int64_t ct_clock_monotonic_ms(void); /* for deadlines and durations */
int64_t ct_clock_monotonic_us(void);

/* For tests: ct_clock_wall_ms() answers this much later from now on. */
void ct_clock_shift_wall_ms(int64_t shift_ms);

void ct_time_format_rfc3339(int64_t wall_ms, char ret_text[CT_TIME_RFC3339_CHARS + 1]);
/* IMF-fixdate, RFC 9110 section 5.6.7. */
void ct_time_format_http(int64_t wall_ms, char ret_text[CT_TIME_HTTP_CHARS + 1]);

#endif
