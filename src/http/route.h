/*
 * Routes, and the steps of a request.
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
 * A sleeping request cannot vanish, even if its client does: between WAIT and the answer its
 * pointer is good in any thread. Answering in mid-body is allowed: the engine lets a small rest run
 * out and closes on a large one, so that the client can read the answer.
 *
 * HTTP threads must not block: a point read of the database, hashing, a page-cache write at most.
 */
#ifndef CT_HTTP_ROUTE_H
#define CT_HTTP_ROUTE_H

#include <stddef.h>

struct ct_http_request;

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
	/*
	 * For requests that sleep for long: the client has gone, so whoever was to answer should
	 * do so soon. In the watchdog, under the request's lock: it must not answer by itself,
	 * nor wait. Told within a second, if the client has closed its socket; it may come more
	 * than once. NULL: such a request sleeps on.
	 */
	void (*left)(struct ct_http_request *request, void *context);
};

struct ct_http_route {
	enum ct_http_method method;
	const char *pattern; /* "/uploads/{id}"; a segment in braces is a parameter */
	unsigned scope;	     /* CT_SCOPE_*; 0: public, the handler decides */
	const struct ct_http_handler *handler;
	void *context;
};

#endif
