/*
 * The framing guard. libmicrohttpd reads a head leniently: of two lengths it takes the first, it
 * glues folded lines together, stops at NUL bytes, takes a bare LF for an end of line. Each of
 * these lets a proxy in front and this server see different requests in the same bytes.
 *
 * It parses in place, though: method, target, version, names and values are pieces of the bytes
 * that came. So each piece must begin exactly where the one before has ended, plus the bytes that
 * RFC 9112 puts between them. Whatever was skipped, folded, cut or moved leaves a gap, and the
 * sum of gaps can't be balanced, since each is looked at alone. What remains is a plain check of
 * the pieces themselves.
 *
 * Three things can't be seen, since it writes NUL over colons and the ends of lines: NUL bytes
 * where a line ends, which with a bare LF leave the same bytes behind as CRLF; a line of a colon
 * alone, which ends the head for it, where a bare LF before or after makes up for the colon's byte;
 * and lines before a request that are empty or begin with NUL are skipped. No proxy may pass any of
 * these on (RFC 9110 section 5.5, RFC 9112 section 5.1).
 */
#include "http/guard_priv.h"
#include "base/assert.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>

#define MAX_BLANKS 8 /* between colon and value */

struct scan {
	struct ct_http_head *head;
	const char *next; /* where the next piece must begin */
	const char *why;
	int error;
	unsigned lengths, codings, hosts;
};

static bool is_token_byte(unsigned char byte)
{
	if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
	    (byte >= 'A' && byte <= 'Z'))
		return true;
	return byte > ' ' && byte < 0x7f && strchr("!#$%&'*+-.^_`|~", byte) != NULL;
}

static bool is_token(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!is_token_byte((unsigned char)text[i]))
			return false;
	}
	return length > 0;
}

static bool is_clean_value(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)text[i];
		if ((byte < ' ' && byte != '\t') || byte == 0x7f)
			return false;
	}
	return true;
}

static bool is_clean_target(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	}
	return length > 0;
}

/* RFC 9112 section 3.2: a path, an address with its scheme, or the asterisk. */
static bool is_target(const char *text)
{
	return text[0] == '/' || strcmp(text, "*") == 0 || strstr(text, "://") != NULL;
}

static enum MHD_Result stop(struct scan *scan, int error, const char *why)
{
	scan->error = error;
	scan->why = why;
	return MHD_NO;
}

/* Only blanks, and few, may lie between a colon and its value. */
static bool are_blanks(const char *from, const char *to)
{
	if (to < from || to > from + MAX_BLANKS)
		return false;
	for (; from < to; from++) {
		if (*from != ' ' && *from != '\t')
			return false;
	}
	return true;
}

static enum MHD_Result take_length(struct scan *scan, struct ct_slice value)
{
	if (++scan->lengths > 1)
		return stop(scan, CT_ERROR_MALFORMED_HEAD, "there are two Content-Length fields");
	/* libmicrohttpd keeps 2^64 - 1 for itself. */
	int r = ct_slice_to_u64(value, INT64_MAX, &scan->head->content_length);
	if (r == -ERANGE) {
		scan->head->limit = INT64_MAX;
		return stop(scan, CT_ERROR_TOO_LARGE, "Content-Length is above 2^63 - 1");
	}
	if (r < 0)
		return stop(scan, CT_ERROR_MALFORMED_HEAD, "Content-Length is not a number");
	scan->head->has_length = true;
	return MHD_YES;
}

static enum MHD_Result take_coding(struct scan *scan, struct ct_slice value)
{
	if (++scan->codings > 1 || !ct_slice_equal_ignore_case(value, "chunked"))
		return stop(scan, CT_ERROR_MALFORMED_HEAD,
		    "Transfer-Encoding must be exactly one \"chunked\"");
	scan->head->chunked = true;
	return MHD_YES;
}

