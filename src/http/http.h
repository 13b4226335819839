/*
 * The HTTP engine: an acceptor, two libmicrohttpd daemons, framing guard, deadlines, router, auth,
 * access log. It knows no feature; features register routes.
 *
 * A route's handler is called step by step, always in the connection's own loop thread:
 *     head -> body* -> end -> gone
 * and says after each step how to go on:
 *     CT_HTTP_PROCEED    read the body (after head), more of it (after body), then end
 *     CT_HTTP_WAIT       the connection sleeps until another thread calls, once,
 *                        ct_http_answer() or ct_http_proceed(); that may happen before the
 *                        handler has returned
 *     CT_HTTP_ANSWERED   ct_http_answer() was called inside of the handler
 * `gone` is the last call, exactly once for each `head` that was called, whether the request was
 * answered or its connection broke (ct_http_was_answered tells). It must not block.
 *
 * A sleeping request cannot vanish: between WAIT and the answer its pointer is good in any thread.
 * Answering in mid-body is allowed: the engine lets a small rest run out and closes on a large one,
 * so that the client can read the answer.
 *
 * HTTP threads must not block: a point read of the database, hashing, a page-cache write at most.
 */
#ifndef CT_HTTP_H
#define CT_HTTP_H

#include "base/json.h"
#include "base/slice.h"
#include "calotype/digest.h"
#include "calotype/error.h"
#include <stdbool.h>
#include <stdint.h>

struct ct_metadata;
struct ct_http_server;
struct ct_http_request;
struct ct_http_response;
struct ct_http_shared;

enum ct_http_method {
	CT_HTTP_GET,
	CT_HTTP_HEAD,
	CT_HTTP_POST,
	CT_HTTP_PUT,
	CT_HTTP_PATCH,
	CT_HTTP_DELETE,
	CT_HTTP_OPTIONS,
	CT_HTTP_METHOD_COUNT
};

enum ct_http_next { CT_HTTP_PROCEED, CT_HTTP_WAIT, CT_HTTP_ANSWERED };

struct ct_http_handler {
	enum ct_http_next (*head)(struct ct_http_request *request, void *context);
	/* NULL: the route takes no body; one that comes is 413. Consumes all of `data`, but for
	 * what ct_http_keep_rest() says. */
	enum ct_http_next (*body)(
	    struct ct_http_request *request, const void *data, size_t length_bytes, void *context);
	/* NULL if head always answers. */
	enum ct_http_next (*end)(struct ct_http_request *request, void *context);
	void (*gone)(struct ct_http_request *request, void *context); /* may be NULL */
};

struct ct_http_route {
	enum ct_http_method method;
	const char *pattern; /* "/uploads/{id}"; a segment in braces is a parameter */
	unsigned scope;	     /* CT_SCOPE_*; 0: public, the handler decides */
	const struct ct_http_handler *handler;
	void *context;
};

/* ---- life ---- */

struct ct_http_options {
	const char *listen;	      /* "127.0.0.1:8080", "[::1]:0", "unix:/path", "systemd" */
	struct ct_metadata *metadata; /* for API keys; NULL: no auth (tests) */
	bool insecure;		      /* --insecure: open without keys on any address */
	bool plain_keys_anywhere;     /* take keys over plain HTTP from any address */
	unsigned max_connections;     /* [1024] */
	unsigned max_per_address;     /* [128] */
	unsigned loops;		      /* threads of each daemon [cores, at most 8] */
	int64_t head_deadline_ms;     /* [10 s] */
	int64_t body_grace_ms;	      /* [30 s], then at least: */
	unsigned body_min_rate;	      /* bytes a second [1024] */
	int64_t idle_timeout_ms;      /* of a kept-alive connection [60 s] */
	bool access_log;
};

/*
 * Runs the framing guard's self-test, binds. Routes are added before the start.
 * -EPROTONOSUPPORT: this libmicrohttpd lays requests out in another way.
 */
int ct_http_server_new(const struct ct_http_options *options, struct ct_http_server **ret_server);
/* Copies the rows; patterns, handlers and contexts outlive the server. A method and pattern may
 * appear once (-EEXIST). */
int ct_http_server_add(
    struct ct_http_server *server, const struct ct_http_route *routes, size_t count);
int ct_http_server_start(struct ct_http_server *server);
/* "http://127.0.0.1:8080" with the real port, or "unix:/path"; borrowed. */
const char *ct_http_server_url(const struct ct_http_server *server);
/*
 * Stops accepting, breaks requests off that are still sending their body (their `gone` runs),
 * lets sleeping ones be answered, waits for all, at most `timeout_ms`; then only answers
 * CT_ERROR_SHUTTING_DOWN are left to give. The parts that answer must still be running.
 */
