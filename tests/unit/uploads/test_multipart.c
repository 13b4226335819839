/*
 * The form parser. Each body is given whole, cut in two at every place, and byte by byte: the
 * events must be the same.
 */
#include "base/buffer.h"
#include "calotype/error.h"
#include "uploads/filename.h"
#include "uploads/multipart.h"
#include "uploads/parameters.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT (4u << 20)
#define DISPOSITION "Content-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n"
#define PART "<form-data; name=\"f\"; filename=\"a.jpg\">"

static void write_event(struct ct_buffer *text, const struct ct_multipart_event *event)
{
	const struct ct_slice *head = &event->head.disposition;

	switch (event->kind) {
	case CT_MULTIPART_MORE: break;
	case CT_MULTIPART_PART:
		ct_buffer_append_string(text, "<");
		ct_buffer_append(text, head->data != NULL ? head->data : "-",
		    head->data != NULL ? head->length : 1);
		if (event->head.transfer_encoding.data != NULL) {
			ct_buffer_append_string(text, "|");
			ct_buffer_append(text, event->head.transfer_encoding.data,
			    event->head.transfer_encoding.length);
		}
		ct_buffer_append_string(text, ">");
		break;
	case CT_MULTIPART_DATA:
		cr_assert_gt(event->data.length, 0);
		ct_buffer_append(text, event->data.data, event->data.length);
		break;
	case CT_MULTIPART_PART_END: ct_buffer_append_string(text, "$"); break;
	case CT_MULTIPART_END: ct_buffer_append_string(text, "."); break;
	}
}

/* The piece is freed before the next one is given: nothing may point into it. */
static int give(struct ct_multipart *multipart, struct ct_slice piece, struct ct_buffer *text)
{
	char *copy = malloc(piece.length + 1);
	struct ct_slice bytes = { copy, piece.length };
	struct ct_multipart_event event;
	int r;

	memcpy(copy, piece.data, piece.length);
	do {
		r = ct_multipart_next(multipart, &bytes, &event);
		if (r == 0)
			write_event(text, &event);
	} while (r == 0 && event.kind != CT_MULTIPART_MORE);
	cr_assert(r < 0 || bytes.length == 0);
	free(copy);
	return r;
}

/* `step` bytes at a time, the first piece `first` bytes. */
static char *events_of(const char *boundary, struct ct_slice body, size_t first, size_t step)
{
	struct ct_multipart *multipart;
	struct ct_buffer text;
	int r = 0;

	cr_assert_eq(ct_multipart_new(boundary, &multipart), 0);
	ct_buffer_init(&text, MAX_TEXT);
	ct_buffer_append_string(&text, "");
	for (size_t at = 0, length; r == 0 && at < body.length; at += length) {
		length = at == 0 && first > 0 ? first : step;
		if (length > body.length - at)
			length = body.length - at;
		r = give(multipart, (struct ct_slice){ body.data + at, length }, &text);
	}
	if (r == 0)
		r = ct_multipart_finish(multipart);
	if (r < 0) {
		ct_buffer_printf(&text, "!%s: %s", ct_error_code(r), ct_multipart_why(multipart));
		cr_assert_eq(ct_multipart_finish(multipart), r, "an error stays");
	}
	ct_multipart_free(multipart);
	cr_assert_eq(ct_buffer_error(&text), 0);
	return ct_buffer_steal(&text, NULL);
}

static void expect_body(const char *boundary, struct ct_slice body, const char *expected)
{
	char *whole = events_of(boundary, body, 0, body.length);
	char *bytewise = events_of(boundary, body, 0, 1);

	cr_expect_str_eq(whole, expected, "%.*s\ngave %s", (int)body.length, body.data, whole);
	cr_expect_str_eq(bytewise, whole, "byte by byte: %.*s", (int)body.length, body.data);
	for (size_t first = 1; first < body.length; first++) {
		char *cut = events_of(boundary, body, first, body.length);
		cr_expect_str_eq(
		    cut, whole, "cut at %zu: %.*s", first, (int)body.length, body.data);
		free(cut);
	}
	free(whole);
	free(bytewise);
}

