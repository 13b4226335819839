/*
 * The one table of errors. A fallible function returns int: 0 or a documented count on success,
 * else a negative errno value or one of the codes below, which lie under -1000.
 * All functions may be called from any thread.
 */
#ifndef CALOTYPE_ERROR_H
#define CALOTYPE_ERROR_H

#include <stdbool.h>

#define CT_ERROR_FIRST 1001

enum ct_error_index {
#define CT_ROW(name, code, status, retryable, text) CT_ERROR_INDEX_##name,
#include "calotype/error_codes.def"
#undef CT_ROW
	CT_ERROR_COUNT
};

/* CT_ERROR_NOT_FOUND and so on: negative, ready to return. */
enum ct_error {
#define CT_ROW(name, code, status, retryable, text) \
	CT_ERROR_##name = -(CT_ERROR_FIRST + CT_ERROR_INDEX_##name),
#include "calotype/error_codes.def"
#undef CT_ROW
};

/*
 * `error` is any value a fallible function may return below zero. A negative errno value with a
 * meaning for a client is first mapped to a row (-ENOSPC, -EDQUOT: INSUFFICIENT_SPACE; -ENOENT:
 * NOT_FOUND), any other one to INTERNAL. Strings are static.
 */
int ct_error_canonical(int error);
const char *ct_error_code(int error);  /* "not_found" */
const char *ct_error_text(int error);  /* one sentence without a full stop */
int ct_error_http_status(int error);   /* RFC 9110 section 15 */
bool ct_error_is_retryable(int error); /* may the same request succeed later, unchanged? */

/* The row whose code is `code` ("not_found"), else CT_ERROR_INTERNAL. */
int ct_error_from_code(const char *code);

/*
 * For logs: like ct_error_code, but "errno EIO" where the value is an errno without a row, and
 * "none" for 0.
 */
const char *ct_error_name(int error);

#endif
