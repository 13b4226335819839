/*
 * The parameters of a header field's value: `form-data; name=a; filename="b.jpg"` (RFC 9110 section
 * 5.6.6, RFC 2045 section 5.1). Lenient where real clients are: blanks around '=', empty and
 * valueless parameters, and bytes in a bare value that no token has. Pure.
 */
#ifndef CT_UPLOADS_PARAMETERS_H
#define CT_UPLOADS_PARAMETERS_H

#include "base/slice.h"

#define CT_PARAMETERS_MAX 16 /* read of one field; more are -EINVAL */

struct ct_parameters {
	struct ct_slice kind; /* what stands before the first ';', trimmed */
	struct ct_slice rest;
	unsigned count;
};

struct ct_parameter {
	struct ct_slice name;
	struct ct_slice value; /* between the quotes, escapes as they came; absent without a '=' */
	bool is_quoted;
};

enum ct_quoting {
	CT_QUOTING_HTTP, /* a backslash escapes any byte (RFC 9110 section 5.6.4) */
	/*
	 * As browsers write forms: a backslash escapes a quote or a backslash and is itself before
	 * anything else, %22, %0D and %0A stand for a quote and the line's ends (HTML, multipart
	 * encoding algorithm), any other % for itself.
	 */
	CT_QUOTING_FORM
};

void ct_parameters_begin(struct ct_parameters *parameters, struct ct_slice value);
/* 1: `*ret_parameter` is the next one; 0: there is none; -EINVAL: malformed. */
int ct_parameters_next(struct ct_parameters *parameters, struct ct_parameter *ret_parameter);

/* Its value without escapes, NUL-terminated. -ENAMETOOLONG; -EINVAL: holds a NUL byte. */
int ct_parameter_text(
    const struct ct_parameter *parameter, enum ct_quoting quoting, char *ret_text, size_t capacity);

#endif
