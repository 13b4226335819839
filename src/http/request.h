/*
 * What a handler asks a request for, and how it goes on. Everything borrowed lives until `gone` has
 * returned. The questions are for the connection's thread, and for others while the request sleeps.
 */
#ifndef CT_HTTP_REQUEST_H
#define CT_HTTP_REQUEST_H

#include "base/slice.h"
#include "calotype/error.h"
#include "http/route.h"
#include <stdbool.h>
#include <stdint.h>

struct ct_http_request;
struct ct_http_response;

enum ct_http_method ct_http_method(const struct ct_http_request *request);
/* A parameter of the pattern, percent-decoded, UTF-8, NUL-terminated. Asserts that it exists. */
const char *ct_http_parameter(const struct ct_http_request *request, const char *name);
/*
 * The field's value, without blanks around it; absent when there is none. Lines of one name are one
 * list, joined by ", " (RFC 9110 section 5.3); a request in which a field that is no list comes
 * twice has been refused before the handler.
 */
struct ct_slice ct_http_header(const struct ct_http_request *request, const char *name);
/* 0 absent, 1 decimal number, CT_ERROR_INVALID_HEADER anything else, or above `max`. */
int ct_http_header_u64(
    const struct ct_http_request *request, const char *name, uint64_t max, uint64_t *ret_value);
/* The first `name` of the query, decoded, NUL-terminated; NULL when absent. */
const char *ct_http_query(const struct ct_http_request *request, const char *name);
/* False for a chunked body; 0 when there is no body. */
bool ct_http_content_length(const struct ct_http_request *request, uint64_t *ret_bytes);
bool ct_http_has_body(const struct ct_http_request *request);
/*
 * A field of the trailer section (RFC 9110 section 6.5), in `end` only: 0 absent, 1 there,
 * CT_ERROR_INVALID_HEADER: more than once. Its bytes have not been checked.
 */
int ct_http_trailer(
    const struct ct_http_request *request, const char *name, struct ct_slice *ret_value);
const char *ct_http_request_id(const struct ct_http_request *request);
/* Of the key that authorised it; "" without one. */
const char *ct_http_key_id(const struct ct_http_request *request);
/* Has who asks all of these (CT_SCOPE_*), beside the one that the route needs? */
bool ct_http_has_scope(const struct ct_http_request *request, unsigned scopes);

/*
 * Is `etag` (strong, with quotes) in the list, or the list "*"? The weak comparison is for
 * If-None-Match (RFC 9110 section 13.1.2), the strong one for If-Match (section 13.1.1).
 */
enum ct_http_comparison { CT_HTTP_WEAK, CT_HTTP_STRONG };
bool ct_http_etag_matches(
    struct ct_slice list, const char *etag, enum ct_http_comparison comparison);

void ct_http_set_user(struct ct_http_request *request, void *user);
void *ct_http_user(const struct ct_http_request *request);

/* ---- going on; see route.h ---- */

/*
 * Gives the response, once; takes it over (NULL: out of memory, a plain 500 goes out). The result
 * is for `return ct_http_answer(...)` inside a handler.
 */
enum ct_http_next ct_http_answer(
    struct ct_http_request *request, struct ct_http_response *response);
/* Ends a WAIT without an answer: after head the body is read, after body goes on, after end `end`
 * is called again. */
void ct_http_proceed(struct ct_http_request *request);
/*
 * In a body handler that then returns WAIT: the last `rest_bytes` of its `data` were not taken;
 * they come again, at another address and perhaps with more behind them, when it goes on.
 */
void ct_http_keep_rest(struct ct_http_request *request, size_t rest_bytes);
bool ct_http_was_answered(const struct ct_http_request *request);
/*
 * Makes a request end early whose client is slow or gone: its socket is shut for reading, `gone`
 * comes soon. Only under a lock that its `gone` takes too, so that it exists.
 */
void ct_http_interrupt(struct ct_http_request *request);

#endif
