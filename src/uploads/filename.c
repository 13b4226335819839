#include "uploads/filename.h"

#include "base/assert.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MAX_PARAMETERS 16

/* Decodes one character of what is known to be UTF-8. */
static uint32_t next_character(struct ct_slice text, size_t at, size_t *ret_bytes)
{
	const unsigned char *p = (const unsigned char *)text.data + at;
	size_t bytes = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t character = bytes == 1 ? p[0] : p[0] & (0x7fu >> bytes);

	CT_ASSERT(at + bytes <= text.length);
	for (size_t i = 1; i < bytes; i++)
		character = character << 6 | (p[i] & 0x3fu);
	*ret_bytes = bytes;
	return character;
}

static bool is_unwanted(uint32_t c)
{
	bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
	bool separator = c == 0x2028 || c == 0x2029 || c == 0xfeff;
	bool direction = c == 0x200e || c == 0x200f || c == 0x061c ||
			 (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);

	return control || separator || direction;
}

static struct ct_slice last_component(struct ct_slice name)
{
	size_t start = name.length;

	while (start > 0 && name.data[start - 1] != '/' && name.data[start - 1] != '\\')
		start--;
	return (struct ct_slice){ name.data + start, name.length - start };
}

static struct ct_slice trim_blanks(struct ct_slice text)
{
	while (text.length > 0 && text.data[0] == ' ') {
		text.data++;
		text.length--;
	}
	while (text.length > 0 && text.data[text.length - 1] == ' ')
		text.length--;
	return text;
}

int ct_filename_clean(struct ct_slice name, char ret_name[CT_FILENAME_MAX + 1])
{
	char kept[CT_FILENAME_MAX + 1];
	size_t length = 0;

	ret_name[0] = '\0';
	if (name.length == 0)
		return 0;
	if (!ct_slice_is_utf8(name))
		return -EINVAL;
	name = last_component(name);
	for (size_t at = 0, bytes; at < name.length; at += bytes) {
		if (is_unwanted(next_character(name, at, &bytes)))
			continue;
		if (length + bytes > CT_FILENAME_MAX)
			return -ENAMETOOLONG;
		memcpy(kept + length, name.data + at, bytes);
		length += bytes;
	}
	struct ct_slice clean = trim_blanks((struct ct_slice){ kept, length });
	if (ct_slice_equal(clean, ".") || ct_slice_equal(clean, ".."))
		return 0;
	memcpy(ret_name, clean.data, clean.length);
	ret_name[clean.length] = '\0';
	return 0;
}

/* ---- Content-Disposition ---- */

/* Cuts the piece before the next ';' that is outside of quotes. */
static struct ct_slice cut_parameter(struct ct_slice *rest)
{
	struct ct_slice piece = *rest;
	bool quoted = false;

	for (size_t i = 0; i < rest->length; i++) {
		char c = rest->data[i];
		if (quoted && c == '\\') {
			i++;
		} else if (c == '"') {
			quoted = !quoted;
		} else if (c == ';' && !quoted) {
			piece.length = i;
			rest->data += i + 1;
			rest->length -= i + 1;
			return piece;
		}
	}
	*rest = CT_SLICE_ABSENT;
	return piece;
}

/* quoted-string of RFC 9110 section 5.6.4, or a bare token. */
static int unquote(struct ct_slice value, char *ret_text, size_t capacity)
{
	size_t length = 0;

	if (value.length == 0 || value.data[0] != '"')
		return ct_slice_copy(value, ret_text, capacity);
	if (value.length < 2 || value.data[value.length - 1] != '"')
		return -EINVAL;
	for (size_t i = 1; i + 1 < value.length; i++) {
		char c = value.data[i];
		if (c == '\\' && i + 2 < value.length)
			c = value.data[++i];
		if (c == '\0')
			return -EINVAL;
		if (length + 1 >= capacity)
			return -ENAMETOOLONG;
		ret_text[length++] = c;
	}
	ret_text[length] = '\0';
	return 0;
}

/* RFC 8187 section 3.2: charset ' language ' percent-encoded. */
static int decode_extended(struct ct_slice value, char *ret_text, size_t capacity)
{
	size_t length;
	struct ct_slice rest = value;
	struct ct_slice charset = ct_slice_cut(&rest, '\'');

	if (rest.data == NULL || !ct_slice_equal_ignore_case(charset, "utf-8"))
		return -EINVAL;
	(void)ct_slice_cut(&rest, '\''); /* the language, which says nothing here */
	if (rest.data == NULL)
		return -EINVAL;
	return ct_percent_decode(rest, CT_PERCENT_PATH, ret_text, capacity, &length);
}

int ct_filename_from_disposition(struct ct_slice header, char ret_name[CT_FILENAME_MAX + 1])
{
	char text[4 * CT_FILENAME_MAX] = "";
	struct ct_slice rest = header;
	bool extended = false;

	(void)cut_parameter(&rest); /* inline, attachment, form-data: all the same here */
	for (int count = 0; rest.data != NULL; count++) {
		if (count == MAX_PARAMETERS)
			return -EINVAL;
		struct ct_slice value = cut_parameter(&rest);
		struct ct_slice name = ct_slice_trim(ct_slice_cut(&value, '='));
		int r = 0;

		value = ct_slice_trim(value);
		if (value.data == NULL)
			continue;
		if (ct_slice_equal_ignore_case(name, "filename*")) {
			r = decode_extended(value, text, sizeof(text));
			extended = true;
		} else if (ct_slice_equal_ignore_case(name, "filename") && !extended) {
			r = unquote(value, text, sizeof(text));
		}
		if (r < 0)
			return r;
	}
	return ct_filename_clean(ct_slice_from_string(text), ret_name);
}
