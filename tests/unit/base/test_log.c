#include "base/clock.h"
#include "base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int saved_fd;
static int read_fd;
/* A datagram is what one write(2) wrote. */
static char line[16384];

static void capture(void)
{
	int pair[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	saved_fd = dup(STDERR_FILENO);
	cr_assert_geq(saved_fd, 0);
	cr_assert_geq(dup2(pair[1], STDERR_FILENO), 0);
	cr_assert_eq(close(pair[1]), 0);
	read_fd = pair[0];
}

static void give_back(void)
{
	cr_assert_geq(dup2(saved_fd, STDERR_FILENO), 0);
	cr_assert_eq(close(saved_fd), 0);
	cr_assert_eq(close(read_fd), 0);
}

TestSuite(log, .init = capture, .fini = give_back);

/* The line behind its time; NULL when nothing was written. */
static const char *next_line(void)
{
	ssize_t length = recv(read_fd, line, sizeof(line) - 1, MSG_DONTWAIT);
	if (length < 0)
		return NULL;
	line[length] = '\0';
	cr_assert_gt(length, CT_TIME_RFC3339_CHARS);
	cr_assert_eq(line[CT_TIME_RFC3339_CHARS - 1], 'Z');
	return line + CT_TIME_RFC3339_CHARS;
}

#define assert_logged(expected, ...)                                        \
	do {                                                                \
		ct_log(CT_LOG_INFO, "test", __VA_ARGS__);                   \
		cr_assert_str_eq(next_line(), " info test " expected "\n"); \
	} while (0)

Test(log, one_line_in_one_write)
{
	ct_log(CT_LOG_WARNING, "upload.finished", CT_LOG_TEXT("id", "abc"),
	    CT_LOG_NUMBER("size", INT64_MIN), CT_LOG_CODE(CT_ERROR_NOT_FOUND));
	cr_assert_str_eq(next_line(),
	    " warning upload.finished id=abc size=-9223372036854775808 error=not_found\n");
	cr_assert_null(next_line());
	ct_log(CT_LOG_ERROR, "alone");
	cr_assert_str_eq(next_line(), " error alone\n");
}

Test(log, drops_below_the_level)
{
	ct_log(CT_LOG_DEBUG, "hidden");
	cr_assert_null(next_line());
	ct_log_set_level(CT_LOG_DEBUG);
	ct_log(CT_LOG_DEBUG, "shown");
	cr_assert_str_eq(next_line(), " debug shown\n");
	ct_log_set_level(CT_LOG_ERROR);
	ct_log(CT_LOG_WARNING, "hidden");
	cr_assert_null(next_line());
}

Test(log, quotes_and_escapes)
{
	assert_logged("k=plain/~-.", CT_LOG_TEXT("k", "plain/~-."));
	assert_logged("k=\"\"", CT_LOG_TEXT("k", ""));
	assert_logged("k=\"\"", CT_LOG_TEXT("k", NULL));
	assert_logged("k=\"a b\"", CT_LOG_TEXT("k", "a b"));
	assert_logged("k=\"a=b\"", CT_LOG_TEXT("k", "a=b"));
	assert_logged("k=\"\\\"\\\\\"", CT_LOG_TEXT("k", "\"\\"));
	assert_logged("k=\"\\b\\f\\n\\r\\t\\u0001\\u001b\\u007f\"",
	    CT_LOG_TEXT("k", "\b\f\n\r\t\x01\x1b\x7f"));
	assert_logged("k=gr\xc3\xbcn", CT_LOG_TEXT("k", "gr\xc3\xbcn"));
	assert_logged("k=\"\\u009b1m\"", CT_LOG_TEXT("k", "\xc2\x9b"
							  "1m"));
	assert_logged("k=\"\\u00ff\\u00c3 \"", CT_LOG_TEXT("k", "\xff\xc3 "));
}

Test(log, hostile_bytes_stay_in_their_line)
{
	for (int byte = 1; byte < 256; byte++) {
		const char value[] = { 'a', (char)byte, 'b', '\0' };
		ct_log(CT_LOG_INFO, "test", CT_LOG_TEXT("k", value));
		const char *logged = next_line();
		size_t length = strlen(logged);
		cr_assert_eq(strcspn(logged, "\n"), length - 1);
		for (size_t i = 0; i + 1 < length; i++)
			cr_assert(
			    (unsigned char)logged[i] >= ' ' && (unsigned char)logged[i] < 0x7f);
	}
}

Test(log, cuts_a_long_value_between_characters)
{
	char value[1100];
	memset(value, 'x', sizeof(value));
	value[1023] = '\xe2';
	value[1024] = '\x82';
	value[1025] = '\xac';
	value[1099] = '\0';
	ct_log(CT_LOG_INFO, "test", CT_LOG_TEXT("k", value), CT_LOG_NUMBER("n", 1));
	const char *logged = next_line();
	const char *end = strstr(logged, "x...\" n=1\n");
	cr_assert_not_null(end);
	cr_assert_eq(strchr(logged, 'x') + 1022, end);
	value[1024] = '\0';
	value[1023] = 'x';
	ct_log(CT_LOG_INFO, "test", CT_LOG_TEXT("k", value));
	cr_assert_null(strstr(next_line(), "..."));
}

Test(log, full_line_says_so)
{
	char value[1025];
	memset(value, '\x01', 1024);
	value[1024] = '\0';
	ct_log(CT_LOG_INFO, "test", CT_LOG_TEXT("a", value), CT_LOG_TEXT("b", value),
	    CT_LOG_NUMBER("c", 1));
	const char *logged = next_line();
	cr_assert_null(strstr(logged, "b="));
	const char *end = strstr(logged, " truncated=1\n");
	cr_assert_not_null(end);
	cr_assert_eq(end[strlen(" truncated=1\n")], '\0');
	cr_assert_leq(strlen(line), 8192);
}

/* The time is kept for a second, and put together by hand. */
Test(log, the_time_is_that_of_the_clock)
{
	static const int64_t steps_ms[] = { 0, 1, 1000, 999, 61001, -1000, 86400000,
		INT64_C(-3000000000000), 7 };
	for (size_t i = 0; i < sizeof(steps_ms) / sizeof(steps_ms[0]); i++) {
		char before[CT_TIME_RFC3339_CHARS + 1], after[CT_TIME_RFC3339_CHARS + 1];
		ct_clock_shift_wall_ms(steps_ms[i]);
		ct_time_format_rfc3339(ct_clock_wall_ms(), before);
		ct_log(CT_LOG_INFO, "test");
		ct_time_format_rfc3339(ct_clock_wall_ms(), after);
		cr_assert_not_null(next_line());
		cr_assert(strncmp(line, before, CT_TIME_RFC3339_CHARS) >= 0, "%s %s", line, before);
		cr_assert(strncmp(line, after, CT_TIME_RFC3339_CHARS) <= 0, "%s %s", line, after);
	}
}

Test(log, numbers_of_each_length)
{
	char expected[64];
	for (int64_t number = 1; number < INT64_MAX / 10; number *= 10) {
		(void)snprintf(expected, sizeof(expected), " info test n=%lld m=-%lld\n",
		    (long long)number - 1, (long long)number);
		ct_log(CT_LOG_INFO, "test", CT_LOG_NUMBER("n", number - 1),
		    CT_LOG_NUMBER("m", -number));
		cr_assert_str_eq(next_line(), expected);
	}
}

/* ---- late lines ---- */

static void wait_for_line(void)
{
	struct pollfd readable = { .fd = read_fd, .events = POLLIN };
	cr_assert_eq(poll(&readable, 1, 10000), 1);
}

Test(log, late_lines_are_written_together_and_soon)
{
	cr_assert_eq(ct_log_late_start(), 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++)
			ct_log_late(CT_LOG_INFO, "test", CT_LOG_NUMBER("i", i));
		wait_for_line();
		const char *text = next_line();
		cr_assert_str_eq(strchr(text, '\0') - strlen(" info test i=2\n"),
		    " info test i=2\n", "in the order in which they came");
		cr_assert_not_null(strstr(text, " info test i=1\n"));
		cr_assert_null(next_line(), "all of them in one write");
	}
	ct_log_late_stop();
}

