/*
 * A server's options and its life. One thread builds and ends it, but where another is named.
 */
#ifndef CT_HTTP_SERVER_H
#define CT_HTTP_SERVER_H

#include "http/route.h"
#include <stdbool.h>
#include <stdint.h>

struct ct_http_server;
struct ct_metadata;

struct ct_http_options {
	const char *listen;	      /* "127.0.0.1:8080", "[::1]:0", "unix:/path", "systemd" */
	struct ct_metadata *metadata; /* for API keys; NULL: no auth (tests) */
	bool insecure;		      /* --insecure: open without keys on any address */
	const char *public_url;	      /* a server without keys answers to its host, too; borrowed */
	bool plain_keys_anywhere;     /* take keys over plain HTTP from any address */
	const char *trusted_proxies;  /* as in base/networks.h: who may name the client [nobody] */
	const char *cors_origins;     /* "*", or origins with commas between [none]; borrowed */
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
 * -EPROTONOSUPPORT: this libmicrohttpd lays requests out in another way; -EINVAL: trusted_proxies.
 */
int ct_http_server_new(const struct ct_http_options *options, struct ct_http_server **ret_server);
/* Copies the rows; patterns, handlers and contexts outlive the server. A method and pattern may
 * appear once (-EEXIST). */
int ct_http_server_add(
    struct ct_http_server *server, const struct ct_http_route *routes, size_t count);
/*
 * A field of every answer to a path whose first segment is `folder` ("uploads"), also of what the
 * engine itself refuses there; an answer that has such a field keeps its own. Shared bodies don't
 * get it. Before the start; the strings outlive the server. -EEXIST: the folder has one;
 * CT_ERROR_LIMIT_REACHED: there are 4.
 */
int ct_http_server_add_field(
    struct ct_http_server *server, const char *folder, const char *name, const char *value);
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

#endif
