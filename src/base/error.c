#include "calotype/error.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

struct row {
	const char *code;
	const char *text;
	int status;
	bool retryable;
};

static const struct row rows[CT_ERROR_COUNT] = {
#define CT_ROW(name, code_, status_, retryable_, text_) \
	[CT_ERROR_INDEX_##name] = {                     \
		.code = code_,                          \
		.text = text_,                          \
		.status = status_,                      \
		.retryable = retryable_,                \
	},
#include "calotype/error_codes.def"
#undef CT_ROW
};

static bool has_row(int error)
{
	return error <= -CT_ERROR_FIRST && error > -(CT_ERROR_FIRST + CT_ERROR_COUNT);
}

static const struct row *row_of(int error)
{
	return &rows[-ct_error_canonical(error) - CT_ERROR_FIRST];
}

int ct_error_canonical(int error)
{
	if (has_row(error))
		return error;
	switch (error) {
	case -ENOSPC:
	case -EDQUOT: return CT_ERROR_INSUFFICIENT_SPACE;
	case -ENOENT: return CT_ERROR_NOT_FOUND;
	default: return CT_ERROR_INTERNAL;
	}
}

const char *ct_error_code(int error)
{
	return row_of(error)->code;
}

const char *ct_error_text(int error)
{
	return row_of(error)->text;
}

int ct_error_http_status(int error)
{
	return row_of(error)->status;
}

bool ct_error_is_retryable(int error)
{
	return row_of(error)->retryable;
}

int ct_error_from_code(const char *code)
{
	for (int i = 0; i < CT_ERROR_COUNT; i++) {
		if (strcmp(rows[i].code, code) == 0)
			return -(CT_ERROR_FIRST + i);
	}
	return CT_ERROR_INTERNAL;
}

/* Names that are static, as the contract wants, and that need no buffer. */
static const char *errno_name(int number)
{
#define NAME(constant) \
	case constant: return "errno " #constant
	switch (number) {
		NAME(EPERM);
		NAME(EINTR);
		NAME(EIO);
		NAME(ENXIO);
		NAME(E2BIG);
		NAME(ENOEXEC);
		NAME(EBADF);
		NAME(ECHILD);
		NAME(EAGAIN);
		NAME(ENOMEM);
		NAME(EACCES);
		NAME(EFAULT);
		NAME(EBUSY);
		NAME(EEXIST);
		NAME(EXDEV);
		NAME(ENODEV);
		NAME(ENOTDIR);
		NAME(EISDIR);
		NAME(EINVAL);
		NAME(ENFILE);
		NAME(EMFILE);
		NAME(EFBIG);
		NAME(ESPIPE);
		NAME(EROFS);
		NAME(EMLINK);
		NAME(EPIPE);
		NAME(ERANGE);
		NAME(EDEADLK);
		NAME(ENAMETOOLONG);
		NAME(ENOSYS);
		NAME(ENOTEMPTY);
		NAME(ELOOP);
		NAME(ENODATA);
		NAME(EPROTO);
		NAME(EOVERFLOW);
		NAME(EBADMSG);
		NAME(EILSEQ);
		NAME(EMSGSIZE);
		NAME(EPROTONOSUPPORT);
		NAME(EOPNOTSUPP);
		NAME(EAFNOSUPPORT);
		NAME(EADDRINUSE);
		NAME(EADDRNOTAVAIL);
		NAME(ENETUNREACH);
		NAME(ECONNABORTED);
		NAME(ECONNRESET);
		NAME(ENOBUFS);
		NAME(ENOTCONN);
		NAME(ETIMEDOUT);
		NAME(ECONNREFUSED);
		NAME(EHOSTUNREACH);
		NAME(EALREADY);
		NAME(ESTALE);
		NAME(ECANCELED);
	default: return "errno unknown";
	}
#undef NAME
}

const char *ct_error_name(int error)
{
	if (error == 0)
		return "none";
	if (has_row(error) || ct_error_canonical(error) != CT_ERROR_INTERNAL)
		return ct_error_code(error);
	return errno_name(-error);
}
