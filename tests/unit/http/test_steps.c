#include "fixture.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;
static struct reply reply;

static void start(void)
{
	script = (struct script){ .end = ACT_ANSWER };
	rig_start(&rig, NULL);
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(steps, .init = start, .fini = stop, .timeout = 60);

static void expect_counts(int head, int end, int gone)
{
	cr_assert(wait_for(&counts.gone, gone));
	cr_assert_eq(counts.head, head);
	cr_assert_eq(counts.end, end);
}

Test(steps, a_get_is_answered_in_head_and_the_connection_lives_on)
{
	script.head = ACT_ANSWER;
	int fd = client_open(&rig);
	for (int i = 0; i < 5; i++) {
		client_say(fd, "GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n");
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, 200);
		cr_assert_str_eq(reply.body, "done\n");
		cr_assert_str_eq(reply_header(&reply, "X-Content-Type-Options"), "nosniff");
		cr_assert_eq(strlen(reply_header(&reply, "X-Request-Id")), 32);
	}
	close(fd);
	expect_counts(5, 0, 5);
	cr_assert_eq(counts.answered, 5);
}

static const enum act waits[] = { ACT_WAIT_ANSWER, ACT_WAIT_PROCEED, ACT_BEFORE_ANSWER,
	ACT_BEFORE_PROCEED };

static void put(int fd, size_t length, bool chunked)
{
	char head[128];
	char *body = malloc(length);
	memset(body, 1, length);
	if (!chunked) {
		(void)snprintf(head, sizeof(head),
		    "PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", length);
		client_say(fd, head);
		client_send(fd, body, length);
	} else {
		client_say(
		    fd, "PUT /s/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (size_t at = 0; at < length;) {
			size_t piece = length - at < 5000 ? length - at : 5000;
			(void)snprintf(head, sizeof(head), "%zx\r\n", piece);
			client_say(fd, head);
			client_send(fd, body + at, piece);
			client_say(fd, "\r\n");
			at += piece;
		}
		client_say(fd, "0\r\n\r\n");
	}
	free(body);
}

/* Every way to wait in every step, with both framings, on one kept-alive connection. */
Test(steps, waiting_in_head)
{
	int fd = client_open(&rig);
	int rounds = 0;
	for (size_t i = 0; i < 4; i++) {
		for (int chunked = 0; chunked < 2; chunked++) {
			bool answers = waits[i] == ACT_WAIT_ANSWER || waits[i] == ACT_BEFORE_ANSWER;
			script.head = waits[i];
			script.delay_ms = 20;
			if (answers && chunked)
				continue; /* closes: its length is not known */
			put(fd, 100000, chunked != 0);
			cr_assert(client_read(fd, false, &reply));
			cr_assert_eq(reply.status, 200);
			rounds++;
		}
	}
	cr_assert(wait_for(&counts.gone, rounds));
	cr_assert_eq(counts.body_bytes, 400000); /* not the two that were answered in head */
	cr_assert_eq(counts.body_sum, 400000);
	cr_assert_eq(counts.end, 4);
	close(fd);
}

Test(steps, waiting_in_body)
{
	int fd = client_open(&rig);
	uint64_t bytes = 0;
	int rounds = 0;
	for (size_t i = 0; i < 4; i++) {
		for (int chunked = 0; chunked < 2; chunked++) {
			bool answers = waits[i] == ACT_WAIT_ANSWER || waits[i] == ACT_BEFORE_ANSWER;
			script.body = waits[i];
			script.delay_ms = 2;
			script.head = ACT_PROCEED;
			if (answers && chunked)
				continue;
			put(fd, 300000, chunked != 0);
			cr_assert(client_read(fd, false, &reply));
			cr_assert_eq(reply.status, 200);
			rounds++;
			cr_assert(wait_for(&counts.gone, rounds));
			if (!answers)
				cr_assert_eq(counts.body_bytes - bytes, 300000);
			bytes = counts.body_bytes;
		}
	}
	cr_assert_eq(counts.end, 4);
	cr_assert_eq(counts.answered, rounds);
	close(fd);
}

