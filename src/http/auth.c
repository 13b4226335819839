/*
 * Who may do what. With keys in the database every scoped route needs one; without any, all is
 * open to this machine and closed to others, also to those who come by way of a proxy that runs
 * here: what a proxy passes on looks local but isn't.
 */
#include "http/request_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/key_text.h"
#include "http/cors_priv.h"
#include "http/host_priv.h"
#include "http/response.h"
#include "http/server_priv.h"
#include "metadata/api_keys.h"
#include "metadata/metadata.h"

#include <stdio.h>
#include <string.h>

#define KEYS_KNOWN_MS 500 /* a key that another process adds counts after that */
#define ALL_SCOPES (~0u)

static int find_out_about_keys(struct ct_metadata *metadata, bool *ret_exists)
{
	struct ct_metadata_view *view;
	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = ct_api_key_exists(view, ret_exists);
	ct_metadata_give_back(metadata, view);
	return r;
}

static int has_keys(struct ct_http_server *server, bool *ret_exists)
{
	int64_t now_ms = ct_clock_monotonic_ms();
	if (now_ms >= atomic_load(&server->keys_known_until_ms)) {
		bool exists;
		int r = find_out_about_keys(server->options.metadata, &exists);
		if (r < 0)
			return r;
		atomic_store(&server->has_keys, exists);
		atomic_store(&server->keys_known_until_ms, now_ms + KEYS_KNOWN_MS);
	}
	*ret_exists = atomic_load(&server->has_keys);
	return 0;
}

static bool has_header(const struct ct_http_request *request, const char *name, bool is_prefix)
{
	for (size_t i = 0; i < request->head.field_count; i++) {
		struct ct_slice field = ct_http_head_name(&request->head, i);
		if (is_prefix && field.length > strlen(name))
			field.length = strlen(name);
		if (ct_slice_equal_ignore_case(field, name))
			return true;
	}
	return false;
}

static struct ct_http_response *refuse_401(
    const struct ct_http_request *request, bool has_token, const char *detail)
{
	struct ct_http_response *response =
	    ct_http_problem(request, CT_ERROR_UNAUTHORIZED, "%s", detail);
	ct_http_response_header(response, "WWW-Authenticate",
	    has_token ? "Bearer realm=\"calotype\", error=\"invalid_token\""
		      : "Bearer realm=\"calotype\"");
	return response;
}

/* Through a unix socket comes no browser. */
static struct ct_http_response *check_host(const struct ct_http_request *request)
{
	const struct ct_http_connection *connection = request->connection;
	struct ct_slice host = ct_http_host_of(request);
	if (connection->peer.is_unix || host.length == 0 || /* HTTP/1.0, or a URI without one */
	    ct_http_host_is_ours(host, connection->server->options.public_url))
		return NULL;
	return ct_http_problem(request, CT_ERROR_MISDIRECTED,
	    "this server has no API key, so it answers only to localhost, loopback addresses and "
	    "the host of --public-url: any page could have its own name lead here. Ask for "
	    "localhost, name the host with --public-url, make a key with `calotyped key add`, or "
	    "start it with --insecure");
}

static struct ct_http_response *check_open_server(struct ct_http_request *request)
{
	const struct ct_http_connection *connection = request->connection;
	request->scopes = ALL_SCOPES;
	if (connection->server->options.insecure)
		return NULL;
	if (has_header(request, "Forwarded", false) || has_header(request, "X-Forwarded-", true) ||
	    has_header(request, "Via", false))
		return ct_http_problem(request, CT_ERROR_PROXIED_OPEN_SERVER,
		    "this server has no API key, so whoever reaches the proxy could do anything: "
		    "make one with `calotyped key add`, or start it with --insecure");
	if (!connection->peer.is_loopback)
		return refuse_401(request, false,
		    "this server has no API key yet and answers only the machine it runs on: make "
		    "one with `calotyped key add`, or start it with --insecure");
	struct ct_http_response *misdirected = check_host(request);
	if (misdirected != NULL)
		return misdirected;
	bool is_harmless = request->is_known_method &&
			   (request->method == CT_HTTP_GET || request->method == CT_HTTP_HEAD ||
			       request->method == CT_HTTP_OPTIONS);
	if (!is_harmless && ct_http_cors_is_foreign(request))
		return ct_http_problem(request, CT_ERROR_FOREIGN_ORIGIN,
		    "this server has no API key, so it takes nothing from pages of other origins: "
		    "allow yours with --cors-origins, or make a key");
	return NULL;
}

