/*
 * The first look at what a connection has sent (look.c). Any thread.
 */
#ifndef CT_HTTP_LOOK_PRIV_H
#define CT_HTTP_LOOK_PRIV_H

#include "base/slice.h"
#include "calotype/error.h"
#include "http/limits_priv.h"

/*
 * `bytes`: what is there of the first request, and perhaps more. 0: nothing is wrong so far; or
 * CT_ERROR_MALFORMED_HEAD, CT_ERROR_HEAD_TOO_LARGE, CT_ERROR_URI_TOO_LONG, CT_ERROR_TOO_LARGE and
 * why: then libmicrohttpd would refuse it, too. It has no room for a head of `max_head_bytes`.
 * `*ret_limit` is set when something is wrong: the limit that was passed (by how much is not
 * known), or 0.
 */
int ct_http_look(
    struct ct_slice bytes, size_t max_head_bytes, const char **ret_why, uint64_t *ret_limit);

#endif
