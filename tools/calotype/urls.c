#include "urls.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_absolute(const char *text)
{
	struct ct_slice slice = ct_slice_from_string(text);
	return ct_slice_starts_with(slice, "http://") || ct_slice_starts_with(slice, "https://");
}

/* "/photos" of "http://host/photos"; "" when there is none. */
static const char *path_of(const char *base)
{
	const char *host = strstr(base, "://");
	const char *path = host != NULL ? strchr(host + strlen("://"), '/') : NULL;
	return path != NULL ? path : "";
}

static int print_url(
    const char *base, size_t base_length, const char *reference, char *ret_url, size_t capacity)
{
	const char *slash = reference[0] == '/' ? "" : "/";
	int chars =
	    snprintf(ret_url, capacity, "%.*s%s%s", (int)base_length, base, slash, reference);
	return chars < 0 || (size_t)chars >= capacity ? -ENAMETOOLONG : 0;
}

/*
 * A proxy in front of the server may hide a prefix from it, so a path goes behind all of `base`,
 * unless it has the prefix already.
 */
int ct_url_join(const char *base, const char *reference, char *ret_url, size_t capacity)
{
	const char *prefix = path_of(base);
	size_t length = strlen(prefix);
	if (is_absolute(reference))
		return ct_slice_copy(ct_slice_from_string(reference), ret_url, capacity);
	bool has_prefix =
	    length > 0 && strncmp(reference, prefix, length) == 0 && reference[length] == '/';
	return print_url(
	    base, strlen(base) - (has_prefix ? length : 0), reference, ret_url, capacity);
}

int ct_url_last_id(struct ct_slice reference, const char *folder, char ret_id[CT_ID_CHARS + 1])
{
	size_t folder_length = strlen(folder);
	size_t tail = 1 + folder_length + 1 + CT_ID_CHARS;
	if (reference.data == NULL || reference.length < tail)
		return -EINVAL;
	const char *at = reference.data + reference.length - tail;
	struct ct_slice id = { at + tail - CT_ID_CHARS, CT_ID_CHARS };
	if (at[0] != '/' || memcmp(at + 1, folder, folder_length) != 0 ||
	    at[1 + folder_length] != '/' || !ct_id_is_valid(id))
		return -EINVAL;
	return ct_slice_copy(id, ret_id, CT_ID_CHARS + 1);
}

/* Cuts the parameters of one link off: up to the comma that begins the next. */
static struct ct_slice cut_parameters(struct ct_slice *rest)
{
	bool quoted = false;
	size_t length = 0;
	while (length < rest->length && (quoted || rest->data[length] != ',')) {
		if (rest->data[length] == '"')
			quoted = !quoted;
		length++;
	}
	struct ct_slice parameters = { rest->data, length };
	size_t comma = length < rest->length ? 1 : 0;
	*rest = (struct ct_slice){ rest->data + length + comma, rest->length - length - comma };
	return parameters;
}

static bool has_relation(struct ct_slice parameters, const char *relation)
{
	while (parameters.data != NULL) {
		struct ct_slice value = ct_slice_trim(ct_slice_cut(&parameters, ';'));
		struct ct_slice name = ct_slice_trim(ct_slice_cut(&value, '='));
		value = ct_slice_trim(value);
		if (value.length >= 2 && value.data[0] == '"') {
			value.data++;
			value.length -= 2;
		}
		if (ct_slice_equal_ignore_case(name, "rel") &&
		    ct_slice_equal_ignore_case(value, relation))
			return true;
	}
	return false;
}

struct ct_slice ct_link_find(struct ct_slice field, const char *relation)
{
	while (field.data != NULL && field.length > 0) {
		(void)ct_slice_cut(&field, '<'); /* blanks before it */
		if (field.data == NULL)
			break;
		struct ct_slice target = ct_slice_cut(&field, '>');
		if (field.data == NULL)
			break;
		if (has_relation(cut_parameters(&field), relation))
			return target;
	}
	return CT_SLICE_ABSENT;
}
