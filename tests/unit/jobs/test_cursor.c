#include "jobs/jobs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef"

static void expect_same(int64_t at)
{
	char text[64];
	char id[CT_ID_CHARS + 1];
	int64_t back;
	ct_cursor_format(at, ID, text);
	cr_assert_eq(ct_cursor_parse(text, &back, id), 0);
	cr_expect_eq(back, at);
	cr_expect_str_eq(id, ID);
}

Test(cursor, comes_back)
{
	expect_same(0);
	expect_same(1763967559123);
	expect_same(INT64_MAX);
}

Test(cursor, refuses_anything_else)
{
	static const char *const bad[] = { "", "-", "1", "1-", "-" ID, "1-" ID "0", "1-0" ID,
		"x-" ID, "+1-" ID, " 1-" ID, "1--" ID, "-1-" ID, "9223372036854775808-" ID,
		"1-0123456789ABCDEF0123456789abcdef", "1-" ID "\n", "1 -" ID };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char id[CT_ID_CHARS + 1] = "untouched";
		int64_t at = 7;
		cr_expect_eq(ct_cursor_parse(bad[i], &at, id), -EINVAL, "%s", bad[i]);
		cr_expect_eq(at, 7);
		cr_expect_str_eq(id, "untouched");
	}
	int64_t at;
	char id[CT_ID_CHARS + 1];
	cr_expect_eq(ct_cursor_parse(NULL, &at, id), -EINVAL);
}
