/*
 * The algorithms of RFC 9651 section 4.1: one way to write each value.
 */
#include "base/structured.h"
#include "base/assert.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define DECIMAL_MAX 999999999999999 /* thousandths: 12 digits before the point */

static void fail(struct ct_structured_writer *writer)
{
	writer->error = -EINVAL;
}

int ct_structured_writer_error(const struct ct_structured_writer *writer)
{
	return writer->error < 0 ? writer->error : ct_buffer_error(writer->buffer);
}

static void put(struct ct_structured_writer *writer, const char *text)
{
	ct_buffer_append_string(writer->buffer, text);
}

static void put_key(struct ct_structured_writer *writer, const char *key)
{
	CT_ASSERT(!writer->is_keyed);
	if (!ct_structured_is_key(ct_slice_from_string(key)))
		fail(writer);
	put(writer, key);
	writer->is_keyed = true;
}

void ct_structured_write_member(struct ct_structured_writer *writer, const char *key)
{
	if (writer->is_inside) {
		CT_ASSERT(key == NULL);
		put(writer, writer->is_first ? "" : " ");
		writer->is_first = false;
		return;
	}
	put(writer, writer->has_member ? ", " : "");
	writer->has_member = true;
	if (key != NULL)
		put_key(writer, key);
}

void ct_structured_write_parameter(struct ct_structured_writer *writer, const char *key)
{
	put(writer, ";");
	put_key(writer, key);
}

/* What stands between a key and its value. */
static void put_equals(struct ct_structured_writer *writer)
{
	put(writer, writer->is_keyed ? "=" : "");
	writer->is_keyed = false;
}

void ct_structured_write_inner_begin(struct ct_structured_writer *writer)
{
	CT_ASSERT(!writer->is_inside);
	put_equals(writer);
	put(writer, "(");
	writer->is_inside = writer->is_first = true;
}

void ct_structured_write_inner_end(struct ct_structured_writer *writer)
{
	CT_ASSERT(writer->is_inside);
	put(writer, ")");
	writer->is_inside = false;
}

static void put_integer(struct ct_structured_writer *writer, const char *before, int64_t number)
{
	put_equals(writer);
	if (number < -CT_STRUCTURED_INTEGER_MAX || number > CT_STRUCTURED_INTEGER_MAX)
		fail(writer);
	ct_buffer_printf(writer->buffer, "%s%" PRId64, before, number);
}

void ct_structured_write_integer(struct ct_structured_writer *writer, int64_t number)
{
	put_integer(writer, "", number);
}

void ct_structured_write_date(struct ct_structured_writer *writer, int64_t seconds)
{
	put_integer(writer, "@", seconds);
}

void ct_structured_write_decimal(struct ct_structured_writer *writer, int64_t thousandths)
{
	put_equals(writer);
	if (thousandths < -DECIMAL_MAX || thousandths > DECIMAL_MAX) {
		fail(writer);
		return;
	}
	int64_t size = thousandths < 0 ? -thousandths : thousandths;
	int fraction = (int)(size % 1000);
	int digits = fraction % 100 == 0 ? 1 : fraction % 10 == 0 ? 2 : 3;
	for (int i = digits; i < 3; i++)
		fraction /= 10;
	ct_buffer_printf(writer->buffer, "%s%" PRId64 ".%0*d", thousandths < 0 ? "-" : "",
	    size / 1000, digits, fraction);
}

void ct_structured_write_string(struct ct_structured_writer *writer, struct ct_slice text)
{
	put_equals(writer);
	put(writer, "\"");
	for (size_t i = 0; i < text.length; i++) {
		char byte = text.data[i];

		if (byte < ' ' || byte > '~')
			fail(writer);
		if (byte == '"' || byte == '\\')
			put(writer, "\\");
		ct_buffer_append(writer->buffer, &byte, 1);
	}
	put(writer, "\"");
}

void ct_structured_write_token(struct ct_structured_writer *writer, struct ct_slice text)
{
	put_equals(writer);
	if (!ct_structured_is_token(text))
		fail(writer);
	ct_buffer_append(writer->buffer, text.data, text.length);
}

void ct_structured_write_bytes(struct ct_structured_writer *writer, const void *data, size_t length)
{
	const uint8_t *from = data;
	char text[4 * 16 + 1];

	put_equals(writer);
	put(writer, ":");
	/* Whole groups of three, so that only the last piece has padding. */
	for (size_t done = 0, piece; done < length; done += piece) {
		piece = length - done < 48 ? length - done : 48;
		ct_base64_encode(from + done, piece, text);
		put(writer, text);
	}
	put(writer, ":");
}

void ct_structured_write_boolean(struct ct_structured_writer *writer, bool value)
{
	/* A key alone is true. */
	if (value && writer->is_keyed) {
		writer->is_keyed = false;
		return;
	}
	put_equals(writer);
	put(writer, value ? "?1" : "?0");
}

void ct_structured_write_display(struct ct_structured_writer *writer, struct ct_slice text)
{
	put_equals(writer);
	if (!ct_slice_is_utf8(text))
		fail(writer);
	put(writer, "%\"");
	for (size_t i = 0; i < text.length; i++) {
		unsigned char byte = (unsigned char)text.data[i];

		if (byte < ' ' || byte > '~' || byte == '"' || byte == '%')
			ct_buffer_printf(writer->buffer, "%%%02x", byte);
		else
			ct_buffer_append(writer->buffer, &text.data[i], 1);
	}
	put(writer, "\"");
}
