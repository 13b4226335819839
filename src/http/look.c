/*
 * The first look at a connection's first bytes, before they go to libmicrohttpd. What that would
 * refuse by itself, before our code is asked, gets a page of its own from it and not a problem; so
 * the plainest of these are found here. It is no defence (guard.c is that): it sees only what has
 * come at once, and only the first request of a connection.
 */
#include "http/look_priv.h"

#include <errno.h>
#include <string.h>

#define MAX_METHOD_BYTES 64 /* with the blank behind it */

static bool is_tls(struct ct_slice bytes)
{
	/* A handshake record (RFC 8446 section 5.1); 0x16 begins no method. */
	return bytes.length >= 2 && bytes.data[0] == 0x16 && bytes.data[1] == 0x03;
}

/* The line before the next LF, without a CR; false: there is no LF yet. */
static bool cut_line(struct ct_slice *rest, struct ct_slice *ret_line)
{
	const char *end = rest->length > 0 ? memchr(rest->data, '\n', rest->length) : NULL;
	if (end == NULL)
		return false;
	ret_line->data = rest->data;
	ret_line->length = (size_t)(end - rest->data);
	rest->data = end + 1;
	rest->length -= ret_line->length + 1;
	if (ret_line->length > 0 && end[-1] == '\r')
		ret_line->length--;
	return true;
}

static bool names_our_version(struct ct_slice line)
{
	const char *last = memrchr(line.data, ' ', line.length);
	if (last == NULL)
		return false;
	struct ct_slice version = { last + 1, line.length - (size_t)(last + 1 - line.data) };
	return ct_slice_starts_with(version, "HTTP/1.");
}

/* 0, also for other fields; -EINVAL, -ERANGE. Blanks behind a length are refused later, too. */
static int check_length(struct ct_slice line)
{
	uint64_t length;
	struct ct_slice value = line;
	struct ct_slice name = ct_slice_cut(&value, ':');
	if (value.data == NULL || !ct_slice_equal_ignore_case(name, "Content-Length"))
		return 0;
	while (value.length > 0 && (*value.data == ' ' || *value.data == '\t')) {
		value.data++;
		value.length--;
	}
	return ct_slice_to_u64(value, INT64_MAX, &length);
}

static int refuse(const char **ret_why, int error, const char *why)
{
	*ret_why = why;
	return error;
}

static int refuse_over(
    const char **ret_why, uint64_t *ret_limit, int error, uint64_t limit, const char *why)
{
	*ret_limit = limit;
	return refuse(ret_why, error, why);
}

int ct_http_look(
    struct ct_slice bytes, size_t max_head_bytes, const char **ret_why, uint64_t *ret_limit)
{
	struct ct_slice rest = bytes;
	struct ct_slice line = { NULL, 0 };
	bool is_head; /* there was a line more */
	*ret_limit = 0;
	if (is_tls(bytes))
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD,
		    "a TLS handshake came, and this address speaks plain HTTP");
	/* RFC 9112 section 2.2: empty lines before a request are let pass. */
	while ((is_head = cut_line(&rest, &line)) && line.length == 0)
		;
	if (!is_head && rest.length > CT_HTTP_MAX_TARGET_BYTES + MAX_METHOD_BYTES)
		return refuse_over(ret_why, ret_limit, CT_ERROR_URI_TOO_LONG,
		    CT_HTTP_MAX_TARGET_BYTES - 1,
		    "path and query together must be shorter than 8192 bytes");
	if (is_head && !names_our_version(line))
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD,
		    "the request line must be \"METHOD target HTTP/1.1\"; no other version is "
		    "spoken here");
	while (is_head && (is_head = cut_line(&rest, &line)) && line.length > 0) {
		int r = check_length(line);
		if (r == -ERANGE)
			return refuse_over(ret_why, ret_limit, CT_ERROR_TOO_LARGE, INT64_MAX,
			    "Content-Length is above 2^63 - 1");
		if (r < 0)
			return refuse(
			    ret_why, CT_ERROR_MALFORMED_HEAD, "Content-Length is not a number");
	}
	if (!is_head && bytes.length >= max_head_bytes)
		return refuse_over(ret_why, ret_limit, CT_ERROR_HEAD_TOO_LARGE, max_head_bytes - 1,
		    "the head of a request without a body must be shorter than 16384 bytes");
	return 0;
}
