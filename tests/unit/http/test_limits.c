#include "fixture.h"

#include "base/clock.h"
#include "metrics/metrics.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct rig rig;
static struct reply reply;
static char text[65536];

#define GET "GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n"

TestSuite(limits, .timeout = 60);
TestSuite(deadlines, .timeout = 60);
TestSuite(stop, .timeout = 60);

static void start(const struct ct_http_options *options)
{
	script = (struct script){ .head = ACT_ANSWER, .end = ACT_ANSWER };
	rig_start(&rig, options);
}

/* ---- how many ---- */

Test(limits, connections_of_one_address)
{
	static const struct ct_http_options options = { .max_per_address = 3 };
	int fds[3];
	start(&options);
	for (int i = 0; i < 3; i++) {
		fds[i] = client_open(&rig);
		client_say(fds[i], GET);
		cr_assert(client_read(fds[i], false, &reply));
	}
	for (int i = 0; i < 2; i++) {
		int fd = client_open(&rig);
		client_say(fd, GET);
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, 429);
		cr_assert_not_null(strstr(reply.body, "one address may hold 3 connections"));
		cr_assert_not_null(strstr(reply.body, "\"limit\":3,\"value\":4"), "%s", reply.body);
		cr_assert_str_eq(reply_header(&reply, "Retry-After"), "1");
		cr_assert(client_is_closed(fd, 1000));
		close(fd);
	}
	cr_assert_eq(ct_metrics_count(CT_METRIC_HTTP_ACCEPTED), 3);
	cr_assert_eq(ct_metrics_count(CT_METRIC_HTTP_REFUSED), 2);
	/* Another address has a count of its own. */
	int other = client_open_from(&rig, "127.0.0.2");
	client_say(other, GET);
	cr_assert(client_read(other, false, &reply));
	cr_assert_eq(reply.status, 200);
	close(other);
	/* One that leaves makes room. */
	close(fds[0]);
	sleep_ms(100);
	ask(&rig, GET, &reply);
	cr_assert_eq(reply.status, 200);
	close(fds[1]);
	close(fds[2]);
	rig_stop(&rig);
}

Test(limits, connections_in_all)
{
	static const struct ct_http_options options = { .max_connections = 2 };
	start(&options);
	/* One that has said nothing yet counts, too. */
	int silent = client_open(&rig);
	int second = client_open_from(&rig, "127.0.0.2");
	client_say(second, GET);
	cr_assert(client_read(second, false, &reply));
	int third = client_open_from(&rig, "127.0.0.3");
	cr_assert(client_read(third, false, &reply));
	cr_assert_eq(reply.status, 503);
	cr_assert_not_null(strstr(reply.body, "\"code\":\"too_many_connections\""));
	cr_assert_not_null(strstr(reply.body, "\"limit\":2,\"value\":3"), "%s", reply.body);
	close(third);
	close(silent);
	sleep_ms(100);
	ask(&rig, GET, &reply);
	cr_assert_eq(reply.status, 200);
	close(second);
	rig_stop(&rig);
}

Test(limits, nothing_is_left_behind_by_many_connections)
{
	static const struct ct_http_options options = { .max_connections = 20 };
	start(&options);
	for (int i = 0; i < 500; i++) {
		int fd = client_open(&rig);
		if (i % 4 != 0)
			client_say(fd, i % 4 == 1 ? "G" : GET);
		if (i % 4 == 3)
			cr_assert(client_read(fd, false, &reply));
		if (i % 3 == 0)
			client_reset(fd);
		else
			close(fd);
		if (i % 10 == 9)
			sleep_ms(5);
	}
	/* Some ends come with the last bytes: the watchdog finds them. */
	sleep_ms(600);
	int fds[20];
	for (int i = 0; i < 20; i++) {
		fds[i] = client_open(&rig);
		client_say(fds[i], GET);
		cr_assert(client_read(fds[i], false, &reply));
		cr_assert_eq(reply.status, 200, "%d: %s", i, reply.body);
	}
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	rig_stop(&rig);
}

