#include "base/structured.h"

#include "base/cleanup.h"
#include "structured_print.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct row {
	const char *field;
	const char *canonical; /* NULL: refused */
};

static void check(enum structured_kind kind, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ct_cleanup(ct_buffer_done) struct ct_buffer text;
		ct_buffer_init(&text, 8192);
		int r = structured_print(kind, ct_slice_from_string(rows[i].field), &text);
		if (rows[i].canonical == NULL) {
			cr_expect_eq(
			    r, -EINVAL, "<%s> was taken as <%s>", rows[i].field, text.data);
			continue;
		}
		cr_expect_eq(r, 0, "<%s> was refused", rows[i].field);
		cr_expect_str_eq(
		    text.data != NULL ? text.data : "", rows[i].canonical, "<%s>", rows[i].field);
	}
}

#define CHECK(kind, ...)                                             \
	do {                                                         \
		static const struct row rows[] = { __VA_ARGS__ };    \
		check((kind), rows, sizeof(rows) / sizeof(rows[0])); \
	} while (0)

Test(structured, numbers)
{
	CHECK(STRUCTURED_ITEM, { "0", "0" }, { "-0", "0" }, { "007", "7" }, { "  42 ", "42" },
	    { "999999999999999", "999999999999999" }, { "-999999999999999", "-999999999999999" },
	    { "1000000000000000", NULL }, { "", NULL }, { " ", NULL }, { "-", NULL },
	    { "--1", NULL }, { "+1", NULL }, { "- 1", NULL }, { "1 2", NULL }, { "0x10", NULL },
	    { "1,", NULL }, { "1\t", NULL }, { "\t1", NULL }, { "1e3", NULL });
	CHECK(STRUCTURED_ITEM, { "1.0", "1.0" }, { "-1.50", "-1.5" }, { "0.125", "0.125" },
	    { "2.050", "2.05" }, { "-0.001", "-0.001" }, { "-0.0", "0.0" },
	    { "999999999999.999", "999999999999.999" }, { "1000000000000.0", NULL }, { "1.", NULL },
	    { ".5", NULL }, { "1.2345", NULL }, { "1.2.3", NULL }, { "1.-2", NULL },
	    { "000000000001.1", "1.1" }, { "123456789012345.1", NULL });
	CHECK(STRUCTURED_ITEM, { "@0", "@0" }, { "@-1", "@-1" }, { "@1659578233", "@1659578233" },
	    { "@", NULL }, { "@1.5", NULL }, { "@ 1", NULL }, { "@x", NULL });
	CHECK(STRUCTURED_ITEM, { "?0", "?0" }, { "?1", "?1" }, { "?2", NULL }, { "?", NULL },
	    { "true", "true" }, { "?10", NULL }, { "? 1", NULL }, { "?T", NULL });
}

