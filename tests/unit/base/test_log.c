#include "base/clock.h"
#include "base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
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
