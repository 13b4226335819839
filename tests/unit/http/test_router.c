#include "fixture.h"
#include "base/json.h"
#include "http/request_priv.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rig rig;
static struct reply reply;

/* Says which row it is, and what it was given. */
static enum ct_http_next tell(struct ct_http_request *request, void *context)
{
	struct ct_http_response *response = ct_http_response_new(200);
	struct ct_json *json = ct_json_object();
	const char *row = context;
	uint64_t number = 0;
	ct_json_set_text(json, "row", row);
	ct_json_set_text(json, "path", request->path);
	if (strstr(row, "id") != NULL)
		ct_json_set_text(json, "id", ct_http_parameter(request, "id"));
	ct_json_set_text(json, "q", ct_http_query(request, "q"));
	ct_json_set_number(json, "found", ct_http_header_u64(request, "X-Number", 1000, &number));
	ct_json_set_number(json, "number", (int64_t)number);
	struct ct_slice single = ct_http_header(request, "X-Single");
	if (single.data != NULL) {
		char text[64];
		(void)snprintf(text, sizeof(text), "%.*s", (int)single.length, single.data);
		ct_json_set_text(json, "single", text);
	}
	ct_http_response_json(response, json);
	return ct_http_answer(request, response);
}

static enum ct_http_next swallow(
    struct ct_http_request *request, const void *data, size_t length, void *context)
{
	(void)request;
	(void)data;
	(void)length;
	(void)context;
	return CT_HTTP_PROCEED;
}

static atomic_int gones;

static void count_gone(struct ct_http_request *request, void *context)
{
	(void)request;
	(void)context;
	gones++;
}

static const struct ct_http_handler teller = { .head = tell, .gone = count_gone };
static const struct ct_http_handler taker = { .head = tell, .body = swallow };

static const struct ct_http_route routes[] = {
	{ CT_HTTP_GET, "/", 0, &teller, (void *)"root" },
	{ CT_HTTP_GET, "/images", 0, &teller, (void *)"list" },
	{ CT_HTTP_POST, "/images", 0, &taker, (void *)"create" },
	{ CT_HTTP_GET, "/images/{id}", 0, &teller, (void *)"id" },
	{ CT_HTTP_PUT, "/images/{id}", 0, &taker, (void *)"put-id" },
	{ CT_HTTP_GET, "/images/search", 0, &teller, (void *)"search" },
	{ CT_HTTP_GET, "/images/{id}/original", 0, &teller, (void *)"original-id" },
	{ CT_HTTP_OPTIONS, "/uploads", 0, &teller, (void *)"own-options" },
	{ CT_HTTP_POST, "/uploads", 0, &taker, (void *)"uploads" },
};

static void start(void)
{
	static const struct ct_http_options options;
	rig_start_with(&rig, &options, routes, sizeof(routes) / sizeof(routes[0]));
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(router, .init = start, .fini = stop, .timeout = 60);

static void get(const char *method, const char *target)
{
	char text[16384];
	(void)snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: h\r\n\r\n", method, target);
	ask(&rig, text, &reply);
}

static void expect_row(const char *method, const char *target, const char *row)
{
	char text[64];
	get(method, target);
	cr_assert_eq(reply.status, 200, "%s %s: %s", method, target, reply.body);
	(void)snprintf(text, sizeof(text), "\"row\":\"%s\"", row);
	cr_assert_not_null(strstr(reply.body, text), "%s %s: %s", method, target, reply.body);
}

Test(router, rows_are_found)
{
	expect_row("GET", "/", "root");
	expect_row("GET", "/?q=a", "root");
	expect_row("GET", "/images", "list");
	expect_row("POST", "/images", "create");
	expect_row("GET", "/images/7", "id");
	expect_row("GET", "/images/search", "search");
	expect_row("PUT", "/images/search", "put-id");
	expect_row("GET", "/images/7/original", "original-id");
	expect_row("GET", "/i%6dages", "list");
	expect_row("OPTIONS", "/uploads", "own-options");
	expect_row("GET", "http://host:1/images?q", "list");
	expect_row("GET", "http://host", "root");
}

Test(router, parameters_and_queries_are_decoded)
{
	get("GET", "/images/a%2Fb%20%C3%A9+c?x=1&q=%41+b&q=2");
	cr_assert_not_null(strstr(reply.body, "\"id\":\"a/b \xc3\xa9+c\""), "%s", reply.body);
	cr_assert_not_null(strstr(reply.body, "\"q\":\"A b\""), "%s", reply.body);
	cr_assert_not_null(strstr(reply.body, "\"path\":\"/images/a%2Fb%20%C3%A9+c\""));
	get("GET", "/?q");
	cr_assert_not_null(strstr(reply.body, "\"q\":\"\""), "%s", reply.body);
	get("GET", "/?&&=x&");
	cr_assert_not_null(strstr(reply.body, "\"q\":null"), "%s", reply.body);
}

Test(router, unknown_paths_are_404)
{
	const char *targets[] = { "/image", "/images/", "/images//original", "/images/7/8",
		"//images", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s" };
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		get("GET", targets[i]);
		cr_assert_eq(reply.status, 404, "%s", targets[i]);
	}
}

Test(router, bad_paths_and_queries_are_400_or_414)
{
	char target[8400];
	const char *targets[] = { "/images/a%00b", "/images/%", "/images/%4", "/images/%zz",
		"/images/%ff", "/images/%c0%af", "/images/%ed%a0%80", "/images?q=%",
		"/images?%00=1", "/images?q=%ff", "images", "*", "?q" };
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		get("GET", targets[i]);
		cr_assert_eq(reply.status, 400, "%s: %d", targets[i], reply.status);
	}
	for (size_t length = 4095; length <= 4097; length++) {
		memset(target, 'a', length);
		memcpy(target, "/images/", 8);
		target[length] = '\0';
		get("GET", target);
		cr_assert_eq(reply.status, length <= 4096 ? 200 : 414);
	}
	memset(target, 'a', 8300);
	memcpy(target, "/images?", 8);
	target[8300] = '\0';
	/* libmicrohttpd's own pool may be full before ours says so. */
	get("GET", target);
	cr_assert(reply.status == 414 || reply.status == 431, "%d", reply.status);
	memset(target, '&', 128);
	memcpy(target, "/images?", 8);
	for (int i = 0; i < 33; i++)
		target[8 + 2 * i] = 'a';
	target[128] = '\0';
	get("GET", target);
	cr_assert_eq(reply.status, 400);
}

