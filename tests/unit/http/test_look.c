#include "fixture.h"
#include "http/look_priv.h"
#include "http/limits_priv.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG_TARGET (CT_HTTP_MAX_TARGET_BYTES + 64)

static int look(const char *data, size_t length)
{
	const char *why = NULL;
	uint64_t limit = 1;
	int r =
	    ct_http_look((struct ct_slice){ data, length }, CT_HTTP_SMALL_POOL_BYTES, &why, &limit);
	bool is_over =
	    r == CT_ERROR_URI_TOO_LONG || r == CT_ERROR_TOO_LARGE || r == CT_ERROR_HEAD_TOO_LARGE;
	cr_assert_eq(is_over, limit != 0);
	cr_assert_eq(r < 0, why != NULL);
	return r;
}

static const struct {
	const char *bytes;
	int error;
} cases[] = {
	{ "", 0 },
	{ "G", 0 },
	{ "\r\n\r\n", 0 },
	{ "GET / HTT", 0 },
	{ "GET / HTTP/1.1\r\n", 0 },
	{ "\r\n\nGET / HTTP/1.0\n\nGET\n", 0 },
	{ "PUT / HTTP/1.1\r\nContent-Length: 12\r\n\r\nContent-Length: x\r\n", 0 },
	{ "PUT / HTTP/1.1\r\nContent-Length:\t 0\r\n", 0 },
	{ "PUT / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n\r\n", 0 },
	{ "PUT / HTTP/1.1\r\nX-Content-Length: x\r\nContent-Length\r\n\r\n", 0 },
	/* Whether it is a number is known at the end of its line. */
	{ "PUT / HTTP/1.1\r\nContent-Length: x", 0 },
	{ "PUT / HTTP/1.1\r\nContent-Length: x\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "PUT / HTTP/1.1\r\ncontent-LENGTH: -1\r\n\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "PUT / HTTP/1.1\r\nA: b\r\nContent-Length: 3, 3\r\n\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "PUT / HTTP/1.1\r\nContent-Length:\r\n\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "PUT / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n", CT_ERROR_TOO_LARGE },
	{ "GET / HTTP/2.0\r\n\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "GET /\r\n\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "GET / http/1.1\r\n\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "GET / HTTP/1.1 \r\n\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "hello\r\n", CT_ERROR_MALFORMED_HEAD },
	{ "\x16\x03\x01\x02", CT_ERROR_MALFORMED_HEAD },
	{ "\x16", 0 },
};

Test(look, tells_what_libmicrohttpd_would_refuse)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(look(cases[i].bytes, strlen(cases[i].bytes)), cases[i].error,
		    "%zu: %s", i, cases[i].bytes);
}

Test(look, reads_no_byte_behind_the_end)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = strlen(cases[i].bytes);
		for (size_t cut = 0; cut <= length; cut++) {
			/* A piece of its own, so that AddressSanitizer sees it. */
			char *piece = malloc(cut > 0 ? cut : 1);
			memcpy(piece, cases[i].bytes, cut);
			int r = look(piece, cut);
			free(piece);
			cr_assert(r == 0 || r == cases[i].error, "%zu: %zu bytes of %s", i, cut,
			    cases[i].bytes);
		}
	}
}

Test(look, knows_the_limits)
{
	char *text = malloc(CT_HTTP_SMALL_POOL_BYTES);
	memset(text, 'a', CT_HTTP_SMALL_POOL_BYTES);
	memcpy(text, "GET /", 5);
	cr_assert_eq(look(text, LONG_TARGET), 0);
	cr_assert_eq(look(text, LONG_TARGET + 1), CT_ERROR_URI_TOO_LONG);
	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	cr_assert_eq(look(text, CT_HTTP_SMALL_POOL_BYTES - 1), 0);
	cr_assert_eq(look(text, CT_HTTP_SMALL_POOL_BYTES), CT_ERROR_HEAD_TOO_LARGE);
	memcpy(text + 100, "\r\n\r\n", 4);
	cr_assert_eq(look(text, CT_HTTP_SMALL_POOL_BYTES), 0);
	free(text);
}

/* Over sockets: a problem comes, the rest can be sent, and the connection ends. */
Test(look, refusals_are_problems, .timeout = 30)
{
	static struct rig rig;
	static struct reply reply;
	char *text = malloc(300000);
	script = (struct script){ .head = ACT_ANSWER };
	rig_start(&rig, NULL);
	for (size_t i = 0; i < 4; i++) {
		static const char *const begins[] = { "GET /", "PUT /",
			"GET / HTTP/1.1\r\nX: ", "PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n" };
		static const int status[] = { 414, 414, 431, 400 };
		memset(text, 'a', 300000);
		memcpy(text, begins[i], strlen(begins[i]));
		int fd = client_open(&rig);
		client_send(fd, text, 300000);
		cr_assert(client_read(fd, false, &reply));
		cr_assert_eq(reply.status, status[i], "%zu: %s", i, reply.head);
		cr_assert_str_eq(reply_header(&reply, "Content-Type"), "application/problem+json");
		cr_assert_eq(strlen(reply_header(&reply, "X-Request-Id")), 32);
		cr_assert(client_is_closed(fd, 2000));
		close(fd);
	}
	cr_assert_eq(counts.head, 0);
	rig_stop(&rig);
	free(text);
}