Test(log, late_lines_obey_the_level)
{
	cr_assert_eq(ct_log_late_start(), 0);
	ct_log_late(CT_LOG_DEBUG, "hidden");
	ct_log_late_stop();
	cr_assert_null(next_line());
}

Test(log, a_stop_writes_what_is_there)
{
	ct_log_late_stop();
	for (int round = 0; round < 2; round++) {
		cr_assert_eq(ct_log_late_start(), 0);
		ct_log_late(CT_LOG_INFO, "test");
		ct_log_late_stop();
		cr_assert_str_eq(next_line(), " info test\n");
		ct_log_late(CT_LOG_INFO, "alone");
		cr_assert_str_eq(next_line(), " info alone\n", "nobody would write it later");
	}
}

/* A pipe takes no more than this in one, so lines of others come between whole lines. */
Test(log, late_lines_are_written_in_pieces_of_whole_lines)
{
	char value[1000];
	size_t lines = 0;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	cr_assert_eq(ct_log_late_start(), 0);
	for (int i = 0; i < 16; i++)
		ct_log_late(CT_LOG_INFO, "test", CT_LOG_TEXT("a", value));
	memset(value, 1, sizeof(value) - 1); /* six characters each */
	ct_log_late(CT_LOG_INFO, "test", CT_LOG_TEXT("longer", value));
	ct_log_late(CT_LOG_INFO, "end");
	for (bool is_end = false; !is_end;) {
		wait_for_line();
		const char *text = next_line();
		size_t length = strlen(line);
		cr_assert_eq(line[length - 1], '\n');
		cr_assert(length <= PIPE_BUF || strchr(line, '\n') == line + length - 1);
		for (const char *at = line; (at = strchr(at, '\n')) != NULL; at++)
			lines++;
		is_end = strstr(text, " info end\n") != NULL;
	}
	cr_assert_eq(lines, 18);
	ct_log_late_stop();
}

