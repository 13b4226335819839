#include "format.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <locale.h>
#include <string.h>

TestSuite(format);

static void expect_bytes(uint64_t bytes, const char *expected)
{
	char text[CT_FORMAT_BYTES_CHARS + 1];
	ct_format_bytes(bytes, text);
	cr_expect_str_eq(text, expected);
}

Test(format, bytes_in_binary_units)
{
	expect_bytes(0, "0 B");
	expect_bytes(1023, "1023 B");
	expect_bytes(1024, "1.0 KiB");
	expect_bytes(1536, "1.5 KiB");
	expect_bytes(1024 * 1024 - 1, "1.0 MiB");
	expect_bytes(12000000, "11.4 MiB");
	expect_bytes(UINT64_MAX, "16.0 EiB");
}

static void expect_duration(uint64_t seconds, const char *expected)
{
	char text[CT_FORMAT_DURATION_CHARS + 1];
	ct_format_duration(seconds, text);
	cr_expect_str_eq(text, expected);
}

Test(format, durations)
{
	expect_duration(7, "0:07");
	expect_duration(723, "12:03");
	expect_duration(3723, "1:02:03");
	expect_duration(100 * 3600 - 1, "99:59:59");
	expect_duration(100 * 3600, "--:--");
	expect_duration(UINT64_MAX, "--:--");
}

static void expect_parsed(const char *text, uint64_t expected)
{
	uint64_t bytes = 1;
	cr_expect_eq(ct_parse_bytes(text, &bytes), 0, "%s", text);
	cr_expect_eq(bytes, expected, "%s", text);
}

static void expect_refused(const char *text, int expected)
{
	uint64_t bytes = 77;
	cr_expect_eq(ct_parse_bytes(text, &bytes), expected, "%s", text);
	cr_expect_eq(bytes, 77, "%s", text);
}

Test(format, sizes_are_read)
{
	expect_parsed("0", 0);
	expect_parsed("65536", 65536);
	expect_parsed("64k", 65536);
	expect_parsed("64K", 65536);
	expect_parsed("64KiB", 65536);
	expect_parsed("2M", 2 << 20);
	expect_parsed("3GiB", 3ull << 30);
	expect_parsed("9223372036854775807", INT64_MAX);
}

Test(format, sizes_that_are_none_are_refused)
{
	expect_refused("", -EINVAL);
	expect_refused("k", -EINVAL);
	expect_refused("-1", -EINVAL);
	expect_refused(" 1", -EINVAL);
	expect_refused("1 k", -EINVAL);
	expect_refused("1.5M", -EINVAL);
	expect_refused("1KB", -EINVAL);
	expect_refused("1x", -EINVAL);
	expect_refused("9223372036854775808", -ERANGE);
	expect_refused("9007199254740992K", -ERANGE);
}

static void expect_escaped(const char *text, size_t length, const char *expected)
{
	struct ct_buffer buffer;
	ct_buffer_init(&buffer, 4096);
	ct_escape_append(&buffer, (struct ct_slice){ text, length });
	cr_expect_eq(ct_buffer_error(&buffer), 0);
	cr_expect_str_eq(buffer.data != NULL ? buffer.data : "", expected);
	ct_buffer_done(&buffer);
}

#define EXPECT_ESCAPED(text, expected) expect_escaped((text), sizeof(text) - 1, (expected))

Test(format, what_steers_a_terminal_is_escaped)
{
	EXPECT_ESCAPED("", "");
	EXPECT_ESCAPED("photo 1.jpg", "photo 1.jpg");
	EXPECT_ESCAPED("a\033[31mb", "a\\x1b[31mb");
	EXPECT_ESCAPED("a\r\nb\tc\0d\177", "a\\x0d\\x0ab\\x09c\\x00d\\x7f");
	/* CSI as one C1 character, and its bare byte */
	EXPECT_ESCAPED("\302\2331m", "\\u{9b}1m");
	EXPECT_ESCAPED("\2331m", "\\x9b1m");
	EXPECT_ESCAPED("gpj\342\200\256exe", "gpj\\u{202e}exe");
	EXPECT_ESCAPED("\342\200\250", "\\u{2028}");
}

Test(format, letters_of_all_languages_stay)
{
	EXPECT_ESCAPED("für élise 写真 🖼", "für élise 写真 🖼");
}

Test(format, what_is_not_utf8_is_escaped_byte_by_byte)
{
	EXPECT_ESCAPED("\377a", "\\xffa");
	EXPECT_ESCAPED("\303", "\\xc3");
	EXPECT_ESCAPED("\303(", "\\xc3(");
	EXPECT_ESCAPED("\300\200", "\\xc0\\x80");
	EXPECT_ESCAPED("\355\240\200", "\\xed\\xa0\\x80");
	EXPECT_ESCAPED("\360\237\226", "\\xf0\\x9f\\x96");
}

static void expect_fit(const char *text, size_t columns, const char *expected)
{
	struct ct_buffer buffer;
	ct_buffer_init(&buffer, 4096);
	ct_text_fit(&buffer, ct_slice_from_string(text), columns);
	cr_expect_str_eq(buffer.data != NULL ? buffer.data : "", expected);
	ct_buffer_done(&buffer);
}

Test(format, text_is_fitted_into_columns)
{
	expect_fit("abc", 3, "abc");
	expect_fit("abc", 5, "abc  ");
	expect_fit("abcdef", 5, "abc..");
	expect_fit("abcdef", 1, ".");
	expect_fit("abcdef", 0, "");
}

Test(format, wide_characters_count_twice)
{
	cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
	cr_expect_eq(ct_text_columns(ct_slice_from_string("写真")), 4);
	expect_fit("写真館", 5, "写.. ");
}