Test(router, other_methods_are_405_with_allow)
{
	get("DELETE", "/images");
	cr_assert_eq(reply.status, 405);
	cr_assert_str_eq(reply_header(&reply, "Allow"), "GET, HEAD, POST, OPTIONS");
	cr_assert_not_null(strstr(reply.body, "\"code\":\"method_not_allowed\""));
	get("POST", "/images/7");
	cr_assert_str_eq(reply_header(&reply, "Allow"), "GET, HEAD, PUT, OPTIONS");
	get("BREW", "/images");
	cr_assert_eq(reply.status, 405);
	get("get", "/images");
	cr_assert_eq(reply.status, 405);
	get("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "/images");
	cr_assert_eq(reply.status, 405);
	get("TRACE", "/nowhere");
	cr_assert_eq(reply.status, 404);
}

Test(router, options_is_answered_with_allow)
{
	get("OPTIONS", "/images/7");
	cr_assert_eq(reply.status, 204);
	cr_assert_str_eq(reply_header(&reply, "Allow"), "GET, HEAD, PUT, OPTIONS");
	get("OPTIONS", "*");
	cr_assert_eq(reply.status, 204);
	cr_assert_str_eq(
	    reply_header(&reply, "Allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	/* Also where the route answers it itself. */
	get("OPTIONS", "/uploads");
	cr_assert_eq(reply.status, 200);
	cr_assert_str_eq(reply_header(&reply, "Allow"), "POST, OPTIONS");
	get("OPTIONS", "/nowhere");
	cr_assert_eq(reply.status, 404);
}

Test(router, head_uses_the_row_of_get)
{
	get("HEAD", "/images/7");
	cr_assert_eq(reply.status, 200);
	cr_assert_gt(strtol(reply_header(&reply, "Content-Length"), NULL, 10), 10);
}

Test(router, a_body_where_none_is_taken_is_413)
{
	int fd = client_open(&rig);
	client_say(fd, "GET /images HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
		       "GET /images HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 413);
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 200);
	close(fd);
	/* Only whose head was called is told that it is gone. */
	cr_assert(wait_for(&gones, 1));
	sleep_ms(50);
	cr_assert_eq(gones, 1);
}

Test(router, header_accessors_are_strict)
{
	ask(&rig, "GET / HTTP/1.1\r\nHost: h\r\nX-Number: 1000\r\nX-Single:  a b \r\n\r\n", &reply);
	cr_assert_not_null(strstr(reply.body, "\"found\":1,\"number\":1000"), "%s", reply.body);
	cr_assert_not_null(strstr(reply.body, "\"single\":\"a b\""));
	const char *bad[] = { "1001", "-1", "+1", "1.0", "", "1 1", "0x1", "99999999999999999999" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128];
		char want[32];
		(void)snprintf(text, sizeof(text),
		    "GET / HTTP/1.1\r\nHost: h\r\nX-Number: %s\r\n\r\n", bad[i]);
		(void)snprintf(want, sizeof(want), "\"found\":%d", CT_ERROR_INVALID_HEADER);
		ask(&rig, text, &reply);
		cr_assert_not_null(strstr(reply.body, want), "%s: %s", bad[i], reply.body);
	}
	ask(&rig, "GET / HTTP/1.1\r\nHost: h\r\nX-Number: 1\r\nx-number: 1\r\n\r\n", &reply);
	cr_assert_not_null(strstr(reply.body, "\"found\":-"), "%s", reply.body);
}

/* RFC 9110 section 5.3: it once counted as absent. */
Test(router, a_list_on_several_lines_is_one_list)
{
	int fd = client_open(&rig);
	for (int i = 0; i < 3; i++) {
		client_say(fd, "GET / HTTP/1.1\r\nX-Single: \"a\" \r\nHost: h\r\nx-single:\"b\"\r\n"
			       "X-Other: 1\r\nX-Single:\r\nX-SINGLE: \"c\"\r\nX-Other: 2\r\n\r\n");
		cr_assert(client_read(fd, false, &reply));
		cr_assert_not_null(
		    strstr(reply.body, "\"single\":\"\\\"a\\\", \\\"b\\\", , \\\"c\\\"\""), "%s",
		    reply.body);
		/* Nothing of it is left for the next request. */
		client_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
		cr_assert(client_read(fd, false, &reply));
		cr_assert_null(strstr(reply.body, "single"), "%s", reply.body);
	}
	close(fd);
}

Test(router, what_is_no_list_may_come_once)
{
	static const char *const names[] = { "Authorization", "Content-Type", "Range", "If-Range",
		"Upload-Offset", "Upload-Length", "Tus-Resumable", "X-HTTP-Method-Override" };
	int fd = client_open(&rig);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char head[256];
		char want[128];
		(void)snprintf(head, sizeof(head),
		    "GET / HTTP/1.1\r\nHost: h\r\n%s: 1\r\nX: y\r\n%s: 1\r\n\r\n", names[i],
		    names[i]);
		(void)snprintf(want, sizeof(want), "the field %s came twice", names[i]);
		client_say(fd, head);
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, 400, "%s", names[i]);
		cr_assert_not_null(strstr(reply.body, "\"code\":\"invalid_header\""));
		cr_assert_not_null(strstr(reply.body, want), "%s", reply.body);
		client_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, 200);
	}
	close(fd);
}

