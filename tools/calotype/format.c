#include "format.h"

#include "base/assert.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define MAX_DURATION_S (100 * 3600)
#define NOT_UTF8 UINT32_MAX

void ct_format_bytes(uint64_t bytes, char ret_text[CT_FORMAT_BYTES_CHARS + 1])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;
	int chars;

	/* 1023.95 would be shown as 1024.0. */
	while (value >= 1023.95 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1024;
		unit++;
	}
	if (bytes < 1024)
		chars = snprintf(ret_text, CT_FORMAT_BYTES_CHARS + 1, "%u B", (unsigned)bytes);
	else
		chars =
		    snprintf(ret_text, CT_FORMAT_BYTES_CHARS + 1, "%.1f %s", value, units[unit]);
	CT_ASSERT(chars > 0 && chars <= CT_FORMAT_BYTES_CHARS);
}

void ct_format_duration(uint64_t seconds, char ret_text[CT_FORMAT_DURATION_CHARS + 1])
{
	unsigned s = seconds < MAX_DURATION_S ? (unsigned)seconds : 0;
	int chars;
	if (seconds >= MAX_DURATION_S)
		chars = snprintf(ret_text, CT_FORMAT_DURATION_CHARS + 1, "--:--");
	else if (s >= 3600)
		chars = snprintf(ret_text, CT_FORMAT_DURATION_CHARS + 1, "%u:%02u:%02u", s / 3600,
		    s / 60 % 60, s % 60);
	else
		chars = snprintf(ret_text, CT_FORMAT_DURATION_CHARS + 1, "%u:%02u", s / 60, s % 60);
	CT_ASSERT(chars > 0 && chars <= CT_FORMAT_DURATION_CHARS);
}

/* The power of two of "k", "KiB", ...; -EINVAL. */
static int unit_shift(struct ct_slice unit)
{
	static const char letters[] = "kmgt";
	if (unit.length == 0)
		return 0;
	char letter = unit.data[0];
	if (letter >= 'A' && letter <= 'Z')
		letter = (char)(letter - 'A' + 'a');
	const char *at = letter != '\0' ? strchr(letters, letter) : NULL;
	struct ct_slice rest = { unit.data + 1, unit.length - 1 };
	if (at == NULL || (rest.length > 0 && !ct_slice_equal_ignore_case(rest, "ib")))
		return -EINVAL;
	return 10 * (int)(at - letters + 1);
}

int ct_parse_bytes(const char *text, uint64_t *ret_bytes)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;
	int shift = unit_shift(ct_slice_from_string(text + digits));
	if (digits == 0 || shift < 0)
		return -EINVAL;
	int r = ct_slice_to_u64(
	    (struct ct_slice){ text, digits }, (uint64_t)INT64_MAX >> shift, &number);
	if (r < 0)
		return r;
	*ret_bytes = number << shift;
	return 0;
}

/* How many bytes a UTF-8 character that begins so has; 0: none begins so. */
static size_t character_bytes(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* Cuts one character off; NOT_UTF8 for one byte that belongs to none. */
static uint32_t next_character(struct ct_slice *text)
{
	static const uint8_t masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	size_t length = character_bytes((unsigned char)text->data[0]);
	struct ct_slice piece = { text->data, length };
	uint32_t character = NOT_UTF8;
	CT_ASSERT(text->length > 0);

	if (length > 0 && length <= text->length && ct_slice_is_utf8(piece)) {
		character = (unsigned char)text->data[0] & masks[length];
		for (size_t i = 1; i < length; i++)
			character = character << 6 | ((unsigned char)text->data[i] & 0x3f);
	} else {
		length = 1;
	}
	text->data += length;
	text->length -= length;
	return character;
}

static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || /* C0, DEL, C1 */
	       c == 0x2028 || c == 0x2029 ||	       /* line and paragraph separator */
	       c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || /* directions */
	       c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f);
}

void ct_escape_append(struct ct_buffer *buffer, struct ct_slice text)
{
	while (text.length > 0) {
		const char *at = text.data;
		uint32_t character = next_character(&text);
		if (character == NOT_UTF8 || (is_unsafe(character) && character < 0x80))
			ct_buffer_printf(buffer, "\\x%02x", (unsigned char)at[0]);
		else if (is_unsafe(character))
			ct_buffer_printf(buffer, "\\u{%x}", (unsigned)character);
		else
			ct_buffer_append(buffer, at, (size_t)(text.data - at));
	}
}

static size_t character_columns(uint32_t character)
{
	int columns = character != NOT_UTF8 ? wcwidth((wchar_t)character) : 1;
	return columns >= 0 ? (size_t)columns : 1;
}

size_t ct_text_columns(struct ct_slice text)
{
	size_t columns = 0;
	while (text.length > 0)
		columns += character_columns(next_character(&text));
	return columns;
}

/* As much from the start of `text` as fits; its columns. */
static size_t append_prefix(struct ct_buffer *buffer, struct ct_slice text, size_t columns)
{
	size_t used = 0;
	while (text.length > 0) {
		const char *at = text.data;
		size_t wide = character_columns(next_character(&text));
		if (used + wide > columns)
			break;
		ct_buffer_append(buffer, at, (size_t)(text.data - at));
		used += wide;
	}
	return used;
}

void ct_text_fit(struct ct_buffer *buffer, struct ct_slice text, size_t columns)
{
	bool fits = ct_text_columns(text) <= columns;
	size_t dots = fits ? 0 : columns < 2 ? columns : 2;
	size_t used = append_prefix(buffer, text, columns - dots) + dots;
	ct_buffer_append(buffer, "..", dots);
	for (; used < columns; used++)
		ct_buffer_append(buffer, " ", 1);
}
