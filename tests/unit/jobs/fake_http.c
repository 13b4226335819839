#include "fake_http.h"
#include "base/lock.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT 512

struct ct_http_server {
	const struct ct_http_route *routes; /* borrowed, as by the engine */
	size_t count;
};

struct ct_http_response {
	struct fake_answer answer;
};

struct ct_http_request {
	enum ct_http_method method;
	char path[MAX_TEXT];
	char query[MAX_TEXT];
	const char *if_none_match;
	const char *prefer;
	void *user;
	struct ct_lock lock;
	struct ct_condition changed;
	struct ct_http_response *response;
};

static struct ct_http_server server;
static void (*before_wait)(void);
static bool leaves;

void fake_leave(bool all)
{
	leaves = all;
}

void fake_before_wait(void (*run)(void))
{
	before_wait = run;
}

struct ct_http_server *fake_server(void)
{
	return &server;
}

int ct_http_server_add(struct ct_http_server *to, const struct ct_http_route *routes, size_t count)
{
	cr_assert_eq(to->count, 0);
	to->routes = routes;
	to->count = count;
	return 0;
}

/* ---- requests ---- */

static void parse(struct ct_http_request *request, const char *method_and_target)
{
	const char *target = strchr(method_and_target, ' ') + 1;
	size_t length = strcspn(target, "?");
	request->method = method_and_target[0] == 'D'	? CT_HTTP_DELETE
			  : method_and_target[0] == 'P' ? CT_HTTP_POST
							: CT_HTTP_GET;
	(void)snprintf(request->path, MAX_TEXT, "%.*s", (int)length, target);
	if (target[length] == '?')
		(void)snprintf(request->query, MAX_TEXT, "%s", target + length + 1);
}

static bool matches(const struct ct_http_route *route, const struct ct_http_request *request)
{
	size_t prefix = strcspn(route->pattern, "{");
	if (route->method != request->method || strncmp(route->pattern, request->path, prefix) != 0)
		return false;
	if (route->pattern[prefix] == '\0')
		return request->path[prefix] == '\0';
	const char *rest = strchr(route->pattern, '}') + 1;
	size_t length = strcspn(request->path + prefix, "/");
	return length > 0 && strcmp(request->path + prefix + length, rest) == 0;
}

static const struct ct_http_route *find_route(const struct ct_http_request *request)
{
	for (size_t i = 0; i < server.count; i++) {
		if (matches(&server.routes[i], request))
			return &server.routes[i];
	}
	cr_assert_fail("no route for %s", request->path);
	return NULL;
}

unsigned fake_scope(const char *method_and_target)
{
	struct ct_http_request request = { 0 };
	parse(&request, method_and_target);
	return find_route(&request)->scope;
}

struct fake_answer fake_call(const char *method_and_target, const char *if_none_match)
{
	return fake_call_preferring(method_and_target, if_none_match, NULL);
}

struct fake_answer fake_call_preferring(
    const char *method_and_target, const char *if_none_match, const char *prefer)
{
	struct ct_http_request request = { .if_none_match = if_none_match, .prefer = prefer };
	parse(&request, method_and_target);
	ct_lock_init(&request.lock, CT_LOCK_HTTP_REQUEST);
	ct_condition_init(&request.changed);
	const struct ct_http_route *route = find_route(&request);
	enum ct_http_next next = route->handler->head(&request, route->context);
	ct_lock_take(&request.lock);
	if (next == CT_HTTP_WAIT && request.response == NULL && leaves)
		route->handler->left(&request, route->context);
	cr_assert(next == CT_HTTP_WAIT || (next == CT_HTTP_ANSWERED && request.response != NULL));
	while (request.response == NULL)
		ct_condition_wait(&request.changed, &request.lock);
	ct_lock_release(&request.lock);
	struct fake_answer answer = request.response->answer;
	free(request.response);
	ct_condition_done(&request.changed);
	ct_lock_done(&request.lock);
	return answer;
}

void fake_answer_done(struct fake_answer *answer)
{
	ct_json_free(answer->json);
	answer->json = NULL;
}

const char *fake_header(const struct fake_answer *answer, const char *name)
{
	static char value[MAX_TEXT];
	char start[64];
	(void)snprintf(start, sizeof(start), "%s: ", name);
	const char *found = strstr(answer->headers, start);
	if (found == NULL)
		return NULL;
	found += strlen(start);
	(void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(found, "\n"), found);
	return value;
}