/* What is left of a piece comes again, all of it and once, however the request is woken. */
Test(steps, keeping_the_rest_of_a_piece)
{
	static const enum act ways[] = { ACT_WAIT_PROCEED, ACT_BEFORE_PROCEED };
	static const size_t takes[] = { 1, 4999, 30000, 65536 };
	int fd = client_open(&rig);
	int rounds = 0;
	for (size_t way = 0; way < 2; way++) {
		for (size_t i = 0; i < 4; i++) {
			for (int chunked = 0; chunked < 2; chunked++) {
				size_t length = takes[i] == 1 ? 300 : 700000;
				int calls = counts.body;
				script.body = ways[way];
				script.body_take = takes[i];
				script.delay_ms = way == 0 && takes[i] > 5000 ? 3 : 0;
				counts.body_bytes = counts.body_sum = 0;
				put(fd, length, chunked != 0);
				cr_assert(client_read(fd, false, &reply));
				cr_assert_eq(reply.status, 200);
				cr_assert(wait_for(&counts.gone, ++rounds));
				cr_assert_eq(counts.body_bytes, length);
				cr_assert_eq(counts.body_sum, length);
				cr_assert_geq(counts.body - calls, (int)(length / takes[i]));
			}
		}
	}
	close(fd);
}

Test(steps, answering_while_a_rest_is_kept)
{
	script.body = ACT_WAIT_ANSWER;
	script.body_take = 1000;
	script.delay_ms = 20;
	int fd = client_open(&rig);
	for (int rounds = 1; rounds <= 3; rounds++) {
		put(fd, 200000, false);
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, 200);
		cr_assert(wait_for(&counts.gone, rounds));
		cr_assert_eq(counts.body_bytes, (uint64_t)rounds * 1000);
	}
	cr_assert_eq(counts.end, 0);
	close(fd);
}

Test(steps, leaving_while_a_rest_is_kept)
{
	script.body = ACT_WAIT_PROCEED;
	script.body_take = 10000;
	script.delay_ms = 150;
	int fd = client_open(&rig);
	client_say(fd, "PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
	char *body = calloc(1, 50000);
	client_send(fd, body, 50000);
	free(body);
	cr_assert(wait_for(&counts.body, 1));
	client_reset(fd);
	expect_counts(1, 0, 1);
	cr_assert_eq(counts.answered, 0);
}

Test(steps, waiting_in_end)
{
	int fd = client_open(&rig);
	int rounds = 0;
	for (size_t i = 0; i < 4; i++) {
		for (int chunked = 0; chunked < 2; chunked++) {
			script.end = waits[i];
			script.delay_ms = 20;
			counts.end = 0;
			put(fd, 10000, chunked != 0);
			cr_assert(client_read(fd, false, &reply));
			cr_assert_eq(reply.status, 200);
			cr_assert(wait_for(&counts.gone, ++rounds));
			bool proceeds =
			    waits[i] == ACT_WAIT_PROCEED || waits[i] == ACT_BEFORE_PROCEED;
			cr_assert_eq(counts.end, proceeds ? 3 : 1);
		}
	}
	cr_assert_eq(counts.body_bytes, 80000);
	close(fd);
}

Test(steps, an_empty_body_goes_from_head_to_end)
{
	script.head = ACT_WAIT_PROCEED;
	ask(&rig, "PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &reply);
	cr_assert_eq(reply.status, 200);
	expect_counts(1, 1, 1);
	cr_assert_eq(counts.body, 0);
}

/* ---- breaking off ---- */

static void break_off(const char *text, size_t more)
{
	int fd = client_open(&rig);
	char *body = calloc(1, more + 1);
	client_say(fd, text);
	client_send(fd, body, more);
	free(body);
	if (text[0] == 'P')
		cr_assert(wait_for(&counts.head, 1));
	sleep_ms(30);
	client_reset(fd);
}

Test(steps, gone_comes_once_when_the_client_leaves_in_the_body)
{
	break_off("PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", 10);
	expect_counts(1, 0, 1);
	sleep_ms(50);
	cr_assert_eq(counts.gone, 1);
	cr_assert_eq(counts.answered, 0);
}

Test(steps, nothing_comes_when_the_client_leaves_in_the_head)
{
	break_off("GET /s/a HTTP/1.1\r\nHost: h\r\n", 0);
	sleep_ms(50);
	cr_assert_eq(counts.head, 0);
	cr_assert_eq(counts.gone, 0);
}

Test(steps, gone_comes_once_when_the_client_leaves_while_it_sleeps_in_head)
{
	script.head = ACT_WAIT_HELD;
	break_off("PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", 0);
	sleep_ms(50);
	cr_assert_eq(counts.gone, 0);
	rig_release();
	expect_counts(1, 0, 1);
}

Test(steps, gone_comes_once_when_the_client_leaves_while_it_sleeps_in_body)
{
	script.body = ACT_WAIT_HELD;
	break_off("PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", 5);
	sleep_ms(50);
	cr_assert_eq(counts.gone, 0);
	rig_release();
	expect_counts(1, 0, 1);
}

Test(steps, gone_comes_once_when_the_client_leaves_while_it_sleeps_in_end)
{
	script.end = ACT_WAIT_HELD;
	break_off("PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", 10);
	cr_assert(wait_for(&counts.end, 1));
	cr_assert_eq(counts.gone, 0);
	rig_release();
	expect_counts(1, 1, 1);
}

Test(steps, gone_comes_once_when_the_client_leaves_in_the_reply)
{
	script.head = ACT_ANSWER;
	script.answer_bytes = 64u << 20;
	int fd = client_open(&rig);
	client_say(fd, "GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert(wait_for(&counts.head, 1));
	sleep_ms(50);
	client_reset(fd);
	expect_counts(1, 0, 1);
}

/* ---- Expect, and answers before the body ---- */

Test(steps, expect_gets_its_continue_only_after_the_head_has_proceeded)
{
	script.head = ACT_WAIT_PROCEED;
	script.delay_ms = 100;
	int fd = client_open(&rig);
	int64_t before = ct_clock_monotonic_ms();
	client_say(fd, "PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
		       "Expect: 100-continue\r\n\r\n");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 100);
	cr_assert_geq(ct_clock_monotonic_ms() - before, 90);
	client_say(fd, "abcd");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 200);
	close(fd);
	expect_counts(1, 1, 1);
}

Test(steps, expect_is_refused_without_a_continue)
{
	for (int i = 0; i < 2; i++) {
		script.head = i == 0 ? ACT_ANSWER : ACT_WAIT_ANSWER;
		script.status = 413;
		int fd = client_open(&rig);
		client_say(fd, "PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 400\r\n"
			       "Expect: 100-continue\r\n\r\n");
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, 413);
		cr_assert_str_eq(reply_header(&reply, "Connection"), "close");
		cr_assert(client_is_closed(fd, 2000));
		close(fd);
	}
	expect_counts(2, 0, 2);
	cr_assert_eq(counts.body, 0);
}