static enum MHD_Result take_field(void *cls, enum MHD_ValueKind kind, const char *name,
    size_t name_length, const char *value, size_t value_length)
{
	struct scan *scan = cls;
	struct ct_http_head *head = scan->head;
	(void)kind; /* only headers are asked for */

	if (name != scan->next || value == NULL || !are_blanks(name + name_length + 1, value))
		return stop(scan, CT_ERROR_MALFORMED_HEAD,
		    "header lines must be \"Name: value\" CRLF, neither folded nor with NUL bytes");
	scan->next = value + value_length + 2;
	if (!is_token(name, name_length))
		return stop(scan, CT_ERROR_MALFORMED_HEAD, "a header name has invalid characters");
	if (!is_clean_value(value, value_length))
		return stop(scan, CT_ERROR_MALFORMED_HEAD, "a header value has control characters");
	if (head->field_count == CT_HTTP_MAX_HEADERS) {
		head->limit = CT_HTTP_MAX_HEADERS;
		return stop(scan, CT_ERROR_HEAD_TOO_LARGE, "there are more than 100 header fields");
	}
	if (name_length > UINT16_MAX) {
		head->limit = UINT16_MAX;
		head->value = name_length;
		return stop(
		    scan, CT_ERROR_HEAD_TOO_LARGE, "a header name has more than 65535 bytes");
	}
	head->fields[head->field_count++] = (struct ct_http_field){
		.name = (uint32_t)(name - head->base),
		.value = (uint32_t)(value - head->base),
		.name_length = (uint16_t)name_length,
		.value_length = (uint32_t)value_length,
	};

	struct ct_slice name_slice = { name, name_length };
	struct ct_slice value_slice = { value, value_length };
	if (ct_slice_equal_ignore_case(name_slice, "Content-Length"))
		return take_length(scan, value_slice);
	if (ct_slice_equal_ignore_case(name_slice, "Transfer-Encoding"))
		return take_coding(scan, value_slice);
	if (ct_slice_equal_ignore_case(name_slice, "Host"))
		scan->hosts++;
	return MHD_YES;
}

static int refuse(const char **ret_why, int error, const char *why)
{
	*ret_why = why;
	return error;
}

static int check_framing(const struct scan *scan, const char **ret_why)
{
	const struct ct_http_head *head = scan->head;
	if (head->chunked && head->has_length)
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD,
		    "Content-Length and Transfer-Encoding exclude each other");
	if (head->chunked && head->is_http_1_0)
		return refuse(
		    ret_why, CT_ERROR_MALFORMED_HEAD, "HTTP/1.0 has no Transfer-Encoding");
	if (scan->hosts > 1)
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD, "there are two Host fields");
	if (scan->hosts == 0 && !head->is_http_1_0)
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD, "the Host field is missing");
	return 0;
}

int ct_http_guard_check(struct MHD_Connection *mhd, const struct ct_http_line *line,
    struct ct_http_head *ret_head, const char **ret_why)
{
	struct scan scan = { .head = ret_head };
	size_t method_length = strlen(line->method);

	ret_head->base = line->method;
	ret_head->field_count = 0;
	ret_head->chunked = false;
	ret_head->has_length = false;
	ret_head->content_length = 0;
	ret_head->limit = 0;
	ret_head->value = 0;
	ret_head->is_http_1_0 = strcmp(line->version, "HTTP/1.0") == 0;
	if (line->target != line->method + method_length + 1 ||
	    line->version != line->target + line->target_length + 1)
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD,
		    "the request line must be \"METHOD target HTTP/1.1\" CRLF");
	if (!is_token(line->method, method_length))
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD, "the method is not a token");
	if (!is_clean_target(line->target_copy, line->target_length))
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD,
		    "the target has blanks or control characters");
	if (!is_target(line->target_copy))
		return refuse(
		    ret_why, CT_ERROR_MALFORMED_HEAD, "the target must begin with a slash");
	scan.next = line->version + strlen(line->version) + 2;
	(void)MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, take_field, &scan);
	if (ret_head->limit == CT_HTTP_MAX_HEADERS)
		ret_head->value =
		    (uint64_t)MHD_get_connection_values(mhd, MHD_HEADER_KIND, NULL, NULL);
	if (scan.error != 0)
		return refuse(ret_why, scan.error, scan.why);
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (info == NULL || scan.next + 2 != line->method + info->header_size ||
	    memcmp(scan.next - 2, "\0\0\0", 4) != 0)
		return refuse(ret_why, CT_ERROR_MALFORMED_HEAD,
		    "the head must end in an empty line, and each of its lines in CRLF");
	return check_framing(&scan, ret_why);
}

struct ct_slice ct_http_head_name(const struct ct_http_head *head, size_t index)
{
	CT_ASSERT(index < head->field_count);
	const struct ct_http_field *field = &head->fields[index];
	return (struct ct_slice){ head->base + field->name, field->name_length };
}

struct ct_slice ct_http_head_value(const struct ct_http_head *head, size_t index)
{
	CT_ASSERT(index < head->field_count);
	const struct ct_http_field *field = &head->fields[index];
	return (struct ct_slice){ head->base + field->value, field->value_length };
}
