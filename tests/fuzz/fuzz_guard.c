/*
 * The framing guard: what it lets through of the bytes of a head must be what RFC 9112 says they
 * are. A libmicrohttpd of its own reads them and asks the guard; a strict reader below, which sees
 * the bytes themselves, must come to the same method, target, fields and framing, but for what the
 * top of guard.c says can't be seen.
 */
#include "fuzz.h"

#include "http/guard_priv.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_HEAD_BYTES 8192

static struct MHD_Daemon *reader;

/* What came of the input at hand. */
static struct {
	const char *target;
	char target_copy[MAX_HEAD_BYTES + 1];
	struct ct_http_head head;
	bool was_asked, passed;
	char bytes[MAX_HEAD_BYTES]; /* all that were sent */
	size_t length;
} trial;

/* ---- the strict reader ---- */

struct strict {
	struct ct_slice rest;
	unsigned lengths, codings, hosts;
	uint64_t content_length;
};

static bool is_token(struct ct_slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		bool alnum =
		    (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	return text.length > 0;
}

/* A line without its CRLF; absent when none follows, or a control byte but a tab is in it. */
static struct ct_slice cut_line(struct ct_slice *rest)
{
	const char *end = memmem(rest->data, rest->length, "\r\n", 2);

	if (end == NULL)
		return CT_SLICE_ABSENT;
	struct ct_slice line = { rest->data, (size_t)(end - rest->data) };
	rest->data += line.length + 2;
	rest->length -= line.length + 2;
	for (size_t i = 0; i < line.length; i++) {
		unsigned char c = (unsigned char)line.data[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return CT_SLICE_ABSENT;
	}
	return line;
}

static void check_request_line(struct ct_slice line)
{
	struct ct_slice method = ct_slice_cut(&line, ' ');
	struct ct_slice target = ct_slice_cut(&line, ' ');

	FUZZ_CHECK(is_token(method), "the method");
	FUZZ_CHECK(ct_slice_equal(target, trial.target_copy) && target.length > 0, "the target");
	FUZZ_CHECK(ct_slice_starts_with(line, "HTTP/1.") && line.length == 8, "the version");
	FUZZ_CHECK(trial.head.is_http_1_0 == ct_slice_equal(line, "HTTP/1.0"), "HTTP/1.0");
}

static void check_field(struct strict *strict, struct ct_slice line, size_t index)
{
	struct ct_slice value = line;
	struct ct_slice name = ct_slice_cut(&value, ':');

	FUZZ_CHECK(value.data != NULL && is_token(name), "the name of field %zu", index);
	value = ct_slice_trim(value);
	FUZZ_CHECK(index < trial.head.field_count, "%zu fields", trial.head.field_count);
	struct ct_slice seen_name = ct_http_head_name(&trial.head, index);
	struct ct_slice seen = ct_slice_trim(ct_http_head_value(&trial.head, index));
	FUZZ_CHECK(
	    seen_name.length == name.length && memcmp(seen_name.data, name.data, name.length) == 0,
	    "another name of field %zu", index);
	FUZZ_CHECK(seen.length == value.length && memcmp(seen.data, value.data, value.length) == 0,
	    "another value of field %zu", index);
	if (ct_slice_equal_ignore_case(name, "host"))
		strict->hosts++;
	if (ct_slice_equal_ignore_case(name, "transfer-encoding")) {
		strict->codings++;
		FUZZ_CHECK(ct_slice_equal_ignore_case(value, "chunked"), "a coding");
	}
	if (ct_slice_equal_ignore_case(name, "content-length")) {
		strict->lengths++;
		FUZZ_CHECK(
		    ct_slice_to_u64(value, INT64_MAX, &strict->content_length) == 0, "a length");
	}
}

/* RFC 9112 section 2.2 */
static void skip_empty_lines(struct ct_slice *rest)
{
	while (rest->length > 0) {
		const char *end = memchr(rest->data, '\n', rest->length);
		bool is_empty = rest->data[0] == '\n' || ct_slice_starts_with(*rest, "\r\n");
		if (end == NULL || !is_empty)
			return;
		rest->length -= (size_t)(end + 1 - rest->data);
		rest->data = end + 1;
	}
}

static void check_passed(void)
{
	struct strict strict = { .rest = { trial.bytes, trial.length } };
	size_t index = 0;

	skip_empty_lines(&strict.rest);
	struct ct_slice line = cut_line(&strict.rest);
	FUZZ_CHECK(line.data != NULL, "the request line");
	check_request_line(line);
	while ((line = cut_line(&strict.rest)).length > 0)
		check_field(&strict, line, index++);
	FUZZ_CHECK(line.data != NULL, "field %zu", index);
	FUZZ_CHECK(
	    index == trial.head.field_count, "%zu fields, not %zu", trial.head.field_count, index);
	FUZZ_CHECK(
	    strict.lengths <= 1 && strict.codings <= 1 && strict.lengths + strict.codings <= 1,
	    "two framings");
	FUZZ_CHECK(strict.hosts == 1 || (strict.hosts == 0 && trial.head.is_http_1_0), "%u hosts",
	    strict.hosts);
	FUZZ_CHECK(trial.head.chunked == (strict.codings == 1), "chunked");
	FUZZ_CHECK(trial.head.has_length == (strict.lengths == 1), "a length");
	FUZZ_CHECK(trial.head.content_length == strict.content_length, "another length");
}

/* ---- libmicrohttpd ---- */

static void *see_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
	(void)cls;
	(void)mhd;
	if (trial.was_asked)
		return NULL;
	trial.target = target;
	(void)snprintf(trial.target_copy, sizeof(trial.target_copy), "%s", target); /* it fits */
	return &trial;
}

static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *text)
{
	(void)cls;
	(void)mhd;
	return strlen(text);
}

