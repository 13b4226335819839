/*
 * The delimiter is CRLF "--" boundary; the first one may do without its CRLF, and so may the one
 * that follows a part's head directly (a part without data): there the search begins as if the CRLF
 * had been seen.
 *
 * The search looks at the byte where the delimiter would end and skips by a table (Horspool), most
 * of the time by the whole length of the delimiter. A boundary holds no CR, so the delimiter
 * doesn't overlap itself: a comparison is made only where a CR is, and after one that has failed
 * none of the compared bytes can begin another, so the search is linear whatever is sent. For the
 * same reason nothing has to be kept of a delimiter that is cut in two: how many of its bytes have
 * matched is enough, and if the rest doesn't follow, they are data, given out of `delimiter`.
 */
#include "uploads/multipart.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "calotype/error.h"
#include "uploads/parameters.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LEAD 4 /* CR LF - - */

enum state {
	STATE_SEARCH,	 /* for a delimiter: before the first one, or in a part's data */
	STATE_DELIMITER, /* behind a delimiter */
	STATE_DASH,	 /* and a '-' */
	STATE_PADDING,
	STATE_LINE_END, /* its CR was there */
	STATE_HEAD,
	STATE_CLOSED, /* END is still to be given */
	STATE_EPILOGUE,
	STATE_FAILED
};

struct ct_multipart {
	char delimiter[LEAD + CT_MULTIPART_MAX_BOUNDARY]; /* set once */
	size_t delimiter_length;			  /* set once */
	unsigned char skips[256]; /* set once: how far the search may go on, by the last byte */

	enum state state;
	bool in_part;	/* its END has not been given */
	size_t matched; /* of the delimiter, at the end of what has come */
	size_t assumed; /* of these, so many were never sent */
	size_t preamble, padding;
	unsigned parts;

	char head[CT_MULTIPART_MAX_HEAD_BYTES];
	size_t head_length, line_start;
	unsigned head_lines;

	int error;
	const char *why;
};

CT_DEFINE_CLEANUP(free_multipart, struct ct_multipart *, ct_multipart_free)

/* ---- the boundary ---- */

static bool is_boundary(struct ct_slice text)
{
	if (text.length == 0 || text.length > CT_MULTIPART_MAX_BOUNDARY)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	}
	return text.data[text.length - 1] != ' ';
}

int ct_multipart_boundary(
    struct ct_slice content_type, char ret_boundary[CT_MULTIPART_MAX_BOUNDARY + 1])
{
	struct ct_parameters parameters;
	struct ct_parameter parameter;
	bool found = false;
	int r;

	ct_parameters_begin(&parameters, content_type);
	if (!ct_slice_equal_ignore_case(parameters.kind, "multipart/form-data"))
		return 0;
	while ((r = ct_parameters_next(&parameters, &parameter)) > 0) {
		if (!ct_slice_equal_ignore_case(parameter.name, "boundary"))
			continue;
		if (found || parameter.value.data == NULL)
			return -EINVAL;
		found = true;
		if (ct_parameter_text(&parameter, CT_QUOTING_HTTP, ret_boundary,
			CT_MULTIPART_MAX_BOUNDARY + 1) < 0)
			return -EINVAL;
	}
	if (r < 0 || !found || !is_boundary(ct_slice_from_string(ret_boundary)))
		return -EINVAL;
	return 1;
}

/* ---- life ---- */

int ct_multipart_new(const char *boundary, struct ct_multipart **ret_multipart)
{
	size_t length = strlen(boundary);

	CT_ASSERT(is_boundary(ct_slice_from_string(boundary)));
	ct_cleanup(free_multipart) struct ct_multipart *multipart = calloc(1, sizeof(*multipart));
	if (multipart == NULL)
		return -ENOMEM;
	memcpy(multipart->delimiter, "\r\n--", LEAD);
	memcpy(multipart->delimiter + LEAD, boundary, length);
	multipart->delimiter_length = length = LEAD + length;
	memset(multipart->skips, (int)length, sizeof(multipart->skips));
	/* The last byte's own entry tells how far after a comparison that has failed. */
	for (size_t i = 0; i + 1 < length; i++)
		multipart->skips[(unsigned char)multipart->delimiter[i]] =
		    (unsigned char)(length - 1 - i);
	multipart->matched = multipart->assumed = 2;
	*ret_multipart = ct_steal(multipart);
	return 0;
}

