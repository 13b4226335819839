#include "fixture.h"

#include "metrics/metrics.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;
static struct reply reply;

static void start(void)
{
	script = (struct script){ .head = ACT_PROCEED, .end = ACT_ANSWER };
	rig_start(&rig, NULL);
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(guard, .init = start, .fini = stop, .timeout = 120);

struct bytes {
	const char *text;
	size_t length;
};

#define B(text)                        \
	{                              \
		text, sizeof(text) - 1 \
	}
#define H "Host: h\r\n"
/* What a smuggler would have us take for a second request. */
#define SMUGGLED "GET /s/evil HTTP/1.1\r\nHost: h\r\n\r\n"

/* Refused, closed, and what follows is never taken for a request. */
static const struct bytes hostile[] = {
	/* two lengths */
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 40\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 3 \r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length:\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 18446744073709551615\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\nabc"),
	/* a length and a coding */
	B("PUT /s/a HTTP/1.1\r\n" H
	  "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H
	  "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
	/* codings */
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	  "chunked\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	/* names */
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length : 0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length\t: 0\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X Y: b\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H ": b\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X\x80: b\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "no colon\r\n\r\n"),
	/* folds */
	B("GET /s/a HTTP/1.1\r\n" H "X: a\r\n folded\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X: a\r\n\tfolded\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X:\r\n folded\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n Host: h\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 3\r\n 0\r\n\r\nabc"),
	/* NUL bytes */
	B("GET /s/a\0b HTTP/1.1\r\n" H "\r\n"),
	B("G\0ET /s/a HTTP/1.1\r\n" H "\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X\0: a\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\n" H "Content-Length: 0\0\0\r\n\r\n"),
	/* ends of lines */
	B("GET /s/a HTTP/1.1\n" H "\r\n"),
	B("GET /s/a HTTP/1.1\r\nHost: h\nX: a\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X: a\rb\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X: a\r\r\n\r\n"),
	B("GET /s/a\r HTTP/1.1\r\n" H "\r\n"),
	/* short and long lines that balance each other */
	B("GET /s/a HTTP/1.1\r\nHost: h\nX: b\r\nY:  c\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\nHost:h\r\nX: a\r\nY: b\nContent-Length: 0\r\n\r\n"),
	B("GET /s/a  HTTP/1.1\r\nHost: h\nX: a\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\nHost:h\r\nX: a\0\r\nContent-Length:  0\r\n\r\n"),
	/* request lines */
	B("GET  /s/a HTTP/1.1\r\n" H "\r\n"),
	B("GET /s/a  HTTP/1.1\r\n" H "\r\n"),
	B("GET /s/a b HTTP/1.1\r\n" H "\r\n"),
	B("GET /s/a\tb HTTP/1.1\r\n" H "\r\n"),
	B("GET /s/a?b=\x01 HTTP/1.1\r\n" H "\r\n"),
	B("G(T /s/a HTTP/1.1\r\n" H "\r\n"),
	B("GET /s/a HTTP/1.1 \r\n" H "\r\n"),
	B("GET /s/a HTTP/2.0\r\n" H "\r\n"),
	B("GET /s/a http/1.1\r\n" H "\r\n"),
	B("GET /s/a\r\n" H "\r\n"),
	/* hosts */
	B("GET /s/a HTTP/1.1\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n"),
	B("GET /s/a HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n"),
	/* values */
	B("GET /s/a HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\n" H "X: a\x1b[2J\r\n\r\n"),
};

/* A break in the head is answered with one refusal, whatever follows it. */
Test(guard, hostile_heads_are_refused_and_closed)
{
	char text[8192];
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		int fd = client_open(&rig);
		client_send(fd, hostile[i].text, hostile[i].length);
		client_say(fd, SMUGGLED);
		ssize_t n = client_read_all(fd, text, sizeof(text));
		close(fd);
		cr_assert_geq(n, 0, "%zu: still open: %s", i, hostile[i].text);
		cr_assert(n == 0 || strncmp(text, "HTTP/1.1 4", 10) == 0 ||
			      strncmp(text, "HTTP/1.1 505", 12) == 0,
		    "%zu: %s: %s", i, hostile[i].text, text);
		cr_assert_null(strstr(text, "HTTP/1.1 2"), "%zu: %s", i, hostile[i].text);
		cr_assert_eq(counts.head, 0, "%zu: %s", i, hostile[i].text);
	}
	cr_assert_geq(ct_metrics_count(CT_METRIC_HTTP_MALFORMED), 40);
}

static const struct bytes good[] = {
	B("GET /s/a HTTP/1.0\r\n\r\n"),
	B("GET /s/a HTTP/1.0\r\nHost: h\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\nHost:\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\nHost:h\r\nX:\r\nY: \r\nZ: \t a \r\n\r\n"),
	B("GET /s/a?x=%20&y=+ HTTP/1.1\r\nhOST: h\r\nCookie: a=b; c=\"d\"\r\n\r\n"),
	B("GET http://h/s/a HTTP/1.1\r\nHost: h\r\n\r\n"),
	B("\r\nGET /s/a HTTP/1.1\r\nHost: h\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\nHost: h\r\nX: caf\xc3\xa9 \xff\r\n\r\n"),
	B("PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
	B("PUT /s/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
	  "3;ext=1\r\nabc\r\n0\r\nX-Trailer: a\r\n\r\n"),
	B("GET /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
};

Test(guard, good_heads_are_taken_whole_and_byte_by_byte)
{
	int heads = 0;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		for (int whole = 0; whole < 2; whole++) {
			int fd = client_open(&rig);
			for (size_t at = 0; at < good[i].length && !whole; at++) {
				client_send(fd, good[i].text + at, 1);
				if (at % 8 == 0)
					sleep_ms(1);
			}
			if (whole)
				client_send(fd, good[i].text, good[i].length);
			cr_assert(client_read(fd, false, &reply), "%zu", i);
			cr_assert_eq(reply.status, 200, "%zu: %s: %s%s", i, good[i].text,
			    reply.head, reply.body);
			cr_assert_eq(counts.head, ++heads);
			close(fd);
		}
	}
}

Test(guard, pipelined_requests_are_answered_in_order)
{
	int fd = client_open(&rig);
	client_say(fd, "GET /s/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: one\r\n\r\n"
		       "PUT /s/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: two\r\nContent-Length: 3\r\n"
		       "\r\nabcPUT /s/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: three\r\n"
		       "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
		       "PUT /s/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: four\r\n"
		       "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"
		       "HEAD /s/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: five\r\n\r\n");
	const char *ids[] = { "one", "two", "three", "four", "five" };
	for (int i = 0; i < 5; i++) {
		cr_assert(client_read(fd, i == 4, &reply));
		if (reply.status == 100)
			cr_assert(client_read(fd, i == 4, &reply));
		cr_assert_eq(reply.status, 200);
		cr_assert_str_eq(reply_header(&reply, "X-Request-Id"), ids[i]);
	}
	close(fd);
	cr_assert(wait_for(&counts.gone, 5));
	cr_assert_eq(counts.body_bytes, 6);
}

Test(guard, the_refusal_is_readable_and_says_why)
{
	char text[8192];
	int fd = client_open(&rig);
	char *body = calloc(1, 3u << 20);
	client_say(fd, "PUT /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n"
		       "Transfer-Encoding: chunked\r\n\r\n");
	client_send(fd, body, 3u << 20);
	free(body);
	shutdown(fd, SHUT_WR);
	cr_assert_gt(client_read_all(fd, text, sizeof(text)), 0);
	cr_assert_not_null(strstr(text, "\"code\":\"malformed_head\""), "%s", text);
	cr_assert_not_null(strstr(text, "exclude each other"));
	cr_assert_not_null(strstr(text, "\r\nX-Request-Id: "));
	cr_assert_not_null(strstr(text, "\r\nConnection: close\r\n"));
	close(fd);
}

Test(guard, more_than_100_fields_are_too_many)
{
	char text[8192];
	for (int extra = 99; extra <= 100; extra++) {
		int length = snprintf(text, sizeof(text), "GET /s/a HTTP/1.0\r\nHost: h\r\n");
		for (int i = 0; i < extra; i++)
			length += snprintf(
			    text + length, sizeof(text) - (size_t)length, "X-%d: a\r\n", i);
		(void)snprintf(text + length, sizeof(text) - (size_t)length, "\r\n");
		int fd = client_open(&rig);
		client_say(fd, text);
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, extra == 99 ? 200 : 431);
		close(fd);
	}
}

Test(guard, curl_is_accepted)
{
	char command[512];
	(void)snprintf(command, sizeof(command),
	    "set -e; cd /tmp; U=http://127.0.0.1:%d/s/a;"
	    "curl -sf $U >/dev/null; curl -sfI $U >/dev/null;"
	    "head -c 3000000 /dev/zero | curl -sf -T - $U >/dev/null;"
	    "head -c 3000000 /dev/zero | curl -sf --data-binary @- $U >/dev/null;"
	    "curl -sf -0 $U >/dev/null; curl -sf -H 'X;' --compressed -b a=b $U >/dev/null;"
	    "curl -sf -F f=@/etc/passwd $U >/dev/null",
	    rig.port);
	cr_assert_eq(system(command), 0);
	cr_assert(wait_for(&counts.gone, 7));
	cr_assert_gt(counts.body_bytes, 6000000);
}