static enum MHD_Result judge(void *cls, struct MHD_Connection *mhd, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **context)
{
	const char *why = NULL;

	(void)cls;
	(void)url;
	(void)data;
	(void)size;
	if (*context == NULL || trial.was_asked)
		return MHD_NO;
	trial.was_asked = true;
	const struct ct_http_line line = { method, version, trial.target, trial.target_copy,
		strlen(trial.target_copy) };
	int r = ct_http_guard_check(mhd, &line, &trial.head, &why);
	FUZZ_CHECK(r == 0 || why != NULL, "no reason");
	trial.passed = r == 0;
	if (trial.passed && memchr(trial.bytes, '\0', trial.length) == NULL)
		check_passed(); /* while what the head points to is there */
	return MHD_NO;
}

static void keep_quiet(void *cls, const char *format, va_list arguments)
{
	(void)cls;
	(void)format;
	(void)arguments;
}

static void start(void)
{
	reader = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL,
	    judge, NULL, MHD_OPTION_EXTERNAL_LOGGER, keep_quiet, NULL, MHD_OPTION_URI_LOG_CALLBACK,
	    see_target, NULL, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CT_HTTP_SMALL_POOL_BYTES, MHD_OPTION_END);
	FUZZ_CHECK(reader != NULL, "MHD_start_daemon");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int pair[2];

	if (size > MAX_HEAD_BYTES || size == 0)
		return 0;
	if (reader == NULL)
		start();
	memset(&trial, 0, sizeof(trial));
	memcpy(trial.bytes, data, size);
	trial.length = size;
	/* A line of a colon ends the head, where a bare LF makes up for the colon. */
	for (size_t i = 1; i + 1 < size; i++) {
		if (memcmp(trial.bytes + i - 1, "\n:\n", 3) == 0)
			trial.bytes[i] = '\r';
		if (i + 2 < size && trial.bytes[i - 1] != '\r' &&
		    memcmp(trial.bytes + i, "\n:\r", 3) == 0)
			memcpy(trial.bytes + i, "\r\n\r", 3);
	}
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0, "socketpair");
	FUZZ_CHECK(write(pair[1], data, size) == (ssize_t)size, "write");
	FUZZ_CHECK(MHD_add_connection(
		       reader, pair[0], (struct sockaddr *)&address, sizeof(address)) == MHD_YES,
	    "MHD_add_connection");
	for (int i = 0; i < 4; i++)
		(void)MHD_run(reader);
	(void)close(pair[1]);
	const union MHD_DaemonInfo *info;
	for (int i = 0; i < 20; i++) {
		(void)MHD_run(reader);
		info = MHD_get_daemon_info(reader, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
		if (info->num_connections == 0)
			return 0;
	}
	FUZZ_CHECK(false, "the connection doesn't end");
	return 0;
}