#define EXPECT(body, expected) expect_body("xyz", CT_SLICE_OF(body), expected)
#define EXPECT_MALFORMED(body, before, why) EXPECT(body, before "!malformed_form: " why)

Test(multipart, parts_and_data)
{
	EXPECT("--xyz\r\n" DISPOSITION "\r\nabc\r\n--xyz--\r\n", PART "abc$.");
	EXPECT("--xyz\r\n" DISPOSITION "\r\na\r\n--xyz\r\n" DISPOSITION "\r\nb\r\n--xyz--",
	    PART "a$" PART "b$.");
	EXPECT("--xyz\r\n" DISPOSITION "\r\n\r\n--xyz--\r\n", PART "$.");
	EXPECT("--xyz--", ".");
	EXPECT("--xyz--\r\n", ".");
}

Test(multipart, data_that_looks_like_a_delimiter)
{
	EXPECT("--xyz\r\n" DISPOSITION "\r\n--xy\r\n--xyz--", PART "--xy$.");
	EXPECT("--xyz\r\n" DISPOSITION "\r\n\r\n--xy\r\n\r\n--xyz--", PART "\r\n--xy\r\n$.");
	EXPECT("--xyz\r\n" DISPOSITION "\r\n\r\r\n-\r\n\r\n--xyz--", PART "\r\r\n-\r\n$.");
	EXPECT("--xyz\r\n" DISPOSITION "\r\na--xyz\n--xyz\r--xyz\r\n--xyz--",
	    PART "a--xyz\n--xyz\r--xyz$.");
	EXPECT("--xyz\r\n" DISPOSITION "\r\n\r\n--xy\r\n--xyz--", PART "\r\n--xy$.");
	EXPECT("--xyz\r\n" DISPOSITION "\r\n\r\n--\r\n--xyz--", PART "\r\n--$.");
	expect_body("-", CT_SLICE_OF("---\r\n\r\n-\r\n--\r\n------"), "<->-\r\n--$.");
	expect_body("zz z", CT_SLICE_OF("--zz z\r\n\r\nz\r\n--zz\r\n--zz z--"), "<->z\r\n--zz$.");
}

/* A part may have no data at all, and then its head's last CRLF is the delimiter's too. */
Test(multipart, delimiter_directly_behind_the_head)
{
	EXPECT("--xyz\r\n" DISPOSITION "\r\n--xyz--\r\n", PART "$.");
	EXPECT("--xyz\r\n" DISPOSITION "\r\n--xyz\r\n\r\n--xyz--", PART "$<->$.");
}

Test(multipart, preamble_and_epilogue_are_ignored)
{
	EXPECT("hello\r\n--xyz\r\n\r\na\r\n--xyz--\r\nbye\r\n--xyz\r\n", "<->a$.");
	EXPECT("\r\n--xyz\r\n\r\na\r\n--xyz--anything", "<->a$.");
	EXPECT("a--xyz\r\n--xy\r\n--xyz--", ".");

	char body[CT_MULTIPART_MAX_PREAMBLE_BYTES + 64];
	memset(body, 'p', sizeof(body));
	memcpy(body + CT_MULTIPART_MAX_PREAMBLE_BYTES, "\r\n--xyz--", 9);
	struct ct_slice most = { body, CT_MULTIPART_MAX_PREAMBLE_BYTES + 9 };
	char *events = events_of("xyz", most, 0, 100);
	cr_expect_str_eq(events, ".");
	free(events);
	body[CT_MULTIPART_MAX_PREAMBLE_BYTES] = 'p';
	memcpy(body + CT_MULTIPART_MAX_PREAMBLE_BYTES + 1, "\r\n--xyz--", 9);
	for (size_t step = 1; step < sizeof(body); step *= 7) {
		events = events_of("xyz", (struct ct_slice){ body, most.length + 1 }, 0, step);
		cr_expect(strncmp(events, "!malformed_form: the boundary", 29) == 0, "%s", events);
		free(events);
	}
}