Test(structured, texts)
{
	CHECK(STRUCTURED_ITEM, { "\"\"", "\"\"" }, { "\"a b\"", "\"a b\"" },
	    { "\"\\\"\\\\\"", "\"\\\"\\\\\"" }, { "\"~ !\"", "\"~ !\"" }, { "\"", NULL },
	    { "\"a", NULL }, { "\"a\\\"", NULL }, { "\"\\a\"", NULL }, { "\"\\", NULL },
	    { "\"a\tb\"", NULL }, { "\"\x7f\"", NULL }, { "\"\xc3\xbc\"", NULL }, { "'a'", NULL },
	    { "\"a\"b", NULL });
	CHECK(STRUCTURED_ITEM, { "a", "a" }, { "*", "*" }, { "Image/*;a", "Image/*;a" },
	    { "a:b/c", "a:b/c" }, { "A!#$%&'*+-.^_`|~9", "A!#$%&'*+-.^_`|~9" }, { "!a", NULL },
	    { "a(", NULL }, { "a\"", NULL }, { "a b", NULL }, { "/a", NULL });
	CHECK(STRUCTURED_ITEM, { "::", "::" }, { ":YQ==:", ":YQ==:" }, { ":YQ:", ":YQ==:" },
	    { ":YR==:", ":YQ==:" }, { ":+/+/:", ":+/+/:" }, { ":YWI:", ":YWI=:" },
	    { ":YQ=:", NULL }, { ":Y:", NULL }, { ":YQ===:", NULL }, { ":====:", NULL },
	    { ":YQ==", NULL }, { ":", NULL }, { ":Y Q=:", NULL }, { ":-_-_:", NULL },
	    { ":YQ==YQ==:", NULL }, { ":YWJj=:", NULL });
	CHECK(STRUCTURED_ITEM, { "%\"\"", "%\"\"" }, { "%\"caf%c3%a9\"", "%\"caf%c3%a9\"" },
	    { "%\"%41%00%25\"", "%\"A%00%25\"" }, { "%\"\\\"", "%\"\\\"" },
	    { "%\"%f0%9f%93%b7\"", "%\"%f0%9f%93%b7\"" }, { "%\"%C3%A9\"", NULL },
	    { "%\"%c3\"", NULL }, { "%\"%c3x\"", NULL }, { "%\"%a9\"", NULL },
	    { "%\"%c0%80\"", NULL }, { "%\"%e0%80%80\"", NULL }, { "%\"%ed%a0%80\"", NULL },
	    { "%\"%f4%90%80%80\"", NULL }, { "%\"%f5%80%80%80\"", NULL }, { "%\"%4\"", NULL },
	    { "%\"%\"", NULL }, { "%\"\xc3\xa9\"", NULL }, { "%\"a", NULL }, { "%a", NULL },
	    { "%", NULL }, { "%\"\t\"", NULL });
}

Test(structured, parameters)
{
	CHECK(STRUCTURED_ITEM, { "1;a", "1;a" }, { "1; a=1;  b=\"x\"", "1;a=1;b=\"x\"" },
	    { "1;a=?1", "1;a" }, { "1;a=?0", "1;a=?0" }, { "t;*a.b_c-9=tok", "t;*a.b_c-9=tok" },
	    { "1;", NULL }, { "1;A", NULL }, { "1;a=", NULL }, { "1;a = 1", NULL },
	    { "1 ;a", NULL }, { "1;\ta", NULL }, { "1;a=(1)", NULL }, { "1;9=1", NULL },
	    { "1;;a", NULL }, { "1;a=1 ", "1;a=1" });
}

Test(structured, lists)
{
	CHECK(STRUCTURED_LIST, { "", "" }, { "  ", "" }, { "1", "1" }, { "a,b", "a, b" },
	    { "1 \t,\t 2  ", "1, 2" }, { "1\t", "1" }, { "\"a,b\", c", "\"a,b\", c" },
	    { "()", "()" }, { "(1 2)", "(1 2)" }, { "(  1  2  );q=1, ( )", "(1 2);q=1, ()" },
	    { "(a;x b;y=2)", "(a;x b;y=2)" }, { ",", NULL }, { "1,", NULL }, { "1, ", NULL },
	    { ",1", NULL }, { "1,,2", NULL }, { "1 2", NULL }, { "(", NULL }, { "(1", NULL },
	    { "(1,2)", NULL }, { "(1\t2)", NULL }, { "(1 2", NULL }, { "((1))", NULL },
	    { ")", NULL }, { "(\"a\"\"b\")", NULL }, { "(1)2", NULL }, { "\t1", NULL },
	    { "(1) )", NULL });
}

Test(structured, dictionaries)
{
	CHECK(STRUCTURED_DICTIONARY, { "", "" }, { "a", "a" }, { "a=?1", "a" }, { "a;p", "a;p" },
	    { "a=?1;p", "a;p" }, { "a=?0", "a=?0" }, { "a=1,b=(x y);z", "a=1, b=(x y);z" },
	    { "a=1 , b", "a=1, b" }, { "*a=1", "*a=1" }, { "a=1,a=2", "a=1, a=2" }, { "A=1", NULL },
	    { "a=", NULL }, { "a= 1", NULL }, { "a =1", NULL }, { "=1", NULL }, { "a=1,", NULL },
	    { "a=1 b=2", NULL }, { "1", NULL }, { "\"a\"=1", NULL }, { "a=1;P=2", NULL },
	    { "-a=1", NULL }, { "a=(1", NULL });
}