void ct_http_server_stop(struct ct_http_server *server, int64_t timeout_ms);
/*
 * Every request must have been answered by now. It waits 10 s for the last ones to end; while one
 * still sleeps nothing is freed, since its waker may yet come.
 */
void ct_http_server_free(struct ct_http_server *server);

/* ---- a request; everything borrowed lives until `gone` has returned ---- */

enum ct_http_method ct_http_method(const struct ct_http_request *request);
struct ct_http_server *ct_http_server_of(const struct ct_http_request *request);
const char *ct_http_path(const struct ct_http_request *request); /* raw, without the query */
/* A parameter of the pattern, percent-decoded, UTF-8, NUL-terminated. Asserts that it exists. */
const char *ct_http_parameter(const struct ct_http_request *request, const char *name);
/* The header's value; absent when there is none, or more than one. */
struct ct_slice ct_http_header(const struct ct_http_request *request, const char *name);
/* 0 absent, 1 decimal number, CT_ERROR_INVALID_HEADER anything else, or above `max`. */
int ct_http_header_u64(
    const struct ct_http_request *request, const char *name, uint64_t max, uint64_t *ret_value);
/* The first `name` of the query, decoded, NUL-terminated; NULL when absent. */
const char *ct_http_query(const struct ct_http_request *request, const char *name);
/* False for a chunked body; 0 when there is no body. */
bool ct_http_content_length(const struct ct_http_request *request, uint64_t *ret_bytes);
bool ct_http_has_body(const struct ct_http_request *request);
const char *ct_http_request_id(const struct ct_http_request *request);
/* The key that authorised it: its scopes (all bits without keys on the server) and id ("" then). */
unsigned ct_http_scopes(const struct ct_http_request *request);
const char *ct_http_key_id(const struct ct_http_request *request);

/*
 * Is `etag` (strong, with quotes) in the list, or the list "*"? The weak comparison is for
 * If-None-Match (RFC 9110 section 13.1.2), the strong one for If-Match (section 13.1.1).
 */
enum ct_http_comparison { CT_HTTP_WEAK, CT_HTTP_STRONG };
bool ct_http_etag_matches(
    struct ct_slice list, const char *etag, enum ct_http_comparison comparison);

void ct_http_set_user(struct ct_http_request *request, void *user);
void *ct_http_user(const struct ct_http_request *request);

/* ---- going on; see the top ---- */

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

/* ---- responses: built by one thread; a failed step latches and the answer is a 500 ---- */

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

/*
 * RFC 9457 problem of an error code or -errno, its status from the table; `detail` says what was
 * wrong, where, and what would be right. Retry-After: 1 with a 503 or 429.
 */
struct ct_http_response *ct_http_problem(const struct ct_http_request *request, int error,
    const char *detail, ...) __attribute__((format(printf, 3, 4)));
/* The problem's JSON, for a place inside of another answer; frees `response`, which may be NULL.
 * The caller's; NULL: out of memory. */
struct ct_json *ct_http_problem_take_json(struct ct_http_response *response);
/* Adds members to the problem's JSON: the limit and the value that passed it. */
void ct_http_problem_limit(struct ct_http_response *response, uint64_t limit, uint64_t value);

/* ---- shared bodies: one object, many answers; for the cache ---- */

/* Bytes in memory or a whole file. `free` is called when the last answer has left. */
struct ct_http_body {
	const void *data; /* or NULL and: */
	int fd;		  /* taken over by ct_http_shared_new, closed at the end; else -1 */
	uint64_t size_bytes;
	void (*free)(void *arg); /* for `data` */
	void *arg;
};
struct ct_http_header_field {
	const char *name, *value;
};
/* The headers are fixed for all answers. Takes the body over also when it fails. */
int ct_http_shared_new(const struct ct_http_body *body, const struct ct_http_header_field *headers,
    size_t header_count, struct ct_http_shared **ret_shared);
struct ct_http_shared *ct_http_shared_ref(struct ct_http_shared *shared); /* any thread */
void ct_http_shared_unref(struct ct_http_shared *shared);
/* The fast path: 200 or 304 with the shared object itself. HEAD is handled. */
enum ct_http_next ct_http_answer_shared(
    struct ct_http_request *request, int status, struct ct_http_shared *shared);
/*
 * A response over a part of the shared body (offset 0 and its whole size for all of it), with
 * headers of its own; it holds a reference. For 206, and for a 200 with other headers.
 */
struct ct_http_response *ct_http_response_of_shared(
    int status, struct ct_http_shared *shared, uint64_t offset, uint64_t length_bytes);

#endif