/* The token of "Authorization: Bearer <token>", else absent. */
static struct ct_slice bearer_token(const struct ct_http_request *request)
{
	struct ct_slice value = ct_http_header(request, "Authorization");
	struct ct_slice scheme = { value.data, value.length < 7 ? value.length : 7 };
	if (!ct_slice_equal_ignore_case(scheme, "Bearer "))
		return CT_SLICE_ABSENT;
	value.data += scheme.length;
	value.length -= scheme.length;
	return ct_slice_trim(value);
}

/* 0 and the key's row, CT_ERROR_UNAUTHORIZED, or an error of the database. */
static int look_up(
    struct ct_http_server *server, struct ct_slice token, struct ct_api_key_row *ret_row)
{
	struct ct_metadata *metadata = server->options.metadata;
	struct ct_metadata_view *view;
	struct ct_digest digest;
	char id[CT_KEY_ID_CHARS + 1];
	if (ct_key_text_parse(token, id, &digest) < 0)
		return CT_ERROR_UNAUTHORIZED;
	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = ct_api_key_get(view, id, ret_row);
	ct_metadata_give_back(metadata, view);
	if (r == CT_ERROR_NOT_FOUND)
		return CT_ERROR_UNAUTHORIZED;
	if (r < 0)
		return r;
	bool right = ct_digest_equal_secret(&digest, &ret_row->secret);
	bool expired = ret_row->expires_at != 0 && ret_row->expires_at <= ct_clock_wall_ms();
	return right && ret_row->revoked_at == 0 && !expired ? 0 : CT_ERROR_UNAUTHORIZED;
}

static struct ct_http_response *check_token(struct ct_http_request *request, struct ct_slice token)
{
	struct ct_http_connection *connection = request->connection;
	struct ct_api_key_row row;
	const struct ct_http_options *options = &connection->server->options;
	if (!request->client.is_loopback && !request->is_tls && !options->insecure &&
	    !options->plain_keys_anywhere)
		return ct_http_problem(request, CT_ERROR_INSECURE_TRANSPORT,
		    "the key has been readable on its way: replace it, and put a proxy that "
		    "speaks TLS in front, named by --trusted-proxies; or trust this network with "
		    "--plain-keys=any");
	int r = look_up(connection->server, token, &row);
	if (r == CT_ERROR_UNAUTHORIZED)
		return refuse_401(
		    request, true, "this API key does not exist, is revoked or has expired");
	if (r < 0)
		return ct_http_problem(request, r, "the API key could not be looked up");
	request->scopes = row.scopes;
	memcpy(request->key_id, row.id, sizeof(request->key_id));
	request->key_id[sizeof(request->key_id) - 1] = '\0';
	return NULL;
}

/* Names one: who has it comes back for the next. */
static struct ct_http_response *refuse_scope(
    const struct ct_http_request *request, unsigned missing)
{
	const char *name = ct_scope_name(missing);
	char challenge[128];
	struct ct_http_response *refusal = ct_http_problem(
	    request, CT_ERROR_FORBIDDEN, "the key %s lacks the scope %s", request->key_id, name);
	ct_http_problem_text(refusal, "required_scope", name);
	/* RFC 6750 section 3 */
	(void)snprintf(challenge, sizeof(challenge),
	    "Bearer realm=\"calotype\", error=\"insufficient_scope\", scope=\"%s\"", name);
	ct_http_response_header(refusal, "WWW-Authenticate", challenge);
	return refusal;
}

struct ct_http_response *ct_http_auth_check(struct ct_http_request *request, unsigned scope)
{
	struct ct_http_server *server = request->connection->server;
	bool exists;
	if (server->options.metadata == NULL) {
		request->scopes = ALL_SCOPES;
		return NULL;
	}
	int r = has_keys(server, &exists);
	if (r < 0)
		return ct_http_problem(request, r, "the API keys could not be looked up");
	if (!exists)
		return check_open_server(request);

	struct ct_slice token = bearer_token(request);
	if (token.data != NULL) {
		struct ct_http_response *refusal = check_token(request, token);
		if (refusal != NULL)
			return refusal;
	} else if (scope != 0) {
		return refuse_401(request, false, "send \"Authorization: Bearer calo_...\"");
	}
	if ((request->scopes & scope) == scope)
		return NULL;
	return refuse_scope(request, scope & ~request->scopes);
}
