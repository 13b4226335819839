/*
 * The client against a server of raw sockets, which answers each request with bytes that the test
 * wrote and keeps what it was sent.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/http_client.h"
#include "base/thread_pool.h"
#include "calotype/error.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_REQUEST (1u << 20)

/* What the server does with one request. */
struct step {
	const char *until;  /* reads until what it has ends so ["\r\n\r\n"] */
	const char *answer; /* NULL: none */
	bool close;	    /* after the answer, with a reset if bytes are unread */
	bool linger;	    /* before the close, until the peer closes */
	int silence_ms;	    /* before the answer */
};

static struct {
	int fd;
	uint16_t port;
	const struct step *steps;
	size_t count;
	int connections;
	pthread_t thread;
	char request[MAX_REQUEST + 1];
	size_t length;
} server;

static char url[64];
static struct ct_http_client *client;
static struct ct_http_result result;

static bool ends_with(const char *end)
{
	size_t length = strlen(end);
	return server.length >= length &&
	       memcmp(server.request + server.length - length, end, length) == 0;
}

/* False when the peer has closed. */
static bool read_request(int fd, const char *until, size_t from)
{
	while (server.length == from || !ends_with(until)) {
		ssize_t got =
		    recv(fd, server.request + server.length, MAX_REQUEST - server.length, 0);
		if (got <= 0)
			return false;
		server.length += (size_t)got;
	}
	server.request[server.length] = '\0';
	return true;
}

static void drain(int fd)
{
	char piece[4096];
	while (recv(fd, piece, sizeof(piece), 0) > 0)
		;
}

/* One connection; the number of steps it took. */
static size_t serve(int fd, size_t at)
{
	while (at < server.count) {
		const struct step *step = &server.steps[at];
		if (!read_request(
			fd, step->until != NULL ? step->until : "\r\n\r\n", server.length))
			return at;
		if (step->silence_ms > 0)
			(void)poll(NULL, 0, step->silence_ms);
		if (step->answer != NULL)
			(void)send(fd, step->answer, strlen(step->answer), MSG_NOSIGNAL);
		at++;
		if (step->linger) {
			(void)shutdown(fd, SHUT_WR);
			drain(fd);
		}
		if (step->close)
			return at;
	}
	drain(fd);
	return at;
}

static void *run_server(void *arg)
{
	size_t at = 0;
	(void)arg;
	while (at < server.count) {
		int fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		server.connections++;
		at = serve(fd, at);
		(void)close(fd);
	}
	return NULL;
}

static void start(const struct step *steps, size_t count)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof(address);
	(void)unsetenv("http_proxy");
	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(server.fd, 0);
	cr_assert_eq(bind(server.fd, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(server.fd, 8), 0);
	cr_assert_eq(getsockname(server.fd, (struct sockaddr *)&address, &length), 0);
	server.steps = steps;
	server.count = count;
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/a?b", ntohs(address.sin_port));
	cr_assert_eq(ct_thread_start("test-server", run_server, NULL, &server.thread), 0);
}

static void make_client(const struct ct_http_client_options *options)
{
	cr_assert_eq(ct_http_client_new(options, &client), 0);
}

static int call(const char *method)
{
	const struct ct_http_call plain = { .method = method, .url = url };
	return ct_http_client_call(client, &plain, &result);
}

static void stop(void)
{
	ct_http_client_free(client);
	(void)shutdown(server.fd, SHUT_RDWR);
	cr_assert_eq(pthread_join(server.thread, NULL), 0);
	cr_assert_eq(close(server.fd), 0);
	ct_http_result_done(&result);
}

#define START(...)                                          \
	static const struct step steps[] = { __VA_ARGS__ }; \
	start(steps, sizeof(steps) / sizeof(steps[0]))

static void assert_body(const char *expected)
{
	cr_assert_eq(result.body.length, strlen(expected));
	if (result.body.length > 0)
		cr_assert_str_eq(result.body.data, expected);
}

TestSuite(http_client, .timeout = 30);