Test(limits, a_unix_socket_is_served)
{
	char path[64];
	char listen[80];
	(void)snprintf(path, sizeof(path), "/tmp/http-test-%d.sock", (int)getpid());
	(void)snprintf(listen, sizeof(listen), "unix:%s", path);
	struct ct_http_options options = { .listen = listen, .max_per_address = 1 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fds[3];
	start(&options);
	cr_assert_str_eq(ct_http_server_url(rig.server), listen);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	for (int i = 0; i < 3; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		cr_assert_eq(connect(fds[i], (struct sockaddr *)&address, sizeof(address)), 0);
		client_say(fds[i], GET GET);
		cr_assert(client_read(fds[i], false, &reply));
		cr_assert(client_read(fds[i], false, &reply));
		cr_assert_eq(reply.status, 200);
	}
	/* A living server's socket is not taken away. */
	struct ct_http_server *second;
	cr_assert_eq(ct_http_server_new(&options, &second), -EADDRINUSE);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	rig_stop(&rig);
	cr_assert_eq(access(path, F_OK), -1);
	/* A dead one's is. */
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(dead, (struct sockaddr *)&address, sizeof(address)), 0);
	close(dead);
	start(&options);
	rig_stop(&rig);
}

Test(limits, ipv6_and_bad_addresses)
{
	struct ct_http_options options = { .listen = "[::1]:0" };
	struct ct_http_server *server;
	if (ct_http_server_new(&options, &server) == 0) {
		cr_assert_eq(strncmp(ct_http_server_url(server), "http://[::1]:", 13), 0);
		ct_http_server_free(server);
	}
	const char *bad[] = { "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "no.such.host.invalid:1",
		"systemd" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.listen = bad[i];
		cr_assert_lt(ct_http_server_new(&options, &server), 0, "%s", bad[i]);
	}
}

/* ---- how long ---- */

static const struct ct_http_options short_times = {
	.head_deadline_ms = 300,
	.body_grace_ms = 300,
	.body_min_rate = 1000,
	.idle_timeout_ms = 400,
};

/* Sends byte after byte until the other side is gone; how long that took. */
static int64_t drip(int fd, const char *bytes, int pause_ms)
{
	int64_t before = ct_clock_monotonic_ms();
	for (int i = 0; i < 200; i++) {
		char byte = bytes[(size_t)i % strlen(bytes)];
		if (!client_try_send(fd, &byte, 1) || client_is_closed(fd, pause_ms))
			break;
		/* An answer has come. */
		if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
			break;
	}
	return ct_clock_monotonic_ms() - before;
}

Test(deadlines, a_head_that_drips_is_answered_with_408)
{
	start(&short_times);
	int fd = client_open(&rig);
	client_say(fd, "GET /s/a HTTP/1.1\r\nHost: h\r\nX: ");
	/* Reading the peek would eat the answer; so only time here. */
	int64_t before = ct_clock_monotonic_ms();
	for (int i = 0; i < 100; i++) {
		char byte;
		if (!client_try_send(fd, "a", 1))
			break;
		sleep_ms(20);
		if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
			break;
	}
	int64_t took = ct_clock_monotonic_ms() - before;
	cr_assert(took >= 250 && took < 1000, "%d ms", (int)took);
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 408);
	cr_assert_not_null(strstr(reply.body, "\"code\":\"request_timeout\""));
	cr_assert_eq(strlen(reply_header(&reply, "X-Request-Id")), 32);
	/* Counted when the answer has gone out. */
	for (int i = 0; i < 200 && ct_metrics_count(CT_METRIC_HTTP_TIMEOUTS) == 0; i++)
		sleep_ms(5);
	cr_assert_eq(ct_metrics_count(CT_METRIC_HTTP_TIMEOUTS), 1);
	close(fd);
	cr_assert(counts.head == 0 && counts.gone == 0);
	rig_stop(&rig);
}

Test(deadlines, a_client_that_says_nothing_is_dropped)
{
	start(&short_times);
	int fd = client_open(&rig);
	cr_assert(client_is_closed(fd, 1500));
	close(fd);
	rig_stop(&rig);
}

