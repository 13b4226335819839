#include "uploads/parameters.h"

#include "base/assert.h"

#include <errno.h>
#include <string.h>

static struct ct_slice skip(struct ct_slice text, size_t bytes)
{
	return (struct ct_slice){ text.data + bytes, text.length - bytes };
}

static struct ct_slice skip_blanks(struct ct_slice text)
{
	size_t blanks = 0;

	while (blanks < text.length && (text.data[blanks] == ' ' || text.data[blanks] == '\t'))
		blanks++;
	return skip(text, blanks);
}

void ct_parameters_begin(struct ct_parameters *parameters, struct ct_slice value)
{
	size_t length = 0;

	while (length < value.length && value.data[length] != ';')
		length++;
	parameters->kind = ct_slice_trim((struct ct_slice){ value.data, length });
	parameters->rest = value.data != NULL ? skip(value, length) : value;
	parameters->count = 0;
}

/*
 * `text` begins behind the opening quote. Browsers don't escape a backslash: a name that ends in
 * one seems to escape the closing quote, which is then the last byte of all.
 */
static int cut_quoted(struct ct_slice *text, struct ct_slice *ret_value)
{
	size_t at = 0;

	while (at < text->length && text->data[at] != '"')
		at += text->data[at] == '\\' ? 2 : 1;
	if (at >= text->length && text->length >= 2 && text->data[text->length - 1] == '"')
		at = text->length - 1;
	if (at >= text->length)
		return -EINVAL;
	*ret_value = (struct ct_slice){ text->data, at };
	*text = skip_blanks(skip(*text, at + 1));
	return text->length > 0 && text->data[0] != ';' ? -EINVAL : 0;
}

static struct ct_slice cut_bare(struct ct_slice *text)
{
	size_t length = 0;

	while (length < text->length && text->data[length] != ';')
		length++;
	struct ct_slice value = ct_slice_trim((struct ct_slice){ text->data, length });
	*text = skip(*text, length);
	return value;
}

static int cut_value(struct ct_slice *text, struct ct_parameter *parameter)
{
	parameter->is_quoted = text->length > 0 && text->data[0] == '"';
	if (!parameter->is_quoted) {
		parameter->value = cut_bare(text);
		return 0;
	}
	*text = skip(*text, 1);
	return cut_quoted(text, &parameter->value);
}

int ct_parameters_next(struct ct_parameters *parameters, struct ct_parameter *ret_parameter)
{
	struct ct_slice text = parameters->rest;
	struct ct_parameter parameter = { 0 };
	size_t length = 0;

	while (
	    text.length > 0 && (text.data[0] == ';' || text.data[0] == ' ' || text.data[0] == '\t'))
		text = skip(text, 1);
	if (text.length == 0)
		return 0;
	if (parameters->count++ == CT_PARAMETERS_MAX)
		return -EINVAL;
	while (length < text.length && text.data[length] != '=' && text.data[length] != ';')
		length++;
	parameter.name = ct_slice_trim((struct ct_slice){ text.data, length });
	text = skip(text, length);
	if (text.length > 0 && text.data[0] == '=') {
		text = skip_blanks(skip(text, 1));
		int r = cut_value(&text, &parameter);
		if (r < 0)
			return r;
	}
	parameters->rest = text;
	*ret_parameter = parameter;
	return 1;
}

/* The byte that a browser's escape at `text` stands for; 0: it is none. */
static char form_escape(const char *text, size_t length)
{
	if (length < 3 || text[0] != '%')
		return '\0';
	if (text[1] == '2' && text[2] == '2')
		return '"';
	if (text[1] != '0')
		return '\0';
	if (text[2] == 'D' || text[2] == 'd')
		return '\r';
	return text[2] == 'A' || text[2] == 'a' ? '\n' : '\0';
}

/* The next byte of a quoted value, and how many bytes it took. */
static char next_byte(struct ct_slice value, size_t at, enum ct_quoting quoting, size_t *ret_taken)
{
	const char *text = value.data + at;
	size_t length = value.length - at;
	char escaped = quoting == CT_QUOTING_FORM ? form_escape(text, length) : '\0';
	bool pair = text[0] == '\\' && length >= 2;

	if (quoting == CT_QUOTING_FORM)
		pair = pair && (text[1] == '"' || text[1] == '\\');
	*ret_taken = escaped != '\0' ? 3 : pair ? 2 : 1;
	return escaped != '\0' ? escaped : pair ? text[1] : text[0];
}

int ct_parameter_text(
    const struct ct_parameter *parameter, enum ct_quoting quoting, char *ret_text, size_t capacity)
{
	struct ct_slice value = parameter->value;
	size_t length = 0;

	CT_ASSERT(value.data != NULL);
	if (!parameter->is_quoted)
		return ct_slice_copy(value, ret_text, capacity);
	for (size_t at = 0, taken; at < value.length; at += taken) {
		char byte = next_byte(value, at, quoting, &taken);
		if (byte == '\0')
			return -EINVAL;
		if (length + 1 >= capacity)
			return -ENAMETOOLONG;
		ret_text[length++] = byte;
	}
	ret_text[length] = '\0';
	return 0;
}