void ct_multipart_free(struct ct_multipart *multipart)
{
	free(multipart);
}

const char *ct_multipart_why(const struct ct_multipart *multipart)
{
	CT_ASSERT(multipart->error != 0);
	return multipart->why;
}

static int fail(struct ct_multipart *multipart, int error, const char *why)
{
	multipart->state = STATE_FAILED;
	multipart->error = error;
	multipart->why = why;
	return error;
}

static int malformed(struct ct_multipart *multipart, const char *why)
{
	return fail(multipart, CT_ERROR_MALFORMED_FORM, why);
}

static void take(struct ct_slice *bytes, size_t count)
{
	bytes->data += count;
	bytes->length -= count;
}

/* ---- the search ---- */

/* Where the delimiter begins, or `length`. */
static size_t find(const struct ct_multipart *multipart, const char *data, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)data;
	size_t last = multipart->delimiter_length - 1;
	unsigned char end = (unsigned char)multipart->delimiter[last];

	for (size_t at = last; at < length; at += multipart->skips[bytes[at]]) {
		if (bytes[at] == end && data[at - last] == '\r' &&
		    memcmp(data + at - last, multipart->delimiter, last) == 0)
			return at - last;
	}
	return length;
}

/* How many bytes at the end of `data` begin a delimiter. */
static size_t matched_at_end(const struct ct_multipart *multipart, const char *data, size_t length)
{
	size_t window =
	    length < multipart->delimiter_length ? length : multipart->delimiter_length - 1;
	const char *start = memrchr(data + length - window, '\r', window);

	if (start == NULL)
		return 0;
	size_t tail = (size_t)(data + length - start);
	return memcmp(start, multipart->delimiter, tail) == 0 ? tail : 0;
}

static int give_data(struct ct_multipart *multipart, const char *data, size_t length,
    struct ct_multipart_event *event)
{
	if (length == 0)
		return 0;
	if (multipart->in_part) {
		event->kind = CT_MULTIPART_DATA;
		event->data = (struct ct_slice){ data, length };
		return 1;
	}
	multipart->preamble += length;
	if (multipart->preamble > CT_MULTIPART_MAX_PREAMBLE_BYTES)
		return malformed(multipart,
		    "the boundary of the Content-Type does not come in the first 8192 bytes");
	return 0;
}

static void found(struct ct_multipart *multipart)
{
	multipart->state = STATE_DELIMITER;
	multipart->matched = multipart->assumed = multipart->padding = 0;
}

/* Goes on with a delimiter of which the first bytes have come. */
static int search_on(
    struct ct_multipart *multipart, struct ct_slice *bytes, struct ct_multipart_event *event)
{
	const char *wanted = multipart->delimiter + multipart->matched;
	size_t length = multipart->delimiter_length - multipart->matched;

	if (length > bytes->length)
		length = bytes->length;
	if (memcmp(wanted, bytes->data, length) != 0) {
		size_t sent = multipart->matched - multipart->assumed;
		const char *data = multipart->delimiter + multipart->assumed;
		multipart->matched = multipart->assumed = 0;
		return give_data(multipart, data, sent, event);
	}
	multipart->matched += length;
	take(bytes, length);
	if (multipart->matched == multipart->delimiter_length)
		found(multipart);
	return 0;
}