Test(http_client, gets)
{
	START({ .answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One:  a b \r\nx-one: c\r\n\r\n"
			  "hello" });
	const char *const headers[] = { "X-Mine: 1", "Accept:", NULL };
	const struct ct_http_call get = { .method = "GET", .url = url, .headers = headers };
	make_client(&(struct ct_http_client_options){ .bearer_token = "calo_1_2" });
	cr_assert_eq(
	    ct_http_client_call(client, &get, &result), 0, "%s", ct_http_client_reason(client));
	cr_assert_eq(result.status, 200);
	assert_body("hello");
	cr_assert_str_eq(result.head.data, "Content-Length: 5\nX-One:  a b \nx-one: c\n");
	cr_assert(ct_slice_equal(ct_http_result_header(&result, "x-ONE"), "a b"));
	cr_assert_null(ct_http_result_header(&result, "X-On").data);
	cr_assert_null(ct_http_result_header(&result, "").data);
	cr_assert_str_eq(ct_http_client_reason(client), "");
	stop();
	cr_assert(
	    ct_slice_starts_with(ct_slice_from_string(server.request), "GET /a?b HTTP/1.1\r\n"));
	cr_assert_not_null(strstr(server.request, "\r\nAuthorization: Bearer calo_1_2\r\n"));
	cr_assert_not_null(strstr(server.request, "\r\nX-Mine: 1\r\n"));
	cr_assert_null(strstr(server.request, "Accept"));
}

Test(http_client, keeps_the_connection_and_forgets_the_call)
{
	START({ .until = "0123456789", .answer = "HTTP/1.1 204 No\r\n\r\n" },
	    { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" },
	    { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" });
	const struct ct_http_call put = { .method = "PUT",
		.url = url,
		.body = "0123456789",
		.body_bytes = 10,
		.has_body = true };
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &put, &result), 0);
	ct_http_result_done(&result);
	cr_assert_eq(call("HEAD"), 0);
	cr_assert_eq(result.status, 200);
	cr_assert_eq(result.body.length, 0);
	cr_assert(ct_slice_equal(ct_http_result_header(&result, "content-length"), "1000"));
	ct_http_result_done(&result);
	cr_assert_eq(call("GET"), 0);
	assert_body("x");
	stop();
	cr_assert_eq(server.connections, 1);
	cr_assert_not_null(strstr(server.request, "\r\n\r\n0123456789HEAD /a?b HTTP/1.1\r\n"));
	cr_assert_not_null(strstr(server.request, "\r\n\r\nGET /a?b HTTP/1.1\r\n"));
}

Test(http_client, follows_no_redirect)
{
	START({ .answer = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n" });
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(call("GET"), 0);
	cr_assert_eq(result.status, 302);
	cr_assert(ct_slice_equal(ct_http_result_header(&result, "Location"), "/other"));
	stop();
}

Test(http_client, keeps_the_final_head_only)
{
	START({ .answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
			  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n"
			  "3\r\nabc\r\n0\r\nTrailer: t\r\nHTTP/1.1 500 No: t\r\n\r\n" });
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(call("GET"), 0);
	cr_assert_eq(result.status, 200);
	assert_body("abc");
	cr_assert_null(ct_http_result_header(&result, "Link").data);
	cr_assert_null(ct_http_result_header(&result, "Trailer").data);
	cr_assert(ct_slice_equal(ct_http_result_header(&result, "A"), "b"));
	stop();
}

Test(http_client, methods_without_a_body)
{
	START({ .answer = "HTTP/1.1 204 No\r\n\r\n" }, { .answer = "HTTP/1.1 204 No\r\n\r\n" });
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(call("DELETE"), 0);
	ct_http_result_done(&result);
	cr_assert_eq(call("POST"), 0);
	cr_assert_eq(result.status, 204);
	stop();
	const char *post = strstr(server.request, "POST /a?b");
	cr_assert_not_null(post);
	cr_assert_not_null(strstr(post, "\r\nContent-Length: 0\r\n"));
	cr_assert_null(strstr(server.request, "chunked"));
}

struct source {
	uint64_t left;
	uint64_t most;	 /* that a read gives */
	int64_t instead; /* when nothing is left */
	uint64_t sent;
	int progress_result;
	uint64_t written;
	int write_result;
};

static int64_t read_source(void *arg, void *data, size_t capacity)
{
	struct source *source = arg;
	uint64_t count = capacity < source->most ? capacity : source->most;
	if (source->left == 0)
		return source->instead;
	if (count > source->left)
		count = source->left;
	memset(data, 'x', count);
	source->left -= count;
	if (source->left == 0)
		((char *)data)[count - 1] = '!';
	return (int64_t)count;
}

static int note_progress(void *arg, uint64_t sent_bytes, uint64_t received_bytes)
{
	struct source *source = arg;
	(void)received_bytes;
	source->sent = sent_bytes;
	return source->progress_result;
}

static int take_body(void *arg, const void *data, size_t length)
{
	struct source *source = arg;
	(void)data;
	source->written += length;
	return source->write_result;
}

static struct ct_http_call patch_of(struct source *source, uint64_t length)
{
	return (struct ct_http_call){ .method = "PATCH",
		.url = url,
		.has_body = true,
		.body_bytes = length,
		.read = read_source,
		.progress = note_progress,
		.write = take_body,
		.arg = source };
}

Test(http_client, sends_from_a_callback)
{
	START({ .until = "x!", .answer = "HTTP/1.1 204 No\r\n\r\n" });
	struct source source = { .left = 300000, .most = 1000 };
	const struct ct_http_call patch = patch_of(&source, 300000);
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &patch, &result), 0);
	cr_assert_eq(result.status, 204);
	cr_assert_eq(source.sent, 300000);
	stop();
	cr_assert_not_null(strstr(server.request, "\r\nContent-Length: 300000\r\n"));
	const char *body = strstr(server.request, "\r\n\r\n") + 4;
	cr_assert_eq(strlen(body), 300000);
}

Test(http_client, asks_before_a_large_body)
{
	START({ .answer = "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno", .close = true });
	struct source source = { .left = 5000000, .most = 1000 };
	const struct ct_http_call patch = patch_of(&source, 5000000);
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &patch, &result), 0);
	cr_assert_eq(result.status, 413);
	assert_body("no");
	cr_assert_eq(source.left, 5000000);
	stop();
	cr_assert_not_null(strstr(server.request, "\r\nExpect: 100-continue\r\n"));
}

