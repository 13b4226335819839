/*
 * The table of routes (router.c). It is filled before the start and then only read.
 */
#ifndef CT_HTTP_ROUTER_PRIV_H
#define CT_HTTP_ROUTER_PRIV_H

#include "calotype/error.h"
#include "http/limits_priv.h"
#include "http/route.h"
#include <stdbool.h>
#include <stddef.h>

struct ct_http_request;
struct ct_http_response;

struct ct_http_segment {
	const char *text;
	size_t length;
	bool is_parameter; /* of a pattern: `text` is its name */
};
struct ct_http_row {
	struct ct_http_route route; /* a copy; its strings and context are the caller's */
	struct ct_http_segment segments[CT_HTTP_MAX_SEGMENTS];
	size_t segment_count;
};
struct ct_http_router {
	struct ct_http_row *rows;
	size_t row_count;
};
int ct_http_router_add(struct ct_http_router *router, const struct ct_http_route *route);
void ct_http_router_done(struct ct_http_router *router);
/* Cuts and decodes request->target: path, segments, query. A code, and why. */
int ct_http_router_parse(struct ct_http_request *request, const char **ret_why);
/* Sets request->row; NULL: answered by the returned response (404, 405, OPTIONS). */
struct ct_http_response *ct_http_router_match(struct ct_http_request *request);

#endif