Test(steps, a_small_body_that_nobody_wants_is_read_and_the_connection_kept)
{
	script.head = ACT_ANSWER;
	script.status = 409;
	int fd = client_open(&rig);
	for (int i = 0; i < 3; i++) {
		put(fd, 2u << 20, false);
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, 409);
	}
	close(fd);
	expect_counts(3, 0, 3);
	cr_assert_eq(counts.body, 0);
}

static void send_too_much(const char *framing, bool chunked)
{
	char text[4096];
	size_t sent = 0;
	char *piece = calloc(1, 65536);
	int fd = client_open(&rig);
	client_say(fd, "PUT /s/a HTTP/1.1\r\nHost: h\r\n");
	client_say(fd, framing);
	/* As a client that never looks: until all is sent, or an error. */
	while (sent < (6u << 20)) {
		if (chunked && !client_try_send(fd, "10000\r\n", 7))
			break;
		if (!client_try_send(fd, piece, 65536))
			break;
		if (chunked && !client_try_send(fd, "\r\n", 2))
			break;
		sent += 65536;
	}
	free(piece);
	/* The server has read on: no reset has come. */
	cr_assert_eq(sent, 6u << 20);
	shutdown(fd, SHUT_WR);
	cr_assert_gt(client_read_all(fd, text, sizeof(text)), 0);
	cr_assert(strncmp(text, "HTTP/1.1 413 ", 13) == 0, "%s", text);
	cr_assert_not_null(strstr(text, "\r\nConnection: close\r\n"));
	cr_assert_not_null(strstr(text, "\r\n\r\ndone\n"));
	close(fd);
}

Test(steps, a_large_body_is_answered_early_and_readably)
{
	script.head = ACT_ANSWER;
	script.status = 413;
	send_too_much("Content-Length: 100000000\r\n\r\n", false);
	send_too_much("Transfer-Encoding: chunked\r\n\r\n", true);
	script.head = ACT_WAIT_ANSWER;
	send_too_much("Content-Length: 100000000\r\n\r\n", false);
	expect_counts(3, 0, 3);
	cr_assert_eq(counts.body, 0);
	cr_assert_eq(counts.answered, 3);
}

