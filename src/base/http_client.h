/*
 * An HTTP client over libcurl's easy interface: one client is one connection pool for one thread.
 * It follows no redirects, speaks http and https only, and blocks. It ignores no signals: a
 * program that uses it over TLS outside of ct_thread_start() ignores SIGPIPE.
 */
#ifndef CT_BASE_HTTP_CLIENT_H
#define CT_BASE_HTTP_CLIENT_H

#include "base/buffer.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

struct ct_http_client;

struct ct_http_client_options {
	const char *bearer_token;   /* NULL: none; sent to the given URLs only */
	const char *ca_file;	    /* NULL: the system's */
	int64_t connect_timeout_ms; /* [10 s] */
	int64_t stall_timeout_ms;   /* without a byte in either direction [60 s] */
};

/* One call. Fields that are zero are not used. */
struct ct_http_call {
	const char *method; /* "GET" */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated */

	/* Request body: exactly `body_bytes`, from memory or from `read`. */
	const void *body;
	uint64_t body_bytes;
	bool has_body;
	/* Fills `data`; the count, 0 at an early end, or negative to break the call off. */
	int64_t (*read)(void *arg, void *data, size_t capacity);
	/* Body bytes the socket took so far; nonzero breaks the call off with -ECANCELED. */
	int (*progress)(void *arg, uint64_t sent_bytes, uint64_t received_bytes);
	uint64_t max_send_bytes_per_second;

	/* Response body: to `write` (nonzero breaks off) for a 2xx when given, else to `body`. */
	int (*write)(void *arg, const void *data, size_t length);
	void *arg;
};

#define CT_HTTP_CLIENT_MAX_BODY (4u << 20)
#define CT_HTTP_CLIENT_MAX_HEAD (64u << 10)

struct ct_http_result {
	int status;	       /* of the final response */
	struct ct_buffer head; /* its header lines, each ended by \n */
	struct ct_buffer body;
};

int ct_http_client_new(
    const struct ct_http_client_options *options, struct ct_http_client **ret_client);
void ct_http_client_free(struct ct_http_client *client);

/*
 * 0 when a final response has come, whatever its status, also before the whole body was sent;
 * `*ret_result` must be ended with ct_http_result_done() in any case.
 * CT_ERROR_UNREACHABLE: no connection or it broke (the reason: ct_http_client_reason); -ETIMEDOUT;
 * -ECANCELED: a callback broke it off; -ENODATA: `read` ended early; CT_ERROR_PEER_PROTOCOL: the
 * answer is not HTTP/1, or its head or body is above the maximum; -EINVAL: another scheme than
 * http or https, or a line break in the method or a header.
 */
int ct_http_client_call(struct ct_http_client *client, const struct ct_http_call *call,
    struct ct_http_result *ret_result);
void ct_http_result_done(struct ct_http_result *result);

/* Why the last call failed, in words; borrowed until the next call. */
const char *ct_http_client_reason(const struct ct_http_client *client);

/* The value of the first header of that name, any case; absent when there is none. */
struct ct_slice ct_http_result_header(const struct ct_http_result *result, const char *name);

#endif