/* The server reads a part, answers and closes, so that the rest runs into a reset. */
static void early_answer(int status)
{
	char answer[128];
	const struct step step = { .until = "x", .answer = answer, .close = true };
	const char *const headers[] = { "Expect:", NULL };
	struct source source = { .left = 50000000, .most = 65536 };
	struct ct_http_call patch = patch_of(&source, 50000000);
	patch.headers = headers;
	patch.write = NULL;
	(void)snprintf(answer, sizeof(answer),
	    "HTTP/1.1 %d Early\r\nUpload-Offset: 7\r\nContent-Length: 0\r\n\r\n", status);
	start(&step, 1);
	make_client(&(struct ct_http_client_options){ 0 });
	int r = ct_http_client_call(client, &patch, &result);
	/* A reset may overtake the answer; then the connection broke, and nothing else is said. */
	if (r == 0) {
		cr_assert_eq(result.status, status);
		cr_assert(ct_slice_equal(ct_http_result_header(&result, "upload-offset"), "7"));
	} else {
		cr_assert_eq(r, CT_ERROR_UNREACHABLE);
	}
	cr_assert_gt(source.left, 0);
	stop();
}

Test(http_client, early_refusal_or_reset)
{
	early_answer(415);
}

Test(http_client, early_success_or_reset)
{
	early_answer(200);
}

/* The answer lies ready while the body is still dripping out, then the connection is reset. */
static void answer_while_sending(int status, bool write_out, int expected)
{
	char answer[128];
	const struct step step = {
		.until = "x", .answer = answer, .close = true, .silence_ms = 300
	};
	const char *const headers[] = { "Expect:", NULL };
	struct source source = { .left = 400000, .most = 1000 };
	struct ct_http_call patch = patch_of(&source, 400000);
	patch.headers = headers;
	if (!write_out)
		patch.write = NULL;
	patch.max_send_bytes_per_second = 100000;
	(void)snprintf(answer, sizeof(answer),
	    "HTTP/1.1 %d Early\r\nUpload-Offset: 7\r\nContent-Length: 0\r\n\r\n", status);
	start(&step, 1);
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &patch, &result), expected, "%s",
	    ct_http_client_reason(client));
	cr_assert_eq(result.status, status);
	cr_assert(ct_slice_equal(ct_http_result_header(&result, "upload-offset"), "7"));
	cr_assert_gt(source.left, 0);
	stop();
}

Test(http_client, early_refusal_is_a_result)
{
	answer_while_sending(415, false, 0);
}

Test(http_client, early_success_is_a_result)
{
	answer_while_sending(200, false, 0);
}

/* What is written out may be cut short, so a broken connection is told. */
Test(http_client, early_success_is_no_download)
{
	answer_while_sending(200, true, CT_ERROR_UNREACHABLE);
}

Test(http_client, early_end_of_the_source_breaks_off)
{
	START({ .until = "x!" });
	struct source source = { .left = 1000, .most = 1000 };
	const struct ct_http_call patch = patch_of(&source, 2000);
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &patch, &result), -ENODATA);
	stop();
}

Test(http_client, read_callback_breaks_off)
{
	START({ .until = "x!" });
	struct source source = { .left = 1000, .most = 1000, .instead = -5 };
	const struct ct_http_call patch = patch_of(&source, 2000);
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &patch, &result), -ECANCELED);
	stop();
}

