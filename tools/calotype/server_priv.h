/*
 * What the files of server.h share.
 */
#ifndef CT_CLI_SERVER_PRIV_H
#define CT_CLI_SERVER_PRIV_H

#include "base/cleanup.h"
#include "base/http_client.h"
#include "server.h"
#include "urls.h"

struct ct_server {
	struct ct_http_client *client;
	char url[CT_URL_MAX];
	struct ct_failure failure;
};

#define CT_SERVER_HEADER_MAX 6143

CT_DEFINE_CLEANUP(ct_json_cleanup, struct ct_json *, ct_json_free)

/*
 * Makes the call to `path` at this server, with a hook that ends it on an interrupt unless the
 * call has one. A status that is neither 2xx nor `also` is a failure. `*ret_result` is ended by
 * the caller in any case.
 */
int ct_server_call(struct ct_server *server, struct ct_http_call *call, const char *path, int also,
    struct ct_http_result *ret_result);

/* An answer without sense; returns CT_ERROR_PEER_PROTOCOL. */
int ct_server_fail_protocol(struct ct_server *server, const char *detail);

/* A failure on this side; returns `error`. */
int ct_server_fail_local(struct ct_server *server, int error);

/* Milliseconds of a Retry-After in seconds; 0 when there is none. */
int64_t ct_server_retry_after_ms(const struct ct_http_result *result);

/* Over all Link fields. */
struct ct_slice ct_server_find_link(const struct ct_http_result *result, const char *relation);

int ct_server_parse_body(
    struct ct_server *server, const struct ct_http_result *result, struct ct_json **ret_json);

#endif
