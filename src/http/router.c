/*
 * Which row serves a path. Segments are compared one by one; where several rows fit, the one with
 * a literal segment first wins. The path is cut at raw slashes before anything is decoded, so an
 * escaped slash never makes a segment.
 */
#include "http/router_priv.h"
#include "base/assert.h"
#include "base/buffer.h"
#include "http/request_priv.h"
#include "http/response_priv.h"
#include "http/server_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const method_names[CT_HTTP_METHOD_COUNT] = { "GET", "HEAD", "POST", "PUT",
	"PATCH", "DELETE", "OPTIONS" };

static void parse_pattern(struct ct_http_row *row, const char *pattern)
{
	struct ct_slice rest = ct_slice_from_string(pattern);
	CT_ASSERT(rest.length > 0 && rest.data[0] == '/');
	rest.data++;
	rest.length--;
	while (rest.data != NULL) {
		struct ct_slice piece = ct_slice_cut(&rest, '/');
		CT_ASSERT(row->segment_count < CT_HTTP_MAX_SEGMENTS);
		struct ct_http_segment *segment = &row->segments[row->segment_count++];
		*segment = (struct ct_http_segment){ .text = piece.data, .length = piece.length };
		if (piece.length >= 2 && piece.data[0] == '{') {
			CT_ASSERT(piece.length > 2 && piece.data[piece.length - 1] == '}');
			segment->is_parameter = true;
			segment->text++;
			segment->length -= 2;
		}
	}
}

