/*
 * The framing guard (guard.c), and a head as it has read it. The connection's loop thread.
 */
#ifndef CT_HTTP_GUARD_PRIV_H
#define CT_HTTP_GUARD_PRIV_H

#include "base/slice.h"
#include "calotype/error.h"
#include "http/limits_priv.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;

struct ct_http_field {
	uint32_t name, value; /* offsets from ct_http_head.base */
	uint16_t name_length;
	uint32_t value_length;
};
struct ct_http_head {
	const char *base; /* the request line, in libmicrohttpd's memory, until the request ends */
	struct ct_http_field fields[CT_HTTP_MAX_HEADERS];
	size_t field_count;
	bool chunked;
	bool has_length;
	bool is_http_1_0;
	uint64_t content_length;
	/* Of a head that was refused: the limit that it passed, and by what; 0: none, not known. */
	uint64_t limit, value;
};
/* A request line: pieces of libmicrohttpd's memory, and what the URI log callback saw. */
struct ct_http_line {
	const char *method, *version;
	const char *target;	 /* only its place counts: it has been written to since */
	const char *target_copy; /* made in time */
	size_t target_length;
};
/*
 * Is this head exactly what libmicrohttpd made of it? 0, or CT_ERROR_MALFORMED_HEAD,
 * CT_ERROR_HEAD_TOO_LARGE, CT_ERROR_TOO_LARGE and why: then the connection must be closed.
 */
int ct_http_guard_check(struct MHD_Connection *mhd, const struct ct_http_line *line,
    struct ct_http_head *ret_head, const char **ret_why);
struct ct_slice ct_http_head_name(const struct ct_http_head *head, size_t index);
struct ct_slice ct_http_head_value(const struct ct_http_head *head, size_t index);
/* guard_test.c: -EPROTONOSUPPORT when this libmicrohttpd is not the one that the guard knows. */
int ct_http_guard_self_test(void);

#endif
