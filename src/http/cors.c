#include "http/cors_priv.h"
#include "base/assert.h"
#include "base/url.h"
#include "http/response.h"
#include "http/server_priv.h"

#include <string.h>

#define MAX_AGE_S 7200 /* more than browsers keep */

static const char methods[] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/* Those that a page may set beside the harmless ones. */
static const char request_headers[] =
    "Authorization, Content-Type, Content-Digest, Repr-Digest, Want-Repr-Digest, If-Match, "
    "If-None-Match, "
    "If-Modified-Since, If-Range, Range, Prefer, Idempotency-Key, Last-Event-ID, Tus-Resumable, "
    "Upload-Length, Upload-Offset, Upload-Metadata, Upload-Defer-Length, Upload-Concat, "
    "Upload-Checksum, Upload-Complete, Upload-Incomplete, Upload-Draft-Interop-Version, "
    "Content-Disposition, X-HTTP-Method-Override, "
    "X-Request-Id, X-Requested-With";

/* Those that a page may read beside the harmless ones. */
static const char response_headers[] =
    "Location, Link, ETag, Retry-After, Preference-Applied, Accept-Ranges, Content-Range, "
    "Content-Disposition, Age, Cache-Status, Repr-Digest, Allow, WWW-Authenticate, X-Request-Id, "
    "Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, "
    "Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires, Upload-Concat, "
    "Upload-Defer-Length, Upload-Complete, Upload-Incomplete, Upload-Limit, "
    "Upload-Draft-Interop-Version";

static const char *allowed_origins(const struct ct_http_request *request)
{
	const char *origins = request->connection->server->options.cors_origins;
	return origins != NULL ? origins : "";
}

static bool is_listed(const char *origins, struct ct_slice origin)
{
	struct ct_slice rest = ct_slice_from_string(origins);
	while (rest.data != NULL) {
		struct ct_slice one = ct_slice_trim(ct_slice_cut(&rest, ','));
		if (one.length > 0 && one.length == origin.length &&
		    strncasecmp(one.data, origin.data, one.length) == 0)
			return true;
	}
	return false;
}

static void add(struct ct_http_cors *cors, const char *name, const char *value)
{
	CT_ASSERT(cors->count < CT_HTTP_CORS_FIELDS);
	cors->fields[cors->count++] = (struct ct_http_header_field){ name, value };
}

/* What says that the page may have it; false: it may not. */
static bool allow(const struct ct_http_request *request, struct ct_http_cors *cors)
{
	const char *origins = allowed_origins(request);
	struct ct_slice origin = ct_http_header(request, "Origin");
	if (strcmp(origins, "*") == 0) {
		add(cors, "Access-Control-Allow-Origin", "*");
		return true;
	}
	/* Caches in between must keep the answers to different origins apart. */
	add(cors, "Vary", "Origin");
	if (origin.data == NULL || !is_listed(origins, origin) ||
	    ct_slice_copy(origin, cors->origin, sizeof(cors->origin)) < 0)
		return false;
	add(cors, "Access-Control-Allow-Origin", cors->origin);
	return true;
}

void ct_http_cors_fields(const struct ct_http_request *request, struct ct_http_cors *ret_cors)
{
	ret_cors->count = 0;
	if (allowed_origins(request)[0] == '\0')
		return;
	if (allow(request, ret_cors))
		add(ret_cors, "Access-Control-Expose-Headers", response_headers);
}

struct ct_http_response *ct_http_cors_preflight(struct ct_http_request *request)
{
	struct ct_http_cors cors = { .count = 0 };
	if (allowed_origins(request)[0] == '\0' || request->method != CT_HTTP_OPTIONS ||
	    !request->is_known_method || ct_http_has_body(request) ||
	    ct_http_header(request, "Origin").data == NULL ||
	    ct_http_header(request, "Access-Control-Request-Method").data == NULL)
		return NULL;
	/* Its origin is added as to every other answer. */
	struct ct_http_response *response = ct_http_response_new(204);
	if (allow(request, &cors)) {
		ct_http_response_header(response, "Access-Control-Allow-Methods", methods);
		ct_http_response_header(response, "Access-Control-Allow-Headers", request_headers);
		ct_http_response_header_u64(response, "Access-Control-Max-Age", MAX_AGE_S);
	}
	return response;
}

bool ct_http_cors_is_foreign(const struct ct_http_request *request)
{
	const char *origins = allowed_origins(request);
	struct ct_slice origin = ct_http_header(request, "Origin");
	struct ct_slice host = ct_http_header(request, "Host");
	if (origin.data == NULL || strcmp(origins, "*") == 0 || is_listed(origins, origin))
		return false;
	struct ct_slice authority = origin;
	(void)ct_slice_cut(&authority, '/'); /* "https:", "", then what is compared */
	(void)ct_slice_cut(&authority, '/');
	return authority.data == NULL || authority.length != host.length ||
	       strncasecmp(authority.data, host.data, host.length) != 0;
}