static void *read_all(void *arg)
{
	uint64_t *counted = arg;
	unsigned long long dropped;
	while (recv(read_fd, line, sizeof(line) - 1, 0) > 0) {
		for (const char *at = line; (at = strchr(at, '\n')) != NULL; at++)
			counted[0]++;
		const char *told = strstr(line, "log.dropped lines=");
		if (told != NULL && sscanf(told, "log.dropped lines=%llu", &dropped) == 1) {
			counted[0]--;
			counted[1] += dropped;
		}
		if (strstr(line, " info end\n") != NULL)
			return NULL;
		memset(line, 0, sizeof(line));
	}
	return NULL;
}

/* Nobody reads: a socket's buffer is full at once. No thread waits, and nothing grows. */
Test(log, late_lines_do_not_wait_for_standard_error)
{
	enum { LINES = 20000 };
	uint64_t counted[2] = { 0, 0 };
	pthread_t reader;
	char value[201];
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	cr_assert_eq(ct_log_late_start(), 0);
	for (int i = 0; i < LINES; i++)
		ct_log_late(CT_LOG_INFO, "test", CT_LOG_TEXT("value", value));
	cr_assert_eq(pthread_create(&reader, NULL, read_all, counted), 0);
	ct_log_late_stop();
	ct_log(CT_LOG_INFO, "end");
	cr_assert_eq(pthread_join(reader, NULL), 0);
	cr_assert_gt(counted[1], 0, "more than all buffers hold");
	cr_assert_eq(counted[0] + counted[1], LINES + 1, "%llu written, %llu dropped",
	    (unsigned long long)counted[0], (unsigned long long)counted[1]);
}
