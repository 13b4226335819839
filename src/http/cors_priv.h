/*
 * Pages of other origins (cors.c; Fetch Standard section 3.3). The option cors_origins names those
 * that may read answers and send what a form could not. Keys travel in the Authorization header,
 * which a page must set itself, so credentials (cookies) are never allowed. The connection's
 * thread.
 */
#ifndef CT_HTTP_CORS_PRIV_H
#define CT_HTTP_CORS_PRIV_H

#include "http/request_priv.h"
#include "http/shared.h"

#define CT_HTTP_CORS_FIELDS 3

struct ct_http_cors {
	size_t count;
	struct ct_http_header_field fields[CT_HTTP_CORS_FIELDS];
	char origin[256];
};

/* The answer to a preflight, which needs no key; NULL: it is none. */
struct ct_http_response *ct_http_cors_preflight(struct ct_http_request *request);

/* What every answer to this request carries beside its own fields; they point into `ret_cors`. */
void ct_http_cors_fields(const struct ct_http_request *request, struct ct_http_cors *ret_cors);

/*
 * Was it sent by a page of another origin that is not allowed? For servers without keys: there
 * nothing but this keeps a page from sending its own files to this machine's server.
 */
bool ct_http_cors_is_foreign(const struct ct_http_request *request);

#endif
