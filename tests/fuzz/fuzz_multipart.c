/*
 * The form parser. The first byte chooses:
 *   even   the rest is a body, as it comes: however it is cut, the events are the same, no part
 *          holds a delimiter, and each part's data stand in the body in one piece.
 *   odd    the rest is a recipe of a well-formed form, with data full of almost-delimiters: the
 *          parser gives back what was put in, and so does libmicrohttpd's, where that is right.
 *
 * Where libmicrohttpd's reader is not right, and recipes don't go: it takes a boundary in mid-line
 * for the first one; knows only one way to write a head (`Content-Disposition: form-data; name=`);
 * cuts names at any quote; doesn't tell a form that is cut off; takes anything behind a boundary.
 */
#include "fuzz.h"
#include "mhd_oracle.h"

#include "base/buffer.h"
#include "calotype/error.h"
#include "uploads/filename.h"
#include "uploads/multipart.h"

#include <string.h>

#define MAX_BYTES (4u << 20)
#define MAX_PARTS 16

/* ---- our parser's events as text ---- */

struct outcome {
	struct ct_buffer text; /* <disposition>data$ ... */
	int error;
};

static void write_event(struct ct_buffer *text, const struct ct_multipart_event *event)
{
	struct ct_slice head = event->head.disposition;

	switch (event->kind) {
	case CT_MULTIPART_MORE: break;
	case CT_MULTIPART_PART:
		ct_buffer_append_string(text, "\n<");
		ct_buffer_append(text, head.data != NULL ? head.data : "", head.length);
		ct_buffer_append_string(text, ">");
		break;
	case CT_MULTIPART_DATA:
		FUZZ_CHECK(event->data.length > 0, "empty data");
		ct_buffer_append(text, event->data.data, event->data.length);
		break;
	case CT_MULTIPART_PART_END: ct_buffer_append_string(text, "$"); break;
	case CT_MULTIPART_END: ct_buffer_append_string(text, "."); break;
	}
}

static int give(
    struct ct_multipart *multipart, const uint8_t *data, size_t length, struct ct_buffer *text)
{
	static char byte;
	char *copy = length == 1 ? &byte : malloc(length); /* a byte at a time must be fast */
	struct ct_slice bytes = { copy, length };
	struct ct_multipart_event event;
	int r;

	FUZZ_CHECK(copy != NULL, "no memory");
	memcpy(copy, data, length);
	do {
		r = ct_multipart_next(multipart, &bytes, &event);
		if (r == 0)
			write_event(text, &event);
	} while (r == 0 && event.kind != CT_MULTIPART_MORE);
	FUZZ_CHECK(r < 0 || bytes.length == 0, "%zu bytes left", bytes.length);
	if (copy != &byte)
		free(copy);
	return r;
}

/* `step` bytes at a time; 0: pieces by chance. */
static void parse(const char *boundary, struct ct_slice body, size_t step, struct outcome *ret)
{
	const uint8_t *bytes = (const uint8_t *)body.data;
	uint32_t chance = fuzz_seed(bytes, body.length);
	struct ct_multipart *multipart;
	int r = 0;

	FUZZ_CHECK(ct_multipart_new(boundary, &multipart) == 0, "no memory");
	ct_buffer_init(&ret->text, MAX_BYTES);
	ct_buffer_append_string(&ret->text, "");
	for (size_t at = 0, length; r == 0 && at < body.length; at += length) {
		length = step > 0 ? step : 1 + fuzz_random(&chance) % 20;
		if (length > body.length - at)
			length = body.length - at;
		r = give(multipart, bytes + at, length, &ret->text);
	}
	if (r == 0)
		r = ct_multipart_finish(multipart);
	FUZZ_CHECK(ct_multipart_finish(multipart) == r, "an error stays");
	FUZZ_CHECK(r == 0 || ct_multipart_why(multipart) != NULL, "an error has a reason");
	FUZZ_CHECK(ct_buffer_error(&ret->text) == 0, "no memory");
	ret->error = r;
	ct_multipart_free(multipart);
}

static void check_same(
    const char *boundary, struct ct_slice body, const struct outcome *whole, size_t step)
{
	struct outcome cut;

	parse(boundary, body, step, &cut);
	FUZZ_CHECK(cut.error == whole->error, "%s, not %s", ct_error_name(cut.error),
	    ct_error_name(whole->error));
	FUZZ_CHECK(cut.text.length == whole->text.length &&
		       memcmp(cut.text.data, whole->text.data, cut.text.length) == 0,
	    "pieces of %zu gave %s\nnot %s", step, cut.text.data, whole->text.data);
	ct_buffer_done(&cut.text);
}

