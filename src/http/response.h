/*
 * Responses: each is built by one thread. A step that fails latches, and the answer is a 500; NULL,
 * as ct_http_response_new() gives it without memory, may be passed on.
 */
#ifndef CT_HTTP_RESPONSE_H
#define CT_HTTP_RESPONSE_H

#include "base/json.h"
#include "calotype/error.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ct_http_request;
struct ct_http_response;

/* A 304 may be given the body of its 200: only the length of it is sent. */
struct ct_http_response *ct_http_response_new(int status);
void ct_http_response_free(struct ct_http_response *response);
/* Copied. Asserts that the value holds no control bytes. */
void ct_http_response_header(
    struct ct_http_response *response, const char *name, const char *value);
void ct_http_response_header_u64(
    struct ct_http_response *response, const char *name, uint64_t value);
/* Takes over `json`. Content-Type: application/json. */
void ct_http_response_json(struct ct_http_response *response, struct ct_json *json);
/* Takes over malloc'd `data`. `type` is copied. */
void ct_http_response_body(
    struct ct_http_response *response, const char *type, char *data, size_t length_bytes);

/* A body that is made while it is sent. All calls come from the loop thread, one at a time. */
struct ct_http_stream {
	uint64_t size_bytes;
	/*
	 * The bytes from `offset` of the body on: their count, 1 to `capacity`; or an error, which
	 * the callee has logged: the connection is cut.
	 */
	ssize_t (*read)(void *arg, uint64_t offset, void *ret_data, size_t capacity);
	void (*free)(void *arg); /* once, also when nothing was read */
	void *arg;
};
/* Takes over `arg`. The caller sets the Content-Type. */
void ct_http_response_stream(
    struct ct_http_response *response, const struct ct_http_stream *stream);

/*
 * RFC 9457 problem of an error code or -errno, its status from the table; `detail` says what was
 * wrong, where, and what would be right. Retry-After: 1 with a 503 or 429.
 */
struct ct_http_response *ct_http_problem(const struct ct_http_request *request, int error,
    const char *detail, ...) __attribute__((format(printf, 3, 4)));
/* The problem's JSON, for a place inside of another answer; frees `response`, which may be NULL.
 * The caller's; NULL: out of memory. */
struct ct_json *ct_http_problem_take_json(struct ct_http_response *response);
/* Members of the problem's JSON: the limit and the value that passed it; any other by its name. */
void ct_http_problem_limit(struct ct_http_response *response, uint64_t limit, uint64_t value);
/* The same where either may not be known: 0 is left out. */
void ct_http_problem_passed(struct ct_http_response *response, uint64_t limit, uint64_t value);
void ct_http_problem_number(struct ct_http_response *response, const char *name, uint64_t number);
void ct_http_problem_text(struct ct_http_response *response, const char *name, const char *text);

#endif