static bool is_same_segment(const struct ct_http_segment *a, const struct ct_http_segment *b)
{
	if (a->is_parameter || b->is_parameter)
		return a->is_parameter && b->is_parameter;
	return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

static bool is_same_row(const struct ct_http_row *a, const struct ct_http_row *b)
{
	if (a->route.method != b->route.method || a->segment_count != b->segment_count)
		return false;
	for (size_t i = 0; i < a->segment_count; i++) {
		if (!is_same_segment(&a->segments[i], &b->segments[i]))
			return false;
	}
	return true;
}

int ct_http_router_add(struct ct_http_router *router, const struct ct_http_route *route)
{
	CT_ASSERT(route->method < CT_HTTP_METHOD_COUNT && route->handler != NULL);
	CT_ASSERT(route->handler->head != NULL);
	struct ct_http_row row = { .route = *route };
	parse_pattern(&row, route->pattern);
	for (size_t i = 0; i < router->row_count; i++) {
		if (is_same_row(&router->rows[i], &row))
			return -EEXIST;
	}
	if (router->row_count == CT_HTTP_MAX_ROUTES)
		return CT_ERROR_LIMIT_REACHED;
	struct ct_http_row *rows =
	    reallocarray(router->rows, router->row_count + 1, sizeof(*router->rows));
	if (rows == NULL)
		return -ENOMEM;
	rows[router->row_count++] = row;
	router->rows = rows;
	return 0;
}

const struct ct_http_folder *ct_http_router_folder(
    const struct ct_http_router *router, struct ct_slice segment)
{
	for (size_t i = 0; i < router->folder_count; i++) {
		if (ct_slice_equal(segment, router->folders[i].folder))
			return &router->folders[i];
	}
	return NULL;
}

int ct_http_router_add_folder(struct ct_http_router *router, const struct ct_http_folder *folder)
{
	if (ct_http_router_folder(router, ct_slice_from_string(folder->folder)) != NULL)
		return -EEXIST;
	if (router->folder_count == CT_HTTP_MAX_FOLDERS)
		return CT_ERROR_LIMIT_REACHED;
	router->folders[router->folder_count++] = *folder;
	return 0;
}

void ct_http_router_done(struct ct_http_router *router)
{
	free(router->rows);
	router->rows = NULL;
	router->row_count = 0;
}

/* How well: 0 not at all; a literal counts more than all that follows it. */
static unsigned fit(const struct ct_http_row *row, const struct ct_http_request *request)
{
	unsigned score = 1;
	if (row->segment_count != request->segment_count)
		return 0;
	for (size_t i = 0; i < row->segment_count; i++) {
		const struct ct_http_segment *want = &row->segments[i];
		const struct ct_http_segment *have = &request->segments[i];
		score <<= 1;
		if (want->is_parameter ? have->length == 0
				       : want->length != have->length ||
					     memcmp(want->text, have->text, want->length) != 0)
			return 0;
		if (!want->is_parameter)
			score |= 1;
	}
	return score;
}

static const struct ct_http_row *find(
    const struct ct_http_router *router, const struct ct_http_request *request, int method)
{
	const struct ct_http_row *best = NULL;
	unsigned best_score = 0;
	for (size_t i = 0; i < router->row_count; i++) {
		const struct ct_http_row *row = &router->rows[i];
		if (method >= 0 && (int)row->route.method != method)
			continue;
		unsigned score = fit(row, request);
		if (score > best_score) {
			best_score = score;
			best = row;
		}
	}
	return best;
}

/* "GET, HEAD, OPTIONS": what this path has. */
static void list_methods(const struct ct_http_router *router, const struct ct_http_request *request,
    char *ret_list, size_t capacity)
{
	bool all = strcmp(request->path, "*") == 0;
	struct ct_buffer list;
	ct_buffer_init(&list, capacity - 1);
	for (int i = 0; i < CT_HTTP_METHOD_COUNT; i++) {
		bool has = all || i == CT_HTTP_OPTIONS || find(router, request, i) != NULL ||
			   (i == CT_HTTP_HEAD && find(router, request, CT_HTTP_GET) != NULL);
		if (has)
			ct_buffer_printf(
			    &list, "%s%s", list.length > 0 ? ", " : "", method_names[i]);
	}
	ret_list[0] = '\0';
	if (ct_buffer_error(&list) == 0)
		memcpy(ret_list, list.data, list.length + 1);
	ct_buffer_done(&list);
}

void ct_http_router_allow(const struct ct_http_request *request, struct ct_http_response *response)
{
	char methods[128];
	list_methods(&request->connection->server->router, request, methods, sizeof(methods));
	ct_http_response_default(response, "Allow", methods);
}

static struct ct_http_response *answer_without_row(
    const struct ct_http_router *router, struct ct_http_request *request)
{
	char methods[128];
	struct ct_http_response *response;
	bool exists = strcmp(request->path, "*") == 0 || find(router, request, -1) != NULL;

	if (!exists)
		return ct_http_problem(request, CT_ERROR_NOT_FOUND, "no resource has this path");
	list_methods(router, request, methods, sizeof(methods));
	if (request->is_known_method && request->method == CT_HTTP_OPTIONS)
		response = ct_http_response_new(204);
	else
		response = ct_http_problem(request, CT_ERROR_METHOD_NOT_ALLOWED,
		    "%s is not a method of this resource; it has %s", request->method_text,
		    methods);
	ct_http_response_header(response, "Allow", methods);
	return response;
}

struct ct_http_response *ct_http_router_match(struct ct_http_request *request)
{
	const struct ct_http_router *router = &request->connection->server->router;
	request->row = NULL;
	if (request->is_known_method) {
		request->row = find(router, request, (int)request->method);
		if (request->row == NULL && request->method == CT_HTTP_HEAD)
			request->row = find(router, request, CT_HTTP_GET);
	}
	return request->row != NULL ? NULL : answer_without_row(router, request);
}

/* ---- cutting the target ---- */

static void set_method(struct ct_http_request *request)
{
	request->is_known_method = false;
	for (int i = 0; i < CT_HTTP_METHOD_COUNT; i++) {
		if (strcmp(request->method_text, method_names[i]) == 0) {
			request->method = (enum ct_http_method)i;
			request->is_known_method = true;
		}
	}
}

/* RFC 9112 section 3.2.2: "http://host/path" is as good as "/path". */
static size_t authority_length(const char *target)
{
	struct ct_slice slice = ct_slice_from_string(target);
	size_t scheme = ct_slice_starts_with(slice, "http://")	  ? 7
			: ct_slice_starts_with(slice, "https://") ? 8
								  : 0;
	if (scheme == 0)
		return 0;
	return scheme + strcspn(target + scheme, "/?");
}

struct ct_slice ct_http_router_authority(const struct ct_http_request *request)
{
	size_t length = authority_length(request->text);
	if (length == 0)
		return CT_SLICE_ABSENT;
	const char *authority = strstr(request->text, "//") + 2;
	return (struct ct_slice){ authority, (size_t)(request->text + length - authority) };
}

const struct ct_http_folder *ct_http_router_folder_of_target(
    const struct ct_http_router *router, const char *target)
{
	target += authority_length(target);
	if (target[0] != '/')
		return NULL;
	return ct_http_router_folder(
	    router, (struct ct_slice){ target + 1, strcspn(target + 1, "/?") });
}

/* Decodes every segment into `*space`, NUL-terminated, and moves it on. */
static int cut_path(struct ct_http_request *request, char **space, const char **ret_why)
{
	struct ct_slice rest = ct_slice_from_string(request->path + 1);
	request->segment_count = 0;
	while (rest.data != NULL) {
		struct ct_slice piece = ct_slice_cut(&rest, '/');
		size_t length;
		if (request->segment_count == CT_HTTP_MAX_SEGMENTS) {
			request->segment_count++; /* no row is that long */
			return 0;
		}
		if (ct_percent_decode(piece, CT_PERCENT_PATH, *space, piece.length + 1, &length) <
		    0) {
			*ret_why = "the path must be UTF-8 in percent-escapes, without %00";
			return CT_ERROR_INVALID_PARAMETER;
		}
		request->segments[request->segment_count++] =
		    (struct ct_http_segment){ .text = *space, .length = length };
		*space += length + 1;
	}
	return 0;
}

static int decode_query_part(struct ct_slice part, char **space, const char **ret_text)
{
	size_t length;
	int r = ct_percent_decode(part, CT_PERCENT_QUERY, *space, part.length + 1, &length);
	if (r < 0)
		return r;
	*ret_text = *space;
	*space += length + 1;
	return 0;
}

static int cut_query(struct ct_http_request *request, char *space, const char **ret_why)
{
	struct ct_slice rest = ct_slice_from_string(request->query);
	request->parameter_count = 0;
	while (rest.data != NULL) {
		struct ct_slice value = ct_slice_cut(&rest, '&');
		if (value.length == 0)
			continue;
		struct ct_slice name = ct_slice_cut(&value, '=');
		if (request->parameter_count == CT_HTTP_MAX_QUERY_PARAMETERS) {
			*ret_why = "the query has more than 32 parameters";
			return CT_ERROR_INVALID_PARAMETER;
		}
		struct ct_http_query_parameter *parameter =
		    &request->parameters[request->parameter_count++];
		if (value.data == NULL)
			value = CT_SLICE_OF("");
		if (decode_query_part(name, &space, &parameter->name) < 0 ||
		    decode_query_part(value, &space, &parameter->value) < 0) {
			*ret_why = "the query must be UTF-8 in percent-escapes, without %00";
			return CT_ERROR_INVALID_PARAMETER;
		}
	}
	return 0;
}

int ct_http_router_parse(struct ct_http_request *request, const char **ret_why)
{
	set_method(request);
	if (request->target_length >= CT_HTTP_MAX_TARGET_BYTES) {
		*ret_why = "path and query together must be shorter than 8192 bytes";
		return CT_ERROR_URI_TOO_LONG;
	}
	/* ct_http_request_begin has left the room that the decoded parts need. */
	char *path = request->text + authority_length(request->text);
	char *space = request->text + request->target_length + 1;
	char *query = strchr(path, '?');
	if (query != NULL)
		*query++ = '\0';
	request->query = query;
	request->path = path[0] == '\0' && path != request->text ? "/" : path;
	if (strlen(request->path) > CT_HTTP_MAX_PATH_BYTES) {
		*ret_why = "the path must be at most 4096 bytes long";
		return CT_ERROR_URI_TOO_LONG;
	}
	request->segment_count = 0;
	request->parameter_count = 0;
	if (strcmp(request->path, "*") == 0 && strcmp(request->method_text, "OPTIONS") == 0)
		return 0;
	if (request->path[0] != '/') {
		*ret_why = "the path must begin with a slash";
		return CT_ERROR_INVALID_PARAMETER;
	}
	int r = cut_path(request, &space, ret_why);
	if (r == 0 && request->query != NULL)
		r = cut_query(request, space, ret_why);
	return r;
}