Test(http_client, progress_callback_breaks_off)
{
	START({ .until = "x!" });
	struct source source = { .left = 1000, .most = 1000, .progress_result = 1 };
	const struct ct_http_call patch = patch_of(&source, 1000);
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &patch, &result), -ECANCELED);
	stop();
}

Test(http_client, writes_out_a_success_only)
{
	START({ .answer = "HTTP/1.1 206 Part\r\nContent-Length: 3\r\n\r\nabc" },
	    { .answer = "HTTP/1.1 404 Not\r\nContent-Length: 4\r\n\r\nnone" },
	    { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" });
	struct source source = { .left = 0 };
	struct ct_http_call get = {
		.method = "GET", .url = url, .write = take_body, .arg = &source
	};
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &get, &result), 0);
	cr_assert_eq(source.written, 3);
	cr_assert_eq(result.body.length, 0);
	ct_http_result_done(&result);
	cr_assert_eq(ct_http_client_call(client, &get, &result), 0);
	cr_assert_eq(source.written, 3);
	assert_body("none");
	ct_http_result_done(&result);
	source.write_result = -EIO;
	cr_assert_eq(ct_http_client_call(client, &get, &result), -ECANCELED);
	stop();
}

Test(http_client, body_that_breaks_off_is_no_success)
{
	START({ .answer = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc", .close = true });
	struct source source = { .left = 0 };
	struct ct_http_call get = {
		.method = "GET", .url = url, .write = take_body, .arg = &source
	};
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &get, &result), CT_ERROR_UNREACHABLE);
	cr_assert_gt(strlen(ct_http_client_reason(client)), 0);
	stop();
}

Test(http_client, stall_times_out)
{
	START({ .answer = "HTTP/1.1 200 OK\r\n\r\n", .silence_ms = 4000 });
	make_client(&(struct ct_http_client_options){ .stall_timeout_ms = 1000 });
	cr_assert_eq(call("GET"), -ETIMEDOUT);
	stop();
}

Test(http_client, nobody_listens)
{
	START({ .answer = "" });
	make_client(&(struct ct_http_client_options){ 0 });
	(void)shutdown(server.fd, SHUT_RDWR);
	cr_assert_eq(call("GET"), CT_ERROR_UNREACHABLE);
	cr_assert_not_null(strstr(ct_http_client_reason(client), "onnect"));
	stop();
}

Test(http_client, what_is_no_http)
{
	START({ .answer = "SSH-2.0-x\r\n\r\n", .close = true });
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(call("GET"), CT_ERROR_PEER_PROTOCOL);
	stop();
}

Test(http_client, refuses_other_schemes_and_injected_lines)
{
	START({ .answer = "" });
	const char *const headers[] = { "A: b\r\nC: d", NULL };
	const struct ct_http_call injected = { .method = "GET", .url = url, .headers = headers };
	const struct ct_http_call file = { .method = "GET", .url = "file:///etc/passwd" };
	const struct ct_http_call method = { .method = "GET / HTTP/1.1\r\nA: b\r\n\r\n",
		.url = url };
	const struct ct_http_client_options bad = { .bearer_token = "a\nb" };
	struct ct_http_client *other = NULL;
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(ct_http_client_call(client, &injected, &result), -EINVAL);
	cr_assert_eq(ct_http_client_call(client, &method, &result), -EINVAL);
	cr_assert_eq(ct_http_client_call(client, &file, &result), -EINVAL);
	cr_assert_eq(ct_http_client_new(&bad, &other), -EINVAL);
	cr_assert_null(other);
	cr_assert_eq(server.connections, 0);
	stop();
}

/* A head or a body past its maximum, which the server sends in full. */
static void too_much(const char *head, size_t length)
{
	char *answer = malloc(strlen(head) + length + 5);
	cr_assert_not_null(answer);
	size_t chars = strlen(head);
	memcpy(answer, head, chars);
	memset(answer + chars, 'x', length);
	memcpy(answer + chars + length, "\r\n\r\n", 5);
	const struct step step = { .answer = answer, .close = true };
	start(&step, 1);
	make_client(&(struct ct_http_client_options){ 0 });
	cr_assert_eq(call("GET"), CT_ERROR_PEER_PROTOCOL);
	stop();
	free(answer);
}

Test(http_client, head_and_body_are_bounded)
{
	too_much("HTTP/1.1 200 OK\r\nA: ", CT_HTTP_CLIENT_MAX_HEAD);
	server.length = 0;
	too_much("HTTP/1.1 200 OK\r\n\r\n", CT_HTTP_CLIENT_MAX_BODY);
}
