#include "base/text.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

Test(hex, there_and_back)
{
	char text[7];
	unsigned char bytes[3] = { 0, 0, 0 };
	ct_hex_encode("\x00\xab\xff", 3, text);
	cr_assert_str_eq(text, "00abff");
	cr_assert_eq(ct_hex_decode(CT_SLICE_OF("00abff"), bytes, 3), 0);
	cr_assert_eq(memcmp(bytes, "\x00\xab\xff", 3), 0);
	cr_assert_eq(ct_hex_decode(CT_SLICE_OF(""), bytes, 0), 0);
}

Test(hex, refuses_and_writes_nothing)
{
	static const char *const bad[] = { "00abf", "00abff0", "00abff00", "00ABff", "00ab g",
		"0x00ab", "" };
	unsigned char bytes[3] = { 7, 7, 7 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(
		    ct_hex_decode(ct_slice_from_string(bad[i]), bytes, 3), -EINVAL, "%s", bad[i]);
	cr_assert_eq(ct_hex_decode(CT_SLICE_OF("00ab\0f"), bytes, 3), -EINVAL);
	cr_assert_eq(memcmp(bytes, "\7\7\7", 3), 0);
}

/* RFC 4648 section 10. */
static const struct {
	const char *plain;
	const char *encoded;
} vectors[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
};

Test(base64, vectors)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		char text[9];
		char bytes[6];
		size_t length = 99;
		ct_base64_encode(vectors[i].plain, strlen(vectors[i].plain), text);
		cr_assert_str_eq(text, vectors[i].encoded);
		cr_assert_eq(
		    ct_base64_decode(ct_slice_from_string(text), bytes, sizeof(bytes), &length), 0);
		cr_assert_eq(length, strlen(vectors[i].plain));
		cr_assert_eq(memcmp(bytes, vectors[i].plain, length), 0);
	}
}

Test(base64, every_byte_and_length)
{
	unsigned char bytes[256];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(255 - i);
	for (size_t length = 0; length <= sizeof(bytes); length++) {
		char text[4 * ((256 + 2) / 3) + 1];
		unsigned char back[256];
		size_t back_length = 999;
		ct_base64_encode(bytes, length, text);
		cr_assert_eq(strlen(text), 4 * ((length + 2) / 3));
		cr_assert_eq(
		    ct_base64_decode(ct_slice_from_string(text), back, length, &back_length), 0);
		cr_assert_eq(back_length, length);
		cr_assert_eq(memcmp(back, bytes, length), 0);
	}
}

Test(base64, refuses)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9-",
		"Zm9_", "Zm 9", "=m9v", "Zm=v", "Zg==\n" };
	char bytes[8] = "???????";
	size_t length = 99;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(
		    ct_base64_decode(ct_slice_from_string(bad[i]), bytes, sizeof(bytes), &length),
		    -EINVAL, "%s", bad[i]);
	cr_assert_eq(ct_base64_decode(CT_SLICE_OF("Zm9\0"), bytes, 8, &length), -EINVAL);
	cr_assert_eq(ct_base64_decode(CT_SLICE_OF("Zm9v"), bytes, 2, &length), -ENAMETOOLONG);
	cr_assert_str_eq(bytes, "???????");
	cr_assert_eq(length, 99);
}

static int decode(const char *text, enum ct_percent_mode mode, char *ret_text, size_t capacity)
{
	size_t length = 0;
	int r = ct_percent_decode(ct_slice_from_string(text), mode, ret_text, capacity, &length);
	if (r == 0)
		cr_assert_eq(length, strlen(ret_text));
	return r;
}

Test(percent, decodes)
{
	char text[32];
	cr_assert_eq(decode("a%20b%2Fc%2fd", CT_PERCENT_PATH, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "a b/c/d");
	cr_assert_eq(decode("a+b%2Bc", CT_PERCENT_PATH, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "a+b+c");
	cr_assert_eq(decode("a+b%2Bc", CT_PERCENT_QUERY, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "a b+c");
	cr_assert_eq(decode("%e2%82%ac", CT_PERCENT_PATH, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "\xe2\x82\xac");
	cr_assert_eq(decode("%2541", CT_PERCENT_PATH, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "%41");
	cr_assert_eq(decode("", CT_PERCENT_PATH, text, sizeof(text)), 0);
	cr_assert_str_eq(text, "");
}

Test(percent, refuses)
{
	static const char *const bad[] = { "%", "%4", "a%", "%zz", "%4g", "%g4", "%00", "a%00b",
		"%c0%af", "%ff", "%ed%a0%80", "%+1", "% 1", "\xff" };
	char text[32];
	size_t length = 99;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(
		    decode(bad[i], CT_PERCENT_QUERY, text, sizeof(text)), -EINVAL, "%s", bad[i]);
	cr_assert_eq(
	    ct_percent_decode(CT_SLICE_OF("a\0b"), CT_PERCENT_PATH, text, 32, &length), -EINVAL);
	cr_assert_eq(length, 99);
}

Test(percent, decodes_up_to_the_capacity)
{
	char text[4];
	cr_assert_eq(decode("%61bc", CT_PERCENT_PATH, text, 4), 0);
	cr_assert_str_eq(text, "abc");
	cr_assert_eq(decode("%61bcd", CT_PERCENT_PATH, text, 4), -ENAMETOOLONG);
	cr_assert_eq(decode("", CT_PERCENT_PATH, text, 0), -ENAMETOOLONG);
}

Test(percent, encodes)
{
	char text[16];
	cr_assert_eq(ct_percent_encode(CT_SLICE_OF("aZ09-._~"), text, sizeof(text)), 0);
	cr_assert_str_eq(text, "aZ09-._~");
	cr_assert_eq(ct_percent_encode(CT_SLICE_OF(" /\0\xff"), text, sizeof(text)), 0);
	cr_assert_str_eq(text, "%20%2F%00%FF");
	cr_assert_eq(ct_percent_encode(CT_SLICE_OF("/////"), text, sizeof(text)), 0);
	cr_assert_eq(ct_percent_encode(CT_SLICE_OF("/////a"), text, sizeof(text)), -ENAMETOOLONG);
	cr_assert_str_eq(text, "%2F%2F%2F%2F%2F");
}

Test(id, is_valid_and_differs)
{
	char a[CT_ID_CHARS + 1];
	char b[CT_ID_CHARS + 1];
	cr_assert_eq(ct_id_generate(a), 0);
	cr_assert_eq(ct_id_generate(b), 0);
	cr_assert(ct_id_is_valid(ct_slice_from_string(a)));
	cr_assert_str_neq(a, b);
	cr_assert_not(ct_id_is_valid(CT_SLICE_OF("0123456789abcdef0123456789abcde")));
	cr_assert_not(ct_id_is_valid(CT_SLICE_OF("0123456789abcdef0123456789abcdef0")));
	cr_assert_not(ct_id_is_valid(CT_SLICE_OF("0123456789abcdef0123456789abcdeF")));
	cr_assert_not(ct_id_is_valid(CT_SLICE_OF("../3456789abcdef0123456789abcdef")));
	cr_assert_not(ct_id_is_valid(CT_SLICE_ABSENT));
}

Test(random, fills_all)
{
	unsigned char bytes[4096] = { 0 };
	size_t zeros = 0;
	cr_assert_eq(ct_random_bytes(bytes, sizeof(bytes)), 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		zeros += bytes[i] == 0;
	cr_assert_lt(zeros, 100);
}