const char *ct_http_parameter(const struct ct_http_request *request, const char *name)
{
	/* Good for as long as a request needs it: "/jobs/{id}" and what may follow. */
	static char ids[8][MAX_TEXT];
	static unsigned next;
	char *id = ids[next++ % 8];
	cr_assert_str_eq(name, "id");
	const char *start = strchr(request->path + 1, '/') + 1;
	(void)snprintf(id, MAX_TEXT, "%.*s", (int)strcspn(start, "/"), start);
	return id;
}

const char *ct_http_query(const struct ct_http_request *request, const char *name)
{
	struct ct_slice rest = ct_slice_from_string(request->query);
	size_t length = strlen(name);
	while (rest.data != NULL && rest.length > 0) {
		struct ct_slice pair = ct_slice_cut(&rest, '&');
		if (!ct_slice_starts_with(pair, name) || pair.length <= length ||
		    pair.data[length] != '=')
			continue;
		/* Good for as long as a request needs it. */
		static char values[8][MAX_TEXT];
		static unsigned next;
		char *value = values[next++ % 8];
		(void)snprintf(value, MAX_TEXT, "%.*s", (int)(pair.length - length - 1),
		    pair.data + length + 1);
		return value;
	}
	return NULL;
}

struct ct_slice ct_http_header(const struct ct_http_request *request, const char *name)
{
	if (strcmp(name, "Prefer") == 0)
		return ct_slice_from_string(request->prefer);
	cr_assert_str_eq(name, "If-None-Match");
	void (*run)(void) = before_wait;
	before_wait = NULL;
	if (run != NULL)
		run();
	return ct_slice_from_string(request->if_none_match);
}

/* ---- responses ---- */

void ct_http_set_user(struct ct_http_request *request, void *user)
{
	request->user = user;
}

void *ct_http_user(const struct ct_http_request *request)
{
	return request->user;
}

enum ct_http_next ct_http_answer(struct ct_http_request *request, struct ct_http_response *response)
{
	cr_assert_not_null(response);
	ct_lock_take(&request->lock);
	cr_assert_null(request->response, "answered twice");
	request->response = response;
	ct_condition_signal(&request->changed);
	ct_lock_release(&request->lock);
	return CT_HTTP_ANSWERED;
}

struct ct_http_response *ct_http_response_new(int status)
{
	struct ct_http_response *response = calloc(1, sizeof(*response));
	cr_assert_not_null(response);
	response->answer.status = status;
	return response;
}

void ct_http_response_header(struct ct_http_response *response, const char *name, const char *value)
{
	char *headers = response->answer.headers;
	size_t length = strlen(headers);
	(void)snprintf(
	    headers + length, sizeof(response->answer.headers) - length, "%s: %s\n", name, value);
}

void ct_http_response_body(
    struct ct_http_response *response, const char *type, char *data, size_t length_bytes)
{
	cr_assert_str_eq(type, "application/json");
	const struct ct_slice text = { data, length_bytes };
	cr_assert_eq(ct_json_parse(text, &response->answer.json), 0);
	free(data);
}

void ct_http_response_json(struct ct_http_response *response, struct ct_json *json)
{
	char *text = ct_json_to_text(json);
	cr_assert_not_null(text, "a step of the building failed");
	free(text);
	response->answer.json = json;
}

struct ct_http_response *ct_http_problem(
    const struct ct_http_request *request, int error, const char *detail, ...)
{
	char text[MAX_TEXT];
	va_list arguments;
	(void)request;
	va_start(arguments, detail);
	(void)vsnprintf(text, sizeof(text), detail, arguments);
	va_end(arguments);
	struct ct_http_response *response = ct_http_response_new(ct_error_http_status(error));
	struct ct_json *json = ct_json_object();
	ct_json_set_text(json, "code", ct_error_code(error));
	ct_json_set_text(json, "detail", text);
	ct_http_response_json(response, json);
	return response;
}

void ct_http_problem_limit(struct ct_http_response *response, uint64_t limit, uint64_t value)
{
	ct_json_set_number(response->answer.json, "limit", (int64_t)limit);
	ct_json_set_number(response->answer.json, "value", (int64_t)value);
}
