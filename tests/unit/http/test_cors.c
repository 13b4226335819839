#include "fixture.h"

#include "http/response.h"
#include "http/shared.h"
#include "metadata/api_keys.h"
#include "metadata/metadata.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE "https://www.example.org"
#define OTHER "http://localhost:3000"

static struct rig rig;
static struct reply reply;
static struct ct_http_shared *shared;

TestSuite(cors, .timeout = 60);

static enum ct_http_next answer_shared(struct ct_http_request *request, void *context)
{
	(void)context;
	bool is_known = ct_http_header(request, "If-None-Match").data != NULL;
	return ct_http_answer_shared(request, is_known ? 304 : 200, shared);
}

static enum ct_http_next answer_plain(struct ct_http_request *request, void *context)
{
	struct ct_http_response *response = ct_http_response_new(201);
	(void)context;
	ct_http_response_header(response, "Location", "/jobs/1");
	return ct_http_answer(request, response);
}

static enum ct_http_next refuse_body(
    struct ct_http_request *request, const void *data, size_t length, void *context)
{
	(void)data;
	(void)length;
	(void)context;
	return ct_http_answer(request, ct_http_problem(request, CT_ERROR_TOO_LARGE, "no"));
}

static enum ct_http_next go_on(struct ct_http_request *request, void *context)
{
	(void)request;
	(void)context;
	return CT_HTTP_PROCEED;
}

static const struct ct_http_handler shares = { .head = answer_shared };
static const struct ct_http_handler plain = { .head = answer_plain, .body = refuse_body };
static const struct ct_http_handler refuser = { .head = go_on, .body = refuse_body };
static const struct ct_http_route routes[] = {
	{ CT_HTTP_GET, "/shared", 0, &shares, NULL },
	{ CT_HTTP_GET, "/plain", 0, &plain, NULL },
	{ CT_HTTP_POST, "/plain", 0, &plain, NULL },
	{ CT_HTTP_PUT, "/body", 0, &refuser, NULL },
	{ CT_HTTP_GET, "/locked", CT_SCOPE_READ, &plain, NULL },
	{ CT_HTTP_POST, "/locked", CT_SCOPE_WRITE, &plain, NULL },
};

static void start(const char *origins, struct ct_metadata *metadata)
{
	static char bytes[] = "0123456789";
	struct ct_http_options options = { .cors_origins = origins, .metadata = metadata };
	struct ct_http_body body = { .data = bytes, .fd = -1, .size_bytes = 10 };
	struct ct_http_header_field fields[] = { { "ETag", "\"e\"" }, { "Vary", "Accept" } };
	cr_assert_eq(ct_http_shared_new(&body, fields, 2, &shared), 0);
	rig_start_with(&rig, &options, routes, sizeof(routes) / sizeof(routes[0]));
}

static void stop(void)
{
	rig_stop(&rig);
	ct_http_shared_unref(shared);
}

static int try(const char *line, const char *headers)
{
	char text[1024];
	(void)snprintf(
	    text, sizeof(text), "%s HTTP/1.1\r\nHost: localhost:8080\r\n%s\r\n", line, headers);
	ask(&rig, text, &reply);
	return reply.status;
}

static const char *allowed(void)
{
	return reply_header(&reply, "Access-Control-Allow-Origin");
}

#define PREFLIGHT(method)                                            \
	"Origin: " PAGE "\r\nAccess-Control-Request-Method: " method \
	"\r\nAccess-Control-Request-Headers: authorization, tus-resumable\r\n"

Test(cors, off_by_default)
{
	start(NULL, NULL);
	cr_assert_eq(try("GET /plain", "Origin: " PAGE "\r\n"), 201);
	cr_assert_str_eq(allowed(), "");
	cr_assert_str_eq(reply_header(&reply, "Vary"), "");
	cr_assert_eq(try("OPTIONS /plain", PREFLIGHT("POST")), 204);
	cr_assert_str_eq(allowed(), "");
	cr_assert_str_neq(reply_header(&reply, "Allow"), "");
	stop();
}

Test(cors, listed_origins_are_named_back_in_every_kind_of_answer)
{
	static const struct {
		const char *line, *headers;
		int status;
	} rows[] = {
		{ "GET /plain", "", 201 },
		{ "GET /shared", "", 200 },
		{ "HEAD /shared", "", 200 },
		{ "GET /shared", "If-None-Match: \"e\"\r\n", 304 },
		{ "GET /nothing", "", 404 },
		{ "DELETE /plain", "", 405 },
		/* refused over the socket, since the body will not be read */
		{ "PUT /body", "Content-Length: 99999999\r\n\r\nabc", 413 },
	};
	start(" " OTHER " , " PAGE, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int is_listed = 0; is_listed < 2; is_listed++) {
			char headers[512];
			(void)snprintf(headers, sizeof(headers), "Origin: %s\r\n%s",
			    is_listed ? PAGE : "https://evil.example", rows[i].headers);
			cr_assert_eq(
			    try(rows[i].line, headers), rows[i].status, "%s", rows[i].line);
			cr_expect_str_eq(allowed(), is_listed ? PAGE : "", "%s", rows[i].line);
			cr_expect_eq(strstr(reply_header(&reply, "Access-Control-Expose-Headers"),
					 "Upload-Offset") != NULL,
			    is_listed);
			cr_expect_not_null(strstr(reply.head, "Vary: Origin"), "%s", rows[i].line);
			cr_expect_str_eq(
			    reply_header(&reply, "Access-Control-Allow-Credentials"), "");
		}
	}
	/* What the shared answer says itself stays, and nothing sticks to it. */
	cr_assert_eq(try("GET /shared", "Origin: " PAGE "\r\n"), 200);
	cr_assert_str_eq(reply.body, "0123456789");
	cr_assert_str_eq(reply_header(&reply, "ETag"), "\"e\"");
	cr_assert_not_null(strstr(reply.head, "Vary: Accept"));
	cr_assert_eq(try("GET /shared", ""), 200);
	cr_assert_str_eq(allowed(), "");
	cr_assert_not_null(strstr(reply.head, "Vary: Origin"));
	cr_assert_eq(try("GET /plain", "Origin: HTTPS://WWW.example.org\r\n"), 201);
	cr_assert_str_eq(allowed(), "HTTPS://WWW.example.org");
	const char *others[] = { "Origin: " PAGE ":443\r\n", "Origin: null\r\n", "Origin: \r\n",
		"Origin: " PAGE ".evil\r\n", "Origin: ,\r\n", "Origin: " OTHER " , " PAGE "\r\n" };
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		cr_assert_eq(try("GET /plain", others[i]), 201);
		cr_expect_str_eq(allowed(), "", "%s", others[i]);
	}
	stop();
}