Test(structured, absent_is_none)
{
	struct ct_structured walk;
	struct ct_structured_member item;

	cr_assert_eq(ct_structured_item(CT_SLICE_ABSENT, &item), -EINVAL);
	cr_assert_eq(ct_structured_list(CT_SLICE_ABSENT, &walk), -EINVAL);
	cr_assert_eq(ct_structured_dictionary(CT_SLICE_ABSENT, &walk), -EINVAL);
}

Test(structured, a_nul_byte_is_refused)
{
	struct ct_structured walk;
	static const char *const fields[] = { "1", "\"a\"", ":YQ==:", "(a b)", "a;b=c" };

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		for (size_t at = 0; at <= strlen(fields[i]); at++) {
			char text[32] = "";
			memcpy(text, fields[i], at);
			memcpy(text + at + 1, fields[i] + at, strlen(fields[i]) - at);
			cr_expect_eq(ct_structured_list(
					 (struct ct_slice){ text, strlen(fields[i]) + 1 }, &walk),
			    -EINVAL, "<%s> at %zu", fields[i], at);
		}
	}
}

Test(structured, the_last_of_a_key_counts)
{
	struct ct_structured walk;
	struct ct_structured_member member, parameter;

	cr_assert_eq(ct_structured_dictionary(CT_SLICE_OF("a=1, b=2;x=1;x=7, a=(3)"), &walk), 0);
	cr_assert(ct_structured_find(&walk, "a", &member));
	cr_assert_eq(member.value.type, CT_STRUCTURED_INNER);
	cr_assert(ct_structured_find(&walk, "b", &member));
	cr_assert_eq(member.value.number, 2);
	ct_structured_parameters(&member, &walk);
	cr_assert(ct_structured_find(&walk, "x", &parameter));
	cr_assert_eq(parameter.value.number, 7);
	cr_assert(!ct_structured_find(&walk, "y", &parameter));
}

Test(structured, values_are_decoded)
{
	struct ct_structured_member item;
	char text[8];
	size_t length = 0;

	cr_assert_eq(ct_structured_item(CT_SLICE_OF("\"a\\\"b\\\\\""), &item), 0);
	cr_assert_eq(ct_structured_text(&item.value, text, sizeof(text), &length), 0);
	cr_assert_str_eq(text, "a\"b\\");
	cr_assert_eq(length, 4);
	cr_assert_eq(ct_structured_text(&item.value, text, 5, &length), 0);
	cr_assert_eq(ct_structured_text(&item.value, text, 4, &length), -ENAMETOOLONG);
	cr_assert_eq(ct_structured_bytes(&item.value, text, sizeof(text), &length), -EINVAL);

	cr_assert_eq(ct_structured_item(CT_SLICE_OF(":aGVsbG8:"), &item), 0);
	cr_assert_eq(ct_structured_bytes(&item.value, text, 5, &length), 0);
	cr_assert_eq(length, 5);
	cr_assert_arr_eq(text, "hello", 5);
	cr_assert_eq(ct_structured_bytes(&item.value, text, 4, &length), -ENAMETOOLONG);
	cr_assert_eq(ct_structured_text(&item.value, text, sizeof(text), &length), -EINVAL);

	cr_assert_eq(ct_structured_item(CT_SLICE_OF("-3.25"), &item), 0);
	cr_assert_eq(item.value.number, -3250);
}

Test(structured, one_item_of_one_type)
{
	int64_t number = 5;
	bool value = false;

	cr_assert(ct_structured_integer(CT_SLICE_OF("17;a=b"), &number));
	cr_assert_eq(number, 17);
	cr_assert(!ct_structured_integer(CT_SLICE_OF("18.0"), &number));
	cr_assert(!ct_structured_integer(CT_SLICE_OF("18, 19"), &number));
	cr_assert(!ct_structured_integer(CT_SLICE_ABSENT, &number));
	cr_assert_eq(number, 17);
	cr_assert(ct_structured_boolean(CT_SLICE_OF("?1"), &value));
	cr_assert(value);
	cr_assert(!ct_structured_boolean(CT_SLICE_OF("true"), &value));
	cr_assert(!ct_structured_boolean(CT_SLICE_OF("1"), &value));
	cr_assert(value);
}