/* ---- any bytes ---- */

/* The data of each part, as one whole piece gives them. */
static void check_data(const char *boundary, struct ct_slice body)
{
	char delimiter[CT_MULTIPART_MAX_BOUNDARY + 5];
	struct ct_multipart *multipart;
	struct ct_multipart_event event;
	struct ct_slice bytes = body;
	const char *expected = NULL;

	int length = snprintf(delimiter, sizeof(delimiter), "\r\n--%s", boundary);
	FUZZ_CHECK(ct_multipart_new(boundary, &multipart) == 0, "no memory");
	do {
		if (ct_multipart_next(multipart, &bytes, &event) < 0)
			break;
		if (event.kind == CT_MULTIPART_PART)
			expected = bytes.data;
		if (event.kind != CT_MULTIPART_DATA)
			continue;
		/* In one piece, each event is a slice of it, or of a delimiter that failed. */
		if (event.data.data >= body.data && event.data.data <= body.data + body.length)
			FUZZ_CHECK(event.data.data == expected, "a gap in a part's data");
		FUZZ_CHECK(memcmp(event.data.data, expected, event.data.length) == 0, "other data");
		FUZZ_CHECK(
		    memmem(event.data.data, event.data.length, delimiter, (size_t)length) == NULL,
		    "a delimiter in a part's data");
		expected += event.data.length;
	} while (event.kind != CT_MULTIPART_MORE);
	ct_multipart_free(multipart);
}

static void fuzz_bytes(uint8_t choice, struct ct_slice body)
{
	static const char *const boundaries[] = { "x", ORACLE_BOUNDARY, "-",
		"----WebKitFormBoundary", "a b", "aaaaaaaaaaaaaaaaaaaa", "--", "0123456789" };
	const char *boundary = boundaries[choice / 2 % 8];
	struct outcome whole;

	parse(boundary, body, body.length + 1, &whole);
	check_same(boundary, body, &whole, 1);
	check_same(boundary, body, &whole, 0);
	check_same(boundary, body, &whole, 2 + choice / 16);
	check_data(boundary, body);
	ct_buffer_done(&whole.text);
}

/* ---- recipes ---- */

struct part {
	char name[16], filename[16]; /* "": none */
	struct ct_buffer data;
};

struct form {
	struct part parts[MAX_PARTS];
	size_t count;
};

static void make_data(struct fuzz_input *input, struct ct_buffer *data)
{
	static const char delimiter[] = "\r\n--" ORACLE_BOUNDARY;
	unsigned pieces = fuzz_byte(input) % 16;

	for (unsigned i = 0; i < pieces; i++) {
		uint8_t what = fuzz_byte(input);
		if (what % 4 == 0) {
			ct_buffer_append(data, delimiter, what / 4 % (sizeof(delimiter) - 1));
		} else if (what % 4 == 1) {
			ct_buffer_append(data, delimiter + 2, what / 4 % (sizeof(delimiter) - 3));
		} else if (what % 4 == 2) {
			for (unsigned n = what / 4; n > 0; n--)
				ct_buffer_append(data, &"\r\n-"[n % 3], 1);
		} else {
			for (unsigned n = what / 4; n > 0; n--) {
				char byte = (char)fuzz_byte(input);
				ct_buffer_append(data, &byte, 1);
			}
		}
	}
	/* What would end the part is none of its data. */
	if (data->length >= sizeof(delimiter) - 3 &&
	    memcmp(data->data, delimiter + 2, sizeof(delimiter) - 3) == 0)
		data->data[0] = 'q'; /* none of the boundary's */
	char *at;
	while (data->length > 0 &&
	       (at = memmem(data->data, data->length, delimiter, sizeof(delimiter) - 1)) != NULL)
		at[0] = 'q';
}

static void make_form(struct fuzz_input *input, struct form *form)
{
	form->count = fuzz_byte(input) % MAX_PARTS;
	for (size_t i = 0; i < form->count; i++) {
		struct part *part = &form->parts[i];
		uint8_t what = fuzz_byte(input);
		(void)snprintf(part->name, sizeof(part->name), "n%u", what % 8);
		part->filename[0] = '\0';
		if (what % 2 == 1)
			(void)snprintf(
			    part->filename, sizeof(part->filename), "f%u;.jpg", what / 16);
		ct_buffer_init(&part->data, MAX_BYTES);
		ct_buffer_append_string(&part->data, "");
		make_data(input, &part->data);
	}
}