Test(cors, all_origins)
{
	start("*", NULL);
	cr_assert_eq(try("GET /plain", "Origin: " PAGE "\r\n"), 201);
	cr_assert_str_eq(allowed(), "*");
	cr_assert_str_eq(reply_header(&reply, "Vary"), "");
	cr_assert_not_null(
	    strstr(reply_header(&reply, "Access-Control-Expose-Headers"), "Location"));
	cr_assert_eq(try("GET /shared", ""), 200);
	cr_assert_str_eq(allowed(), "*", "caches may keep it for any origin");
	cr_assert_str_eq(reply_header(&reply, "Access-Control-Allow-Credentials"), "");
	stop();
}

Test(cors, preflights)
{
	start(PAGE, NULL);
	cr_assert_eq(try("OPTIONS /plain", PREFLIGHT("PATCH")), 204);
	cr_assert_str_eq(allowed(), PAGE);
	cr_assert_not_null(strstr(reply_header(&reply, "Access-Control-Allow-Methods"), "PATCH"));
	static const char *const needed[] = { "Authorization", "Content-Type", "Tus-Resumable",
		"Upload-Offset", "Upload-Length", "Upload-Metadata", "Prefer", "If-None-Match",
		"Range" };
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		cr_expect_not_null(
		    strstr(reply_header(&reply, "Access-Control-Allow-Headers"), needed[i]), "%s",
		    needed[i]);
	cr_assert_str_eq(reply_header(&reply, "Access-Control-Max-Age"), "7200");
	cr_assert_eq(try("OPTIONS /plain", "Origin: https://evil.example\r\n"
					   "Access-Control-Request-Method: POST\r\n"),
	    204);
	cr_assert_str_eq(allowed(), "");
	cr_assert_str_eq(reply_header(&reply, "Access-Control-Allow-Methods"), "");
	/* Without the question it is a plain OPTIONS. */
	cr_assert_eq(try("OPTIONS /plain", "Origin: " PAGE "\r\n"), 204);
	cr_assert_str_neq(reply_header(&reply, "Allow"), "");
	cr_assert_str_eq(allowed(), PAGE);
	stop();
}

static int insert(struct ct_metadata_view *view, void *arg)
{
	struct ct_api_key_row row = { .id = "reader00", .scopes = CT_SCOPE_READ, .created_at = 1 };
	(void)arg;
	return ct_api_key_insert(view, &row);
}

/* A browser sends no key with a preflight, and must be able to read what a refusal says. */
Test(cors, keys)
{
	char path[64], wal[80];
	struct ct_metadata *metadata = NULL;
	(void)snprintf(path, sizeof(path), "/tmp/http-cors-%d.db", (int)getpid());
	cr_assert_eq(ct_metadata_open(&(struct ct_metadata_options){ .path = path }, &metadata), 0);
	start(PAGE, metadata);
	/* Open servers take nothing from pages that were not allowed. */
	cr_assert_eq(try("POST /locked", "Origin: https://evil.example\r\n"), 403);
	cr_assert_not_null(strstr(reply.body, "\"code\":\"foreign_origin\""));
	cr_assert_eq(try("POST /locked", "Origin: null\r\n"), 403);
	cr_assert_eq(try("POST /locked", "Origin: " PAGE "\r\n"), 201);
	cr_assert_eq(try("POST /locked", "Origin: http://localhost:8080\r\n"), 201);
	cr_assert_eq(try("POST /locked", "Origin: http://localhost:8081\r\n"), 403);
	cr_assert_eq(try("POST /locked", ""), 201);
	cr_assert_eq(try("GET /locked", "Origin: https://evil.example\r\n"), 201);
	cr_assert_str_eq(allowed(), "");
	cr_assert_eq(ct_metadata_write(metadata, insert, NULL), 0);
	sleep_ms(700);
	cr_assert_eq(try("OPTIONS /locked", PREFLIGHT("GET")), 204);
	cr_assert_str_eq(allowed(), PAGE);
	cr_assert_eq(try("GET /locked", "Origin: " PAGE "\r\n"), 401);
	cr_assert_str_eq(allowed(), PAGE);
	stop();
	ct_metadata_close(metadata);
	unlink(path);
	(void)snprintf(wal, sizeof(wal), "%s-wal", path);
	unlink(wal);
	(void)snprintf(wal, sizeof(wal), "%s-shm", path);
	unlink(wal);
}