Test(steps, an_answer_in_mid_body_of_a_large_one_is_readable)
{
	script.status = 413;
	script.body_act_at = 300000;
	script.body = ACT_ANSWER;
	send_too_much("Content-Length: 100000000\r\n\r\n", false);
	counts.body_bytes = 0;
	script.body = ACT_WAIT_ANSWER;
	send_too_much("Transfer-Encoding: chunked\r\n\r\n", true);
	counts.body_bytes = 0;
	script.body = ACT_BEFORE_ANSWER;
	send_too_much("Content-Length: 100000000\r\n\r\n", false);
	expect_counts(3, 0, 3);
	cr_assert_eq(counts.answered, 3);
}

Test(steps, an_answer_in_mid_body_of_a_small_one_keeps_the_connection)
{
	script.status = 415;
	script.body_act_at = 1;
	int fd = client_open(&rig);
	for (int i = 0; i < 4; i++) {
		script.body = i % 2 == 0 ? ACT_ANSWER : ACT_WAIT_ANSWER;
		put(fd, 1u << 20, false);
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, 415);
	}
	close(fd);
	expect_counts(4, 0, 4);
	cr_assert_eq(counts.body, 4);
}

/* ---- responses ---- */

Test(steps, a_put_follows_a_get_on_the_same_connection)
{
	script.head = ACT_ANSWER;
	int fd = client_open(&rig);
	client_say(fd, "GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert(client_read(fd, false, &reply));
	script.head = ACT_PROCEED;
	put(fd, 1u << 20, false);
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 200);
	put(fd, 1u << 20, true);
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(counts.body_bytes, 2u << 20);
	close(fd);
}

