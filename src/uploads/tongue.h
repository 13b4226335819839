/*
 * Two protocols on the same addresses: which one a request speaks is found in its head, and the
 * steps after it go to the one that took it. README.md says how they are told apart.
 */
#ifndef CT_UPLOADS_TONGUE_H
#define CT_UPLOADS_TONGUE_H

#include "http/http.h"

/* What a request's user begins with; only body, end and gone are used. */
struct ct_tongue {
	const struct ct_http_handler *steps;
};

enum ct_http_next ct_tongue_body(
    struct ct_http_request *request, const void *data, size_t length_bytes, void *context);
enum ct_http_next ct_tongue_end(struct ct_http_request *request, void *context);
void ct_tongue_gone(struct ct_http_request *request, void *context);

#endif