/* ---- fields of a folder ---- */

static void add_folder(void)
{
	cr_assert_eq(ct_http_server_add_field(rig.server, "images", "X-Folder", "yes"), 0);
	cr_assert_eq(ct_http_server_add_field(rig.server, "images", "X-Other", "no"), -EEXIST);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "a", "b", "c" };
		cr_assert_eq(ct_http_server_add_field(rig.server, names[i], "X", "y"), 0);
	}
	cr_assert_eq(ct_http_server_add_field(rig.server, "d", "X", "y"), CT_ERROR_LIMIT_REACHED);
}

Test(folder, its_field_is_in_every_answer, .timeout = 30)
{
	static const struct ct_http_options options = { .head_deadline_ms = 300 };
	rig_build(&rig, &options, routes, 9);
	add_folder();
	rig_begin(&rig);
	static const struct {
		const char *request;
		int status;
		bool has;
	} cases[] = {
		{ "GET /images HTTP/1.1\r\nHost: h\r\n\r\n", 200, true },
		{ "GET /%69mages?a HTTP/1.1\r\nHost: h\r\n\r\n", 200, true },
		{ "GET http://h/images HTTP/1.1\r\nHost: h\r\n\r\n", 200, true },
		{ "DELETE /images HTTP/1.1\r\nHost: h\r\n\r\n", 405, true },
		{ "OPTIONS /images HTTP/1.1\r\nHost: h\r\n\r\n", 204, true },
		{ "GET /images/a/b/c HTTP/1.1\r\nHost: h\r\n\r\n", 404, true },
		{ "GET /images%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, false },
		{ "GET /images HTTP/1.1\r\nHost: h\r\nRange: 1\r\nRange: 1\r\n\r\n", 400, true },
		{ "GET /images HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400, true },
		{ "GET /images?a HTTP/1.1\r\nHost: h\r\nX: ", 408, true },
		{ "GET /images HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", 413, true },
		{ "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, false },
		{ "GET /imagesx HTTP/1.1\r\nHost: h\r\n\r\n", 404, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(&rig, cases[i].request, &reply);
		cr_assert_eq(reply.status, cases[i].status, "%s: %s", cases[i].request, reply.body);
		cr_assert_str_eq(reply_header(&reply, "X-Folder"), cases[i].has ? "yes" : "", "%s",
		    cases[i].request);
	}
	rig_stop(&rig);
}

Test(routes, a_row_may_appear_once, .timeout = 30)
{
	static const struct ct_http_options options = { .listen = "127.0.0.1:0" };
	static const struct ct_http_route twice[] = {
		{ CT_HTTP_GET, "/images/{other}", 0, &teller, (void *)"" },
	};
	struct ct_http_server *server;
	cr_assert_eq(ct_http_server_new(&options, &server), 0);
	cr_assert_eq(ct_http_server_add(server, routes, 9), 0);
	cr_assert_eq(ct_http_server_add(server, twice, 1), -EEXIST);
	ct_http_server_free(server);
}