Test(deadlines, a_kept_connection_that_idles_or_drips_is_dropped)
{
	start(&short_times);
	for (int drips = 0; drips < 2; drips++) {
		int fd = client_open(&rig);
		client_say(fd, GET);
		cr_assert(client_read(fd, false, &reply));
		int64_t before = ct_clock_monotonic_ms();
		if (drips)
			(void)drip(fd, "GETGETGETGET", 20);
		else
			cr_assert(client_is_closed(fd, 2000));
		int64_t took = ct_clock_monotonic_ms() - before;
		cr_assert(took >= 300 && took < 1200, "%d ms", (int)took);
		close(fd);
	}
	rig_stop(&rig);
}

static int begin_put(const char *framing)
{
	int fd = client_open(&rig);
	script.head = ACT_PROCEED;
	client_say(fd, "PUT /s/a HTTP/1.1\r\nHost: h\r\n");
	client_say(fd, framing);
	return fd;
}

Test(deadlines, a_body_that_stalls_is_answered_with_408)
{
	start(&short_times);
	int fd = begin_put("Content-Length: 100000\r\n\r\nabc");
	int64_t before = ct_clock_monotonic_ms();
	cr_assert(client_read(fd, false, &reply));
	int64_t took = ct_clock_monotonic_ms() - before;
	cr_assert(took >= 250 && took < 1000, "%d ms", (int)took);
	cr_assert_eq(reply.status, 408);
	close(fd);
	cr_assert(wait_for(&counts.gone, 1));
	cr_assert_eq(counts.answered, 0);
	rig_stop(&rig);
}

/* 5 bytes each 20 ms are 250 a second: too slow; 50 are 2500: fast enough. */
Test(deadlines, a_body_must_keep_its_rate)
{
	start(&short_times);
	int fd = begin_put("Content-Length: 10000\r\n\r\n");
	int sent = 0;
	while (sent < 100 && client_try_send(fd, "abcde", 5) &&
	       recv(fd, text, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
		sleep_ms(20);
		sent++;
	}
	cr_assert_lt(sent, 50);
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 408);
	close(fd);

	char fifty[51];
	memset(fifty, 'a', sizeof(fifty));
	fd = begin_put("Content-Length: 2500\r\n\r\n");
	for (int i = 0; i < 50; i++) {
		client_send(fd, fifty, 50);
		sleep_ms(20);
	}
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 200);
	close(fd);
	rig_stop(&rig);
}

/* A fast start buys no more than the grace. */
Test(deadlines, a_body_cannot_save_time_up)
{
	start(&short_times);
	int fd = begin_put("Content-Length: 10000000\r\n\r\n");
	char *piece = calloc(1, 1u << 20);
	client_send(fd, piece, 1u << 20);
	free(piece);
	int64_t before = ct_clock_monotonic_ms();
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 408);
	cr_assert_lt(ct_clock_monotonic_ms() - before, 1500);
	close(fd);
	rig_stop(&rig);
}

Test(deadlines, the_clock_stands_while_the_request_sleeps)
{
	start(&short_times);
	script.delay_ms = 700;
	script.body = ACT_WAIT_PROCEED;
	script.end = ACT_WAIT_ANSWER;
	int fd = begin_put("Content-Length: 3\r\n\r\nabc");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 200);
	script.body = ACT_PROCEED;
	script.head = ACT_WAIT_ANSWER;
	client_say(fd, GET);
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 200);
	close(fd);
	rig_stop(&rig);
}

Test(deadlines, a_reply_that_nobody_reads_is_cut)
{
	struct ct_http_options options = short_times;
	options.body_min_rate = 100u << 20;
	start(&options);
	script.answer_bytes = 64u << 20;
	int fd = client_open(&rig);
	client_say(fd, GET);
	cr_assert(wait_for(&counts.gone, 1));
	close(fd);
	rig_stop(&rig);
}