static int search(
    struct ct_multipart *multipart, struct ct_slice *bytes, struct ct_multipart_event *event)
{
	if (multipart->matched > 0)
		return search_on(multipart, bytes, event);
	const char *data = bytes->data;
	size_t length = find(multipart, data, bytes->length);
	if (length < bytes->length) {
		take(bytes, length + multipart->delimiter_length);
		found(multipart);
	} else {
		multipart->matched = matched_at_end(multipart, data, length);
		take(bytes, length);
		length -= multipart->matched;
	}
	return give_data(multipart, data, length, event);
}

/* ---- the rest of a delimiter's line ---- */

/* The delimiter is a whole one: what stood before it has ended. */
static int line_ended(
    struct ct_multipart *multipart, enum state next, struct ct_multipart_event *event)
{
	bool was_part = multipart->in_part;

	multipart->state = next;
	multipart->in_part = false;
	multipart->head_length = multipart->line_start = 0;
	multipart->head_lines = 0;
	event->kind = CT_MULTIPART_PART_END;
	return was_part ? 1 : 0;
}

static int after_delimiter(struct ct_multipart *multipart, char byte)
{
	if (byte == '\r') {
		multipart->state = STATE_LINE_END;
	} else if (byte == ' ' || byte == '\t') {
		multipart->state = STATE_PADDING;
		if (++multipart->padding > CT_MULTIPART_MAX_PADDING_BYTES)
			return malformed(multipart, "more than 64 blanks follow a boundary");
	} else if (byte == '-' && multipart->state == STATE_DELIMITER) {
		multipart->state = STATE_DASH;
	} else {
		return malformed(multipart, "a boundary is not followed by CR LF, blanks or --");
	}
	return 0;
}

static int delimiter_line(
    struct ct_multipart *multipart, struct ct_slice *bytes, struct ct_multipart_event *event)
{
	char byte = bytes->data[0];

	take(bytes, 1);
	switch (multipart->state) {
	case STATE_DASH:
		if (byte != '-')
			return malformed(multipart, "a boundary is followed by a single -");
		return line_ended(multipart, STATE_CLOSED, event);
	case STATE_LINE_END:
		if (byte != '\n')
			return malformed(multipart, "a boundary's line ends in a bare CR");
		return line_ended(multipart, STATE_HEAD, event);
	default: return after_delimiter(multipart, byte);
	}
}

/* ---- a part's head ---- */

/* tchar of RFC 9110 section 5.6.2 */
static bool is_token(struct ct_slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c <= ' ' || c > '~' || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
			return false;
	}
	return text.length > 0;
}

static int take_field(
    struct ct_multipart *multipart, struct ct_slice line, struct ct_multipart_head *head)
{
	struct ct_slice value = line;
	struct ct_slice name = ct_slice_cut(&value, ':');
	struct ct_slice *field = NULL;

	if (value.data == NULL || !is_token(name))
		return malformed(multipart, "a line in a part's head is not `name: value`");
	if (ct_slice_equal_ignore_case(name, "content-disposition"))
		field = &head->disposition;
	else if (ct_slice_equal_ignore_case(name, "content-transfer-encoding"))
		field = &head->transfer_encoding;
	if (field == NULL)
		return 0;
	if (field->data != NULL)
		return malformed(multipart, "a field stands twice in a part's head");
	*field = ct_slice_trim(value);
	return 0;
}

/* Folds become blanks; no other control byte may be left than a tab. Ends before the empty line. */
static int unfold(struct ct_multipart *multipart)
{
	char *head = multipart->head;

	for (size_t i = 0; i + 2 < multipart->head_length; i++) {
		bool is_end = head[i] == '\r' && head[i + 1] == '\n';
		if (is_end && (head[i + 2] == ' ' || head[i + 2] == '\t'))
			head[i] = head[i + 1] = ' ';
		else if (is_end)
			i++;
		else if (((unsigned char)head[i] < ' ' && head[i] != '\t') || head[i] == 0x7f)
			return malformed(multipart, "a control byte stands in a part's head");
	}
	return 0;
}