Test(multipart, blanks_may_follow_a_boundary)
{
	EXPECT("--xyz \t \r\n\r\na\r\n--xyz  \r\n\r\nb\r\n--xyz--  \r\n", "<->a$<->b$.");
	EXPECT_MALFORMED("--xyz -", "", "a boundary is not followed by CR LF, blanks or --");
	EXPECT_MALFORMED("--xyz"
			 "                                                                 ",
	    "", "more than 64 blanks follow a boundary");
}

Test(multipart, lines_end_in_crlf)
{
	EXPECT_MALFORMED("--xyz\n", "", "a boundary is not followed by CR LF, blanks or --");
	EXPECT_MALFORMED("--xyz\r\r\n", "", "a boundary's line ends in a bare CR");
	EXPECT_MALFORMED("--xyz\r\nA: b\n\r\n", "", "a line in a part's head ends in a bare LF");
	EXPECT_MALFORMED("--xyz\r\n\n", "", "a line in a part's head ends in a bare LF");
	EXPECT_MALFORMED(
	    "--xyz\r\nA: b\rC: d\r\n\r\n", "", "a control byte stands in a part's head");
	EXPECT_MALFORMED("--xyz\r\nA: \0\r\n\r\n", "", "a control byte stands in a part's head");
	EXPECT_MALFORMED("--xyz\r\n\r\na\r\n--xyzz\r\n", "<->a",
	    "a boundary is not followed by CR LF, blanks or --");
	EXPECT_MALFORMED(
	    "--xyz\r\n\r\na\r\n--xyz-\r\n", "<->a", "a boundary is followed by a single -");
}

Test(multipart, heads)
{
	EXPECT("--xyz\r\ncontent-DISPOSITION:form-data\r\nX-Other: 1\r\n\r\na\r\n--xyz--",
	    "<form-data>a$.");
	EXPECT("--xyz\r\nContent-Disposition: form-data;\r\n\tname=f\r\n"
	       "Content-Transfer-Encoding: binary \r\n\r\na\r\n--xyz--",
	    "<form-data;  \tname=f|binary>a$.");
	EXPECT_MALFORMED(
	    "--xyz\r\nno colon\r\n\r\n", "", "a line in a part's head is not `name: value`");
	EXPECT_MALFORMED(
	    "--xyz\r\n: v\r\n\r\n", "", "a line in a part's head is not `name: value`");
	EXPECT_MALFORMED(
	    "--xyz\r\nA : v\r\n\r\n", "", "a line in a part's head is not `name: value`");
	EXPECT_MALFORMED("--xyz\r\n A: v\r\n\r\n", "", "a part's head begins with a folded line");
	EXPECT_MALFORMED("--xyz\r\n" DISPOSITION DISPOSITION "\r\n", "",
	    "a field stands twice in a part's head");
	EXPECT_MALFORMED(
	    "--xyz\r\nA: b\r\n--xyz--\r\n\r\n", "", "a line in a part's head is not `name: value`");
}

Test(multipart, truncation_is_told)
{
	static const char body[] = "--xyz\r\n" DISPOSITION "\r\nabc\r\n--xyz--";

	for (size_t length = 0; length + 1 < sizeof(body); length++) {
		char *events = events_of("xyz", (struct ct_slice){ body, length }, 0, 3);
		const char *error = strchr(events, '!');
		cr_assert_not_null(error, "%zu bytes gave %s", length, events);
		cr_expect_str_eq(error, "!malformed_form: the form ends before its last boundary");
		cr_expect_null(strchr(events, '$'));
		free(events);
	}
}