Test(deadlines, a_client_that_leaves_with_its_last_bytes_is_noticed_soon)
{
	start(NULL);
	script.head = ACT_PROCEED;
	for (int i = 1; i <= 20; i++) {
		int fd = client_open(&rig);
		client_say(fd, "PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc");
		close(fd);
		int64_t before = ct_clock_monotonic_ms();
		cr_assert(wait_for(&counts.gone, i));
		cr_assert_lt(ct_clock_monotonic_ms() - before, 1000);
	}
	rig_stop(&rig);
}

Test(deadlines, a_client_that_only_stops_sending_gets_its_answers)
{
	start(NULL);
	for (int i = 0; i < 20; i++) {
		int fd = client_open(&rig);
		client_say(fd, GET GET);
		shutdown(fd, SHUT_WR);
		ssize_t n = client_read_all(fd, text, sizeof(text));
		cr_assert_gt(n, 0);
		const char *first = strstr(text, "done\n");
		cr_assert(first != NULL && strstr(first + 1, "done\n") != NULL);
		close(fd);
	}
	cr_assert_eq(counts.gone, 40);
	rig_stop(&rig);
}

/* ---- stopping ---- */

Test(stop, an_idle_server_stops_at_once)
{
	start(NULL);
	int idle = client_open(&rig);
	client_say(idle, GET);
	cr_assert(client_read(idle, false, &reply));
	int silent = client_open(&rig);
	sleep_ms(50);
	int64_t before = ct_clock_monotonic_ms();
	ct_http_server_stop(rig.server, 3000);
	cr_assert_lt(ct_clock_monotonic_ms() - before, 500);
	cr_assert(client_is_closed(idle, 100));
	cr_assert(client_is_closed(silent, 100));
	rig_stop(&rig);
}

Test(stop, a_body_is_broken_off_and_its_gone_runs)
{
	start(NULL);
	int fd = begin_put("Content-Length: 1000\r\n\r\nabc");
	cr_assert(wait_for(&counts.body, 1));
	int64_t before = ct_clock_monotonic_ms();
	ct_http_server_stop(rig.server, 3000);
	cr_assert_lt(ct_clock_monotonic_ms() - before, 1500);
	cr_assert_eq(counts.gone, 1);
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 503);
	cr_assert_not_null(strstr(reply.body, "\"code\":\"shutting_down\""));
	close(fd);
	rig_stop(&rig);
}

Test(stop, a_body_that_sleeps_is_broken_off_when_it_wakes)
{
	start(NULL);
	script.body = ACT_WAIT_PROCEED;
	script.delay_ms = 300;
	int fd = begin_put("Content-Length: 1000\r\n\r\nabc");
	cr_assert(wait_for(&counts.body, 1));
	int64_t before = ct_clock_monotonic_ms();
	ct_http_server_stop(rig.server, 3000);
	int64_t took = ct_clock_monotonic_ms() - before;
	cr_assert(took > 200 && took < 1500, "%d ms", (int)took);
	cr_assert_eq(counts.gone, 1);
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 503);
	close(fd);
	rig_stop(&rig);
}

Test(stop, sleeping_requests_are_answered)
{
	start(NULL);
	script.delay_ms = 400;
	script.end = ACT_WAIT_ANSWER;
	int put = begin_put("Content-Length: 3\r\n\r\nabc");
	cr_assert(wait_for(&counts.end, 1));
	script.head = ACT_WAIT_ANSWER;
	int get = client_open(&rig);
	client_say(get, GET);
	cr_assert(wait_for(&counts.head, 2));
	ct_http_server_stop(rig.server, 3000);
	cr_assert_eq(counts.gone, 2);
	cr_assert(client_read(put, false, &reply));
	cr_assert_eq(reply.status, 200);
	cr_assert_str_eq(reply_header(&reply, "Connection"), "close");
	cr_assert(client_read(get, false, &reply));
	cr_assert_eq(reply.status, 200);
	cr_assert(client_is_closed(get, 100));
	close(put);
	close(get);
	rig_stop(&rig);
}