static void write_form(const struct form *form, struct ct_buffer *body, struct ct_buffer *events)
{
	for (size_t i = 0; i < form->count; i++) {
		const struct part *part = &form->parts[i];
		char head[96];
		if (part->filename[0] != '\0')
			(void)snprintf(head, sizeof(head),
			    "form-data; name=\"%s\"; filename=\"%s\"", part->name, part->filename);
		else
			(void)snprintf(head, sizeof(head), "form-data; name=\"%s\"", part->name);
		ct_buffer_printf(
		    body, "--%s\r\nContent-Disposition: %s\r\n\r\n", ORACLE_BOUNDARY, head);
		ct_buffer_append(body, part->data.data, part->data.length);
		ct_buffer_append_string(body, "\r\n");
		ct_buffer_printf(events, "\n<%s>", head);
		ct_buffer_append(events, part->data.data, part->data.length);
		ct_buffer_append_string(events, "$");
	}
	ct_buffer_printf(body, "--%s--\r\n", ORACLE_BOUNDARY);
	ct_buffer_append_string(events, ".");
	FUZZ_CHECK(ct_buffer_error(body) == 0 && ct_buffer_error(events) == 0, "no memory");
}

/* ---- what libmicrohttpd says of it ---- */

struct comparison {
	const struct form *form;
	size_t index, offset; /* the part that it is in, and how far; index 0: before the first */
};

static void compare_part(void *arg, const char *name, const char *filename, const char *data,
    size_t offset, size_t length)
{
	struct comparison *comparison = arg;

	if (offset == 0 && (comparison->index == 0 || comparison->offset > 0 || length == 0 ||
			       comparison->form->parts[comparison->index - 1].data.length == 0)) {
		if (comparison->index > 0)
			FUZZ_CHECK(comparison->offset ==
				       comparison->form->parts[comparison->index - 1].data.length,
			    "part %zu: %zu bytes", comparison->index, comparison->offset);
		comparison->index++;
		comparison->offset = 0;
	}
	FUZZ_CHECK(comparison->index > 0 && comparison->index <= comparison->form->count,
	    "part %zu of %zu", comparison->index, comparison->form->count);
	const struct part *part = &comparison->form->parts[comparison->index - 1];
	FUZZ_CHECK(strcmp(name, part->name) == 0, "%s, not %s", name, part->name);
	FUZZ_CHECK(strcmp(filename != NULL ? filename : "", part->filename) == 0, "%s, not %s",
	    filename != NULL ? filename : "(none)", part->filename);
	FUZZ_CHECK(offset == comparison->offset && offset + length <= part->data.length,
	    "%zu + %zu of %zu", offset, length, part->data.length);
	FUZZ_CHECK(
	    length == 0 || memcmp(part->data.data + offset, data, length) == 0, "other data");
	comparison->offset += length;
}

static void check_oracle(const struct form *form, const struct ct_buffer *body, size_t step)
{
	struct comparison comparison = { .form = form };

	oracle_read(body->data, body->length, step, compare_part, &comparison);
	FUZZ_CHECK(
	    comparison.index == form->count, "%zu parts, not %zu", comparison.index, form->count);
	if (form->count > 0)
		FUZZ_CHECK(comparison.offset == form->parts[form->count - 1].data.length,
		    "the last part has %zu bytes", comparison.offset);
}

static void fuzz_recipe(uint8_t choice, struct fuzz_input *input)
{
	struct form form;
	struct ct_buffer body;
	struct outcome expected = { .error = 0 };

	make_form(input, &form);
	ct_buffer_init(&body, MAX_BYTES);
	ct_buffer_init(&expected.text, MAX_BYTES);
	write_form(&form, &body, &expected.text);
	struct ct_slice bytes = { body.data, body.length };
	check_same(ORACLE_BOUNDARY, bytes, &expected, body.length);
	check_same(ORACLE_BOUNDARY, bytes, &expected, 1);
	check_same(ORACLE_BOUNDARY, bytes, &expected, 0);
	check_oracle(&form, &body, 1 + choice / 2);
	for (size_t i = 0; i < form.count; i++)
		ct_buffer_done(&form.parts[i].data);
	ct_buffer_done(&body);
	ct_buffer_done(&expected.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	uint8_t choice = fuzz_byte(&input);

	if (choice % 2 == 0)
		fuzz_bytes(choice, (struct ct_slice){ (const char *)input.data, input.length });
	else
		fuzz_recipe(choice, &input);
	return 0;
}
