#include "uploads/filename.h"

#include "base/assert.h"
#include "base/text.h"
#include "uploads/parameters.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

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

#define MAX_TEXT (4 * CT_FILENAME_MAX) /* escapes and folders, which cleaning takes off */

struct names {
	bool is_plain, is_extended; /* which were there */
	char text[MAX_TEXT];	    /* of the better one */
};

static int take_parameter(
    const struct ct_parameter *parameter, enum ct_quoting quoting, struct names *names)
{
	bool is_extended = ct_slice_equal_ignore_case(parameter->name, "filename*");
	bool *is_there = is_extended ? &names->is_extended : &names->is_plain;

	if (!is_extended && !ct_slice_equal_ignore_case(parameter->name, "filename"))
		return 0;
	if (parameter->value.data == NULL || *is_there)
		return -EINVAL;
	*is_there = true;
	if (is_extended)
		return decode_extended(parameter->value, names->text, sizeof(names->text));
	return names->is_extended
		   ? 0
		   : ct_parameter_text(parameter, quoting, names->text, sizeof(names->text));
}

static int take_all(
    struct ct_parameters *parameters, enum ct_quoting quoting, struct names *ret_names)
{
	struct ct_parameter parameter;
	int r;

	*ret_names = (struct names){ 0 };
	while ((r = ct_parameters_next(parameters, &parameter)) > 0) {
		r = take_parameter(&parameter, quoting, ret_names);
		if (r < 0)
			return r;
	}
	return r;
}

int ct_filename_from_disposition(struct ct_slice header, char ret_name[CT_FILENAME_MAX + 1])
{
	struct ct_parameters parameters;
	struct names names;

	/* inline, attachment: all the same here */
	ct_parameters_begin(&parameters, header);
	int r = take_all(&parameters, CT_QUOTING_HTTP, &names);
	return r < 0 ? r : ct_filename_clean(ct_slice_from_string(names.text), ret_name);
}

int ct_filename_from_form(
    struct ct_slice disposition, char ret_name[CT_FILENAME_MAX + 1], bool *ret_is_file)
{
	struct ct_parameters parameters;
	struct names names;

	ct_parameters_begin(&parameters, disposition);
	if (!ct_slice_equal_ignore_case(parameters.kind, "form-data"))
		return -EINVAL;
	int r = take_all(&parameters, CT_QUOTING_FORM, &names);
	if (r == 0)
		r = ct_filename_clean(ct_slice_from_string(names.text), ret_name);
	if (r == 0)
		*ret_is_file = names.is_plain || names.is_extended;
	return r;
}
