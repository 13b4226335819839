#include "calotype/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(error, every_row_answers)
{
	for (int i = 0; i < CT_ERROR_COUNT; i++) {
		int error = -(CT_ERROR_FIRST + i);
		cr_assert_eq(ct_error_canonical(error), error);
		cr_assert_gt(strlen(ct_error_code(error)), 0);
		cr_assert_gt(strlen(ct_error_text(error)), 0);
		cr_assert_eq(ct_error_from_code(ct_error_code(error)), error);
		cr_assert_str_eq(ct_error_name(error), ct_error_code(error));
		int status = ct_error_http_status(error);
		cr_assert(status >= 400 && status <= 599);
	}
}

Test(error, rows_are_what_the_table_says)
{
	cr_assert_eq(CT_ERROR_MALFORMED_HEAD, -1001);
	cr_assert_str_eq(ct_error_code(CT_ERROR_UPLOAD_BUSY), "upload_busy");
	cr_assert_eq(ct_error_http_status(CT_ERROR_UPLOAD_BUSY), 423);
	cr_assert(ct_error_is_retryable(CT_ERROR_UPLOAD_BUSY));
	cr_assert_not(ct_error_is_retryable(CT_ERROR_NOT_FOUND));
}

Test(error, errno_values)
{
	cr_assert_eq(ct_error_canonical(-ENOSPC), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(ct_error_canonical(-EDQUOT), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(ct_error_canonical(-ENOENT), CT_ERROR_NOT_FOUND);
	cr_assert_eq(ct_error_canonical(-EIO), CT_ERROR_INTERNAL);
	cr_assert_eq(ct_error_http_status(-ENOSPC), 507);
	cr_assert_str_eq(ct_error_code(-EIO), "internal");
	cr_assert_str_eq(ct_error_name(-EIO), "errno EIO");
	cr_assert_str_eq(ct_error_name(-ENOENT), "not_found");
	cr_assert_str_eq(ct_error_name(-133), "errno unknown");
}

Test(error, values_outside_of_the_table)
{
	static const int outside[] = { 0, 1, -999, -1000, -(CT_ERROR_FIRST + CT_ERROR_COUNT),
		-99999 };
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		cr_assert_eq(ct_error_canonical(outside[i]), CT_ERROR_INTERNAL);
	cr_assert_eq(ct_error_from_code("no_such_code"), CT_ERROR_INTERNAL);
	cr_assert_eq(ct_error_from_code(""), CT_ERROR_INTERNAL);
	cr_assert_str_eq(ct_error_name(0), "none");
}