static char *form_of_parts(unsigned count, size_t *ret_length)
{
	struct ct_buffer text;

	ct_buffer_init(&text, MAX_TEXT);
	for (unsigned i = 0; i < count; i++)
		ct_buffer_append_string(&text, "--xyz\r\n\r\na\r\n");
	ct_buffer_append_string(&text, "--xyz--");
	return ct_buffer_steal(&text, ret_length);
}

Test(multipart, limits)
{
	size_t length;
	for (unsigned more = 0; more < 2; more++) {
		char *body = form_of_parts(CT_MULTIPART_MAX_PARTS + more, &length);
		char *events = events_of("xyz", (struct ct_slice){ body, length }, 0, 1000);
		cr_expect_eq(strchr(events, '!') != NULL, more == 1);
		cr_expect_eq(strstr(events, "!too_many_parts: ") != NULL, more == 1);
		free(events);
		free(body);
	}
	for (unsigned more = 0; more < 2; more++) {
		struct ct_buffer text;
		ct_buffer_init(&text, MAX_TEXT);
		ct_buffer_append_string(&text, "--xyz\r\nA: ");
		for (size_t i = 0; i < CT_MULTIPART_MAX_HEAD_BYTES - 7 + more; i++)
			ct_buffer_append_string(&text, "v");
		ct_buffer_append_string(&text, "\r\n\r\n\r\n--xyz--");
		char *events =
		    events_of("xyz", (struct ct_slice){ text.data, text.length }, 0, 777);
		cr_expect_str_eq(
		    events, more == 0 ? "<->$."
				      : "!malformed_form: a part's head has more than 8192 bytes");
		free(events);
		ct_buffer_done(&text);
	}
	for (unsigned more = 0; more < 2; more++) {
		struct ct_buffer text;
		ct_buffer_init(&text, MAX_TEXT);
		ct_buffer_append_string(&text, "--xyz\r\n");
		for (size_t i = 0; i < CT_MULTIPART_MAX_HEAD_LINES + more; i++)
			ct_buffer_append_string(&text, "A: b\r\n");
		ct_buffer_append_string(&text, "\r\n\r\n--xyz--");
		char *events = events_of("xyz", (struct ct_slice){ text.data, text.length }, 0, 9);
		cr_expect_str_eq(events,
		    more == 0 ? "<->$." : "!malformed_form: a part's head has more than 32 lines");
		free(events);
		ct_buffer_done(&text);
	}
}

/* ---- the boundary ---- */

static void expect_boundary(const char *type, int result, const char *expected)
{
	char boundary[CT_MULTIPART_MAX_BOUNDARY + 1] = "";

	cr_expect_eq(
	    ct_multipart_boundary(ct_slice_from_string(type), boundary), result, "%s", type);
	if (result == 1)
		cr_expect_str_eq(boundary, expected, "%s", type);
}

Test(multipart, boundary)
{
	expect_boundary("multipart/form-data; boundary=----WebKitFormBoundaryabc", 1,
	    "----WebKitFormBoundaryabc");
	expect_boundary("Multipart/Form-Data; charset=utf-8; BOUNDARY=\"a b\"; x=y", 1, "a b");
	expect_boundary("multipart/form-data;boundary=----=_Part_1_2.3;x=\"a;boundary=no\"", 1,
	    "----=_Part_1_2.3");
	expect_boundary("multipart/form-data; boundary=*****", 1, "*****");
	expect_boundary("multipart/form-data; boundary=\"a\\\"b\"", 1, "a\"b");
	expect_boundary("multipart/form-data ; boundary = x ", 1, "x");
	expect_boundary("multipart/mixed; boundary=x", 0, "");
	expect_boundary("image/jpeg", 0, "");
	expect_boundary(NULL, 0, "");
	expect_boundary("multipart/form-data", -EINVAL, "");
	expect_boundary("multipart/form-data; boundary", -EINVAL, "");
	expect_boundary("multipart/form-data; boundary=", -EINVAL, "");
	expect_boundary("multipart/form-data; boundary=\"a", -EINVAL, "");
	expect_boundary("multipart/form-data; boundary=\"a \"", -EINVAL, "");
	expect_boundary("multipart/form-data; boundary=a; boundary=a", -EINVAL, "");
	expect_boundary("multipart/form-data; boundary=\xc3\xa4", -EINVAL, "");
	expect_boundary("multipart/form-data; boundary="
			"0123456789012345678901234567890123456789012345678901234567890123456789",
	    1, "0123456789012345678901234567890123456789012345678901234567890123456789");
	expect_boundary("multipart/form-data; boundary="
			"01234567890123456789012345678901234567890123456789012345678901234567890",
	    -EINVAL, "");
}