/* Section 3 asks that 1024 members, 256 parameters and strings of 1024 characters are read. */
Test(structured, limits)
{
	static char text[CT_STRUCTURED_MAX_BYTES + 2];
	struct ct_structured walk;
	struct ct_structured_member member;
	size_t count = 0;

	for (size_t i = 0; i < CT_STRUCTURED_MAX_BYTES; i += 2)
		memcpy(text + i, "1,", 2);
	struct ct_slice most = { text, CT_STRUCTURED_MAX_BYTES - 1 };
	cr_assert_eq(ct_structured_list(most, &walk), 0);
	while (ct_structured_next(&walk, &member))
		count++;
	cr_assert_eq(count, CT_STRUCTURED_MAX_BYTES / 2);
	memset(text, '1', 1);
	memset(text + 1, ' ', CT_STRUCTURED_MAX_BYTES);
	cr_assert_eq(
	    ct_structured_list((struct ct_slice){ text, CT_STRUCTURED_MAX_BYTES }, &walk), 0);
	cr_assert_eq(
	    ct_structured_list((struct ct_slice){ text, CT_STRUCTURED_MAX_BYTES + 1 }, &walk),
	    -EINVAL);
}

static int write_one(void (*write)(struct ct_structured_writer *writer))
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	struct ct_structured_writer writer = { .buffer = &text };

	ct_buffer_init(&text, 256);
	ct_structured_write_member(&writer, NULL);
	write(&writer);
	return ct_structured_writer_error(&writer);
}

static void write_large(struct ct_structured_writer *writer)
{
	ct_structured_write_integer(writer, CT_STRUCTURED_INTEGER_MAX + 1);
}

static void write_large_decimal(struct ct_structured_writer *writer)
{
	ct_structured_write_decimal(writer, INT64_MIN);
}

static void write_control(struct ct_structured_writer *writer)
{
	ct_structured_write_string(writer, CT_SLICE_OF("a\nb"));
}

static void write_bad_token(struct ct_structured_writer *writer)
{
	ct_structured_write_token(writer, CT_SLICE_OF("9a"));
}

static void write_bad_utf8(struct ct_structured_writer *writer)
{
	ct_structured_write_display(writer, CT_SLICE_OF("\xff"));
}

static void write_bad_key(struct ct_structured_writer *writer)
{
	ct_structured_write_integer(writer, 1);
	ct_structured_write_parameter(writer, "Upper");
	ct_structured_write_boolean(writer, true);
}

Test(structured, what_cannot_be_written_is_told)
{
	cr_expect_eq(write_one(write_large), -EINVAL);
	cr_expect_eq(write_one(write_large_decimal), -EINVAL);
	cr_expect_eq(write_one(write_control), -EINVAL);
	cr_expect_eq(write_one(write_bad_token), -EINVAL);
	cr_expect_eq(write_one(write_bad_utf8), -EINVAL);
	cr_expect_eq(write_one(write_bad_key), -EINVAL);
}

Test(structured, a_long_byte_sequence_is_one)
{
	static char data[1000], again[1000];
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	struct ct_structured_writer writer = { .buffer = &text };
	struct ct_structured_member item;
	size_t length = 0;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	ct_buffer_init(&text, 4096);
	ct_structured_write_member(&writer, NULL);
	ct_structured_write_bytes(&writer, data, sizeof(data));
	cr_assert_eq(ct_structured_writer_error(&writer), 0);
	cr_assert_eq(ct_structured_item((struct ct_slice){ text.data, text.length }, &item), 0);
	cr_assert_eq(ct_structured_bytes(&item.value, again, sizeof(again), &length), 0);
	cr_assert_eq(length, sizeof(data));
	cr_assert_arr_eq(data, again, sizeof(data));
}
