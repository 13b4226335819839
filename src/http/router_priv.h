/*
 * The table of routes (router.c). It is filled before the start and then only read.
 */
#ifndef CT_HTTP_ROUTER_PRIV_H
#define CT_HTTP_ROUTER_PRIV_H

#include "base/slice.h"
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
/* A field of all answers below one folder. */
struct ct_http_folder {
	const char *folder; /* "uploads" */
	const char *name, *value;
};
struct ct_http_router {
	struct ct_http_row *rows;
	size_t row_count;
	struct ct_http_folder folders[CT_HTTP_MAX_FOLDERS];
	size_t folder_count;
};
int ct_http_router_add(struct ct_http_router *router, const struct ct_http_route *route);
int ct_http_router_add_folder(struct ct_http_router *router, const struct ct_http_folder *folder);
/* The folder that a path's first segment names, or the target's as it came; NULL: none. */
const struct ct_http_folder *ct_http_router_folder(
    const struct ct_http_router *router, struct ct_slice segment);
const struct ct_http_folder *ct_http_router_folder_of_target(
    const struct ct_http_router *router, const char *target);
/* Says in `response` which methods the request's path has. */
void ct_http_router_allow(const struct ct_http_request *request, struct ct_http_response *response);
void ct_http_router_done(struct ct_http_router *router);
/* Cuts and decodes request->target: path, segments, query. A code, and why. */
int ct_http_router_parse(struct ct_http_request *request, const char **ret_why);
/* The "host:port" of a target in absolute form, once it was parsed; absent for any other. */
struct ct_slice ct_http_router_authority(const struct ct_http_request *request);
/* Sets request->row; NULL: answered by the returned response (404, 405, OPTIONS). */
struct ct_http_response *ct_http_router_match(struct ct_http_request *request);

#endif