/* ---- names ---- */

static void expect_name(const char *disposition, int result, bool is_file, const char *expected)
{
	char name[CT_FILENAME_MAX + 1] = "";
	bool found = !is_file;

	int r = ct_filename_from_form(ct_slice_from_string(disposition), name, &found);
	cr_expect_eq(r, result, "%s: %d", disposition, r);
	if (result < 0)
		return;
	cr_expect_eq(found, is_file, "%s", disposition);
	cr_expect_str_eq(name, expected, "%s", disposition);
}

Test(multipart, filenames)
{
	expect_name("form-data; name=\"f\"; filename=\"a.jpg\"", 0, true, "a.jpg");
	expect_name("form-data; name=f; filename=a.jpg", 0, true, "a.jpg");
	expect_name("Form-Data; FILENAME=\"\"; name=\"f\"", 0, true, "");
	expect_name("form-data; name=\"filename=x; filename=y\"", 0, false, "");
	/* browsers and new curl; old curl; a backslash that escapes nothing */
	expect_name("form-data; filename=\"a%22b%22.jpg\"", 0, true, "a\"b\".jpg");
	expect_name("form-data; filename=\"a%0D%0ab.jpg\"", 0, true, "ab.jpg");
	expect_name("form-data; filename=\"100%25%2x%.jpg\"", 0, true, "100%25%2x%.jpg");
	expect_name("form-data; filename=\"a\\\"b\\\\\"; x=y", 0, true, "");
	expect_name("form-data; filename=\"a\\\"b.jpg\"; x=y", 0, true, "a\"b.jpg");
	expect_name("form-data; filename=\"C:\\photos\\x.jpg\"", 0, true, "x.jpg");
	expect_name("form-data; filename=\"a;b.jpg\"", 0, true, "a;b.jpg");
	expect_name("form-data; name=\"f\"; filename=\"b\\", -EINVAL, false, "");
	expect_name("form-data; name=\"f\"; filename=\"x/b\\\"", 0, true, "");
	/* RFC 8187 */
	expect_name("form-data; filename=\"x\"; filename*=UTF-8''%e2%82%ac.jpg", 0, true,
	    "\xe2\x82\xac.jpg");
	expect_name(
	    "form-data; filename*=utf-8'de'%C3%A4.jpg; filename=\"x\"", 0, true, "\xc3\xa4.jpg");
	expect_name("form-data; filename*=latin1''a", -EINVAL, false, "");
	expect_name("form-data; filename=\"a\"; filename=\"b\"", -EINVAL, false, "");
	expect_name("form-data; filename=\"\xff\"", -EINVAL, false, "");
	expect_name("form-data; filename=\"open", -EINVAL, false, "");
	expect_name("form-data; filename=\"a\" b", -EINVAL, false, "");
	expect_name("form-data; filename", -EINVAL, false, "");
	expect_name("attachment; filename=\"a.jpg\"", -EINVAL, false, "");
	expect_name("form-data; a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;filename=p", 0, true, "p");
	expect_name("form-data; a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;filename=q", -EINVAL, false, "");
}