/* `head` holds lines that end in CR LF, and then the empty one. */
static int parse_head(struct ct_multipart *multipart, struct ct_multipart_event *event)
{
	const char *line = multipart->head;
	const char *end = multipart->head + multipart->head_length - 2;

	event->head = (struct ct_multipart_head){ 0 };
	int r = unfold(multipart);
	while (r == 0 && line < end) {
		const char *line_end = memchr(line, '\r', (size_t)(end - line));
		CT_ASSERT(line_end != NULL);
		r = take_field(
		    multipart, (struct ct_slice){ line, (size_t)(line_end - line) }, &event->head);
		line = line_end + 2;
	}
	if (r < 0)
		return r;
	if (++multipart->parts > CT_MULTIPART_MAX_PARTS)
		return fail(
		    multipart, CT_ERROR_TOO_MANY_PARTS, "a form may have at most 256 parts");
	multipart->state = STATE_SEARCH;
	multipart->in_part = true;
	multipart->matched = multipart->assumed = 2;
	event->kind = CT_MULTIPART_PART;
	return 1;
}

static int head_line(
    struct ct_multipart *multipart, struct ct_slice *bytes, struct ct_multipart_event *event)
{
	const char *end = memchr(bytes->data, '\n', bytes->length);
	size_t length = end != NULL ? (size_t)(end - bytes->data) + 1 : bytes->length;

	if (length > sizeof(multipart->head) - multipart->head_length)
		return malformed(multipart, "a part's head has more than 8192 bytes");
	memcpy(multipart->head + multipart->head_length, bytes->data, length);
	multipart->head_length += length;
	take(bytes, length);
	if (end == NULL)
		return 0;

	size_t line_length = multipart->head_length - multipart->line_start;
	const char *line = multipart->head + multipart->line_start;
	if (line_length < 2 || line[line_length - 2] != '\r')
		return malformed(multipart, "a line in a part's head ends in a bare LF");
	if (line_length == 2)
		return parse_head(multipart, event);
	if (multipart->head_lines == 0 && (line[0] == ' ' || line[0] == '\t'))
		return malformed(multipart, "a part's head begins with a folded line");
	if (++multipart->head_lines > CT_MULTIPART_MAX_HEAD_LINES)
		return malformed(multipart, "a part's head has more than 32 lines");
	multipart->line_start = multipart->head_length;
	return 0;
}

/* ---- all together ---- */

/* 1: an event; 0: go on, unless no bytes are left. */
static int step(
    struct ct_multipart *multipart, struct ct_slice *bytes, struct ct_multipart_event *event)
{
	switch (multipart->state) {
	case STATE_SEARCH: return search(multipart, bytes, event);
	case STATE_HEAD: return head_line(multipart, bytes, event);
	case STATE_EPILOGUE: take(bytes, bytes->length); return 0;
	case STATE_FAILED: return multipart->error;
	default: return delimiter_line(multipart, bytes, event);
	}
}

int ct_multipart_next(
    struct ct_multipart *multipart, struct ct_slice *bytes, struct ct_multipart_event *ret_event)
{
	int r = 0;

	if (multipart->state == STATE_CLOSED) {
		multipart->state = STATE_EPILOGUE;
		ret_event->kind = CT_MULTIPART_END;
		return 0;
	}
	while (r == 0 && bytes->length > 0 && multipart->state != STATE_CLOSED)
		r = step(multipart, bytes, ret_event);
	if (r == 0 && multipart->state == STATE_CLOSED)
		return ct_multipart_next(multipart, bytes, ret_event);
	if (r == 0)
		ret_event->kind = CT_MULTIPART_MORE;
	return r < 0 ? r : 0;
}

int ct_multipart_finish(struct ct_multipart *multipart)
{
	if (multipart->state == STATE_FAILED)
		return multipart->error;
	if (multipart->state == STATE_EPILOGUE)
		return 0;
	return malformed(multipart, "the form ends before its last boundary");
}