Test(steps, head_and_204_and_304_have_no_body)
{
	script.head = ACT_ANSWER;
	int fd = client_open(&rig);
	client_say(fd, "HEAD /s/a HTTP/1.1\r\nHost: h\r\n\r\nGET /s/a HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert(client_read(fd, true, &reply));
	cr_assert_str_eq(reply_header(&reply, "Content-Length"), "5");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_str_eq(reply.body, "done\n");
	script.status = 304;
	client_say(fd, "GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 304);
	cr_assert_str_eq(reply_header(&reply, "Content-Length"), "5");
	script.status = 204;
	client_say(fd, "GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 204);
	cr_assert_str_eq(reply_header(&reply, "Content-Length"), "");
	script.status = 0;
	client_say(fd, "GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 200);
	close(fd);
}

Test(steps, an_incoming_request_id_is_adopted_when_it_is_harmless)
{
	script.head = ACT_ANSWER;
	ask(&rig, "GET /s/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: abc-DEF_9\r\n\r\n", &reply);
	cr_assert_str_eq(reply_header(&reply, "X-Request-Id"), "abc-DEF_9");
	ask(&rig, "GET /s/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: a b\r\n\r\n", &reply);
	cr_assert_eq(strlen(reply_header(&reply, "X-Request-Id")), 32);
	ask(&rig, "GET /x HTTP/1.1\r\nHost: h\r\nX-Request-Id: abc\r\n\r\n", &reply);
	cr_assert_eq(reply.status, 404);
	cr_assert_str_eq(reply_header(&reply, "Content-Type"), "application/problem+json");
	cr_assert_not_null(strstr(reply.body, "\"request_id\":\"abc\""));
	cr_assert_not_null(strstr(reply.body, "\"type\":\"urn:calotype:problem:not_found\""));
	cr_assert_not_null(strstr(reply.body, "\"status\":404"));
}

Test(steps, without_memory_the_answer_is_a_500)
{
	script.head = ACT_ANSWER;
	script.status = -1;
	ask(&rig, "GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n", &reply);
	cr_assert_eq(reply.status, 500);
	cr_assert_not_null(strstr(reply.body, "\"code\":\"internal\""));
	expect_counts(1, 0, 1);
}

/* ---- shared bodies ---- */

static struct ct_http_shared *shared;
static struct ct_http_shared *shared_file;
static struct ct_http_shared *shared_both;
static atomic_int freed;

static void note_freed(void *arg)
{
	(void)arg;
	freed++;
}

static enum ct_http_next shared_head(struct ct_http_request *request, void *context)
{
	struct ct_http_shared *which = *(struct ct_http_shared **)context;
	struct ct_slice range = ct_http_header(request, "Range");
	bool known = ct_slice_equal(ct_http_header(request, "If-None-Match"), "\"e\"");
	if (range.data == NULL)
		return ct_http_answer_shared(request, known ? 304 : 200, which);
	struct ct_http_response *response = ct_http_response_of_shared(206, which, 2, 3);
	ct_http_response_header(response, "Content-Range", "bytes 2-4/8");
	return ct_http_answer(request, response);
}

static const struct ct_http_handler shared_handler = { .head = shared_head };
static const struct ct_http_route shared_routes[] = {
	{ CT_HTTP_GET, "/shared", 0, &shared_handler, &shared },
	{ CT_HTTP_GET, "/file", 0, &shared_handler, &shared_file },
	{ CT_HTTP_GET, "/both", 0, &shared_handler, &shared_both },
};

static int make_file(const char *text)
{
	char name[] = "/tmp/http-test-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	cr_assert_eq(write(fd, text, 8), 8);
	return fd;
}

static void make_shared(void)
{
	static const struct ct_http_header_field headers[] = { { "ETag", "\"e\"" } };
	struct ct_http_body body = {
		.data = "01234567", .fd = -1, .size_bytes = 8, .free = note_freed
	};
	cr_assert_eq(ct_http_shared_new(&body, headers, 1, &shared), 0);
	struct ct_http_body file = { .fd = make_file("01234567"), .size_bytes = 8 };
	cr_assert_eq(ct_http_shared_new(&file, headers, 1, &shared_file), 0);
}

static void check_shared(const struct rig *my, const char *path)
{
	char text[256];
	(void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
	ask(my, text, &reply);
	cr_assert_eq(reply.status, 200);
	cr_assert_str_eq(reply.body, "01234567");
	cr_assert_str_eq(reply_header(&reply, "ETag"), "\"e\"");
	cr_assert_str_eq(reply_header(&reply, "X-Content-Type-Options"), "nosniff");
	(void)snprintf(text, sizeof(text), "HEAD %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
	ask(my, text, &reply);
	cr_assert_str_eq(reply_header(&reply, "Content-Length"), "8");
	(void)snprintf(
	    text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"e\"\r\n\r\n", path);
	ask(my, text, &reply);
	cr_assert_eq(reply.status, 304);
	cr_assert_str_eq(reply_header(&reply, "Content-Length"), "8");
	(void)snprintf(
	    text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\nRange: bytes=2-4\r\n\r\n", path);
	ask(my, text, &reply);
	cr_assert_eq(reply.status, 206);
	cr_assert_str_eq(reply.body, "234");
	cr_assert_eq(reply.body_length, 3);
	cr_assert_str_eq(reply_header(&reply, "Content-Range"), "bytes 2-4/8");
}

Test(shared, one_object_serves_200_head_304_and_206, .timeout = 60)
{
	static const struct ct_http_options options;
	make_shared();
	rig_start_with(&rig, &options, shared_routes, 2);
	check_shared(&rig, "/shared");
	check_shared(&rig, "/file");
	ct_http_shared_unref(shared_file);
	ct_http_shared_unref(shared);
	rig_stop(&rig);
	cr_assert_eq(freed, 1);
}

/* Of other bytes than its memory, so that one sees what came from where. */
Test(shared, whole_from_the_file_and_parts_from_memory, .timeout = 60)
{
	static const struct ct_http_options options;
	int fd = make_file("abcdefgh");
	struct ct_http_body body = {
		.data = "01234567", .fd = fd, .size_bytes = 8, .free = note_freed
	};
	cr_assert_eq(ct_http_shared_new(&body, NULL, 0, &shared_both), 0);
	rig_start_with(&rig, &options, shared_routes, 3);
	for (int i = 0; i < 3; i++) {
		ask(&rig, "GET /both HTTP/1.1\r\nHost: h\r\n\r\n", &reply);
		cr_assert_str_eq(reply.body, "abcdefgh");
		ask(&rig, "GET /both HTTP/1.1\r\nHost: h\r\nRange: bytes=2-4\r\n\r\n", &reply);
		cr_assert_str_eq(reply.body, "234");
	}
	rig_stop(&rig);
	cr_assert_eq(freed, 0);
	cr_assert_neq(fcntl(fd, F_GETFD), -1);
	ct_http_shared_unref(shared_both);
	cr_assert_eq(freed, 1);
	cr_assert_eq(fcntl(fd, F_GETFD), -1); /* closed */
}