Test(stop, one_that_sleeps_for_long_does_not_hold_it)
{
	start(NULL);
	script.head = ACT_WAIT_HELD;
	int fd = client_open(&rig);
	client_say(fd, GET);
	cr_assert(wait_for(&counts.head, 1));
	int64_t before = ct_clock_monotonic_ms();
	ct_http_server_stop(rig.server, 300);
	int64_t took = ct_clock_monotonic_ms() - before;
	cr_assert(took >= 290 && took < 1000, "%d ms", (int)took);
	cr_assert_eq(counts.gone, 0);
	cr_assert(client_is_closed(fd, 100));
	/* Late, but it comes. */
	rig_release();
	rig_stop(&rig);
	cr_assert_eq(counts.gone, 1);
	close(fd);
}

static void *load(void *arg)
{
	atomic_bool *ends = arg;
	while (!atomic_load(ends)) {
		char buffer[512];
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		struct timeval limit = { 1, 0 };
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		struct sockaddr_in to = { .sin_family = AF_INET,
			.sin_port = htons((uint16_t)rig.port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
			for (int i = 0; i < 20; i++) {
				if (!client_try_send(fd, GET, strlen(GET)) ||
				    recv(fd, buffer, sizeof(buffer), 0) <= 0)
					break;
			}
		}
		close(fd);
	}
	return NULL;
}

Test(stop, under_load)
{
	atomic_bool ends = false;
	pthread_t threads[4];
	start(NULL);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, load, &ends), 0);
	sleep_ms(300);
	int64_t before = ct_clock_monotonic_ms();
	ct_http_server_stop(rig.server, 3000);
	cr_assert_lt(ct_clock_monotonic_ms() - before, 1500);
	cr_assert_gt(counts.head, 100);
	cr_assert_eq(counts.head, counts.gone);
	ends = true;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	rig_stop(&rig);
}

/* ---- interrupting ---- */

static pthread_mutex_t slow_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ct_http_request *slow_request; /* under slow_lock */
static atomic_int slow_bodies, slow_gones;

static enum ct_http_next slow_head(struct ct_http_request *request, void *context)
{
	(void)context;
	pthread_mutex_lock(&slow_lock);
	slow_request = request;
	pthread_mutex_unlock(&slow_lock);
	return CT_HTTP_PROCEED;
}

static enum ct_http_next slow_body(
    struct ct_http_request *request, const void *data, size_t length, void *context)
{
	(void)request;
	(void)data;
	(void)length;
	(void)context;
	slow_bodies++;
	return CT_HTTP_PROCEED;
}

static void slow_gone(struct ct_http_request *request, void *context)
{
	(void)context;
	pthread_mutex_lock(&slow_lock);
	cr_assert_eq(slow_request, request);
	slow_request = NULL;
	pthread_mutex_unlock(&slow_lock);
	cr_assert_not(ct_http_was_answered(request));
	slow_gones++;
}

static const struct ct_http_handler slow = {
	.head = slow_head, .body = slow_body, .gone = slow_gone
};
static const struct ct_http_route slow_routes[] = { { CT_HTTP_PUT, "/slow", 0, &slow, NULL } };

static void interrupt_slow(void)
{
	pthread_mutex_lock(&slow_lock);
	cr_assert_not_null(slow_request);
	ct_http_interrupt(slow_request);
	pthread_mutex_unlock(&slow_lock);
}

Test(interrupt, ends_a_silent_request_and_a_busy_one, .timeout = 60)
{
	static const struct ct_http_options options;
	rig_start_with(&rig, &options, slow_routes, 1);
	int fd = client_open(&rig);
	client_say(fd, "PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc");
	cr_assert(wait_for(&slow_bodies, 1));
	interrupt_slow();
	cr_assert(wait_for(&slow_gones, 1));
	close(fd);

	char *piece = calloc(1, 65536);
	fd = client_open(&rig);
	client_say(fd, "PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000000\r\n\r\n");
	client_send(fd, piece, 65536);
	while (slow_bodies < 2)
		sleep_ms(1);
	interrupt_slow();
	for (int i = 0; i < 100000 && client_try_send(fd, piece, 65536); i++)
		;
	free(piece);
	cr_assert(wait_for(&slow_gones, 2));
	close(fd);
	rig_stop(&rig);
}
