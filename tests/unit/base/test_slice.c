#include "base/slice.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(slice, absent_is_not_empty)
{
	cr_assert_null(ct_slice_from_string(NULL).data);
	cr_assert_not(ct_slice_equal(CT_SLICE_ABSENT, ""));
	cr_assert_not(ct_slice_equal_ignore_case(CT_SLICE_ABSENT, ""));
	cr_assert_not(ct_slice_starts_with(CT_SLICE_ABSENT, ""));
	cr_assert(ct_slice_equal(CT_SLICE_OF(""), ""));
	cr_assert(ct_slice_starts_with(CT_SLICE_OF("ab"), ""));
}

Test(slice, compares)
{
	cr_assert(ct_slice_equal(CT_SLICE_OF("abc"), "abc"));
	cr_assert_not(ct_slice_equal(CT_SLICE_OF("abc"), "ab"));
	cr_assert_not(ct_slice_equal(CT_SLICE_OF("ab\0"), "ab"));
	cr_assert(ct_slice_equal_ignore_case(CT_SLICE_OF("Content-TYPE"), "content-type"));
	cr_assert_not(ct_slice_equal_ignore_case(CT_SLICE_OF("a["), "A{"));
	cr_assert(ct_slice_starts_with(CT_SLICE_OF("abc"), "ab"));
	cr_assert_not(ct_slice_starts_with(CT_SLICE_OF("ab"), "abc"));
}

Test(slice, trims_spaces_and_tabs_only)
{
	cr_assert(ct_slice_equal(ct_slice_trim(CT_SLICE_OF(" \t a b\t ")), "a b"));
	cr_assert(ct_slice_equal(ct_slice_trim(CT_SLICE_OF("  ")), ""));
	cr_assert(ct_slice_equal(ct_slice_trim(CT_SLICE_OF("\na\n")), "\na\n"));
	cr_assert_null(ct_slice_trim(CT_SLICE_ABSENT).data);
}

Test(slice, cuts_pieces)
{
	static const char *const expected[] = { "a", "", "b", "" };
	struct ct_slice rest = CT_SLICE_OF("a,,b,");
	size_t count = 0;
	while (rest.data != NULL) {
		struct ct_slice piece = ct_slice_cut(&rest, ',');
		cr_assert_lt(count, 4);
		cr_assert(ct_slice_equal(piece, expected[count]));
		count++;
	}
	cr_assert_eq(count, 4);
	cr_assert_null(ct_slice_cut(&rest, ',').data);
}

Test(slice, cuts_an_empty_one_once)
{
	struct ct_slice rest = CT_SLICE_OF("");
	cr_assert(ct_slice_equal(ct_slice_cut(&rest, ','), ""));
	cr_assert_null(rest.data);
}

static int to_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
	return ct_slice_to_u64(ct_slice_from_string(text), max, ret_value);
}

Test(slice, parses_numbers)
{
	uint64_t value = 7;
	cr_assert_eq(to_u64("0", 0, &value), 0);
	cr_assert_eq(value, 0);
	cr_assert_eq(to_u64("18446744073709551615", UINT64_MAX, &value), 0);
	cr_assert_eq(value, UINT64_MAX);
	cr_assert_eq(to_u64("000123", 123, &value), 0);
	cr_assert_eq(value, 123);
}

Test(slice, refuses_what_is_no_number)
{
	static const char *const bad[] = { "", "+1", "-1", " 1", "1 ", "1x", "0x1", "1.0",
		"99999999999999999999x" };
	uint64_t value = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(to_u64(bad[i], UINT64_MAX, &value), -EINVAL, "%s", bad[i]);
	cr_assert_eq(ct_slice_to_u64(CT_SLICE_ABSENT, 9, &value), -EINVAL);
	cr_assert_eq(ct_slice_to_u64(CT_SLICE_OF("1\0"), 9, &value), -EINVAL);
	cr_assert_eq(to_u64("18446744073709551616", UINT64_MAX, &value), -ERANGE);
	cr_assert_eq(to_u64("99999999999999999999999", UINT64_MAX, &value), -ERANGE);
	cr_assert_eq(to_u64("124", 123, &value), -ERANGE);
	cr_assert_eq(to_u64("9", 3, &value), -ERANGE);
	cr_assert_eq(value, 7);
}

Test(slice, copies_into_a_string)
{
	char text[4] = "???";
	cr_assert_eq(ct_slice_copy(CT_SLICE_OF("abcd"), text, sizeof(text)), -ENAMETOOLONG);
	cr_assert_eq(ct_slice_copy(CT_SLICE_OF("a\0b"), text, sizeof(text)), -EINVAL);
	cr_assert_str_eq(text, "???");
	cr_assert_eq(ct_slice_copy(CT_SLICE_OF("abc"), text, sizeof(text)), 0);
	cr_assert_str_eq(text, "abc");
	cr_assert_eq(ct_slice_copy(CT_SLICE_ABSENT, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "");
	cr_assert_eq(ct_slice_copy(CT_SLICE_OF(""), text, 0), -ENAMETOOLONG);
}

Test(slice, accepts_utf8)
{
	static const char *const good[] = { "", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf", "gr\xc3\xbc\xc3\x9f" };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_assert(ct_slice_is_utf8(ct_slice_from_string(good[i])), "%zu", i);
	cr_assert(ct_slice_is_utf8(CT_SLICE_OF("a\0b")));
	cr_assert(ct_slice_is_utf8(CT_SLICE_ABSENT));
}

Test(slice, refuses_broken_utf8)
{
	static const char *const bad[] = { "\x80", "\xc0\xaf", "\xc1\xbf", "\xc2", "\xc2x",
		"\xe0\x9f\xbf", "\xe0\xa0", "\xe2\x82x", "\xed\xa0\x80", "\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
		"\xfe", "ok\xe2\x82" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_not(ct_slice_is_utf8(ct_slice_from_string(bad[i])), "%zu", i);
}

/* Each code point in its shortest form is accepted, but for the surrogates. */
Test(slice, agrees_with_the_encoding_of_each_code_point)
{
	for (unsigned point = 0x800; point <= 0xffff; point++) {
		char bytes[3] = { (char)(0xe0 | point >> 12), (char)(0x80 | (point >> 6 & 63)),
			(char)(0x80 | (point & 63)) };
		bool surrogate = point >= 0xd800 && point <= 0xdfff;
		cr_assert_eq(
		    ct_slice_is_utf8((struct ct_slice){ bytes, 3 }), !surrogate, "%x", point);
	}
}
