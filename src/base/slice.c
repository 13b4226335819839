#include "base/slice.h"

#include <errno.h>
#include <string.h>

struct ct_slice ct_slice_from_string(const char *string)
{
	if (string == NULL)
		return CT_SLICE_ABSENT;
	return (struct ct_slice){ string, strlen(string) };
}

bool ct_slice_equal(struct ct_slice slice, const char *string)
{
	return slice.data != NULL && slice.length == strlen(string) &&
	       memcmp(slice.data, string, slice.length) == 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool ct_slice_equal_ignore_case(struct ct_slice slice, const char *string)
{
	if (slice.data == NULL || slice.length != strlen(string))
		return false;
	for (size_t i = 0; i < slice.length; i++) {
		if (lower(slice.data[i]) != lower(string[i]))
			return false;
	}
	return true;
}

bool ct_slice_starts_with(struct ct_slice slice, const char *prefix)
{
	size_t length = strlen(prefix);
	return slice.data != NULL && slice.length >= length &&
	       memcmp(slice.data, prefix, length) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct ct_slice ct_slice_trim(struct ct_slice slice)
{
	while (slice.length > 0 && is_blank(slice.data[0])) {
		slice.data++;
		slice.length--;
	}
	while (slice.length > 0 && is_blank(slice.data[slice.length - 1]))
		slice.length--;
	return slice;
}

struct ct_slice ct_slice_cut(struct ct_slice *rest, char separator)
{
	struct ct_slice piece = *rest;
	const char *at =
	    piece.length > 0 ? memchr(piece.data, (unsigned char)separator, piece.length) : NULL;
	if (at == NULL) {
		*rest = CT_SLICE_ABSENT;
		return piece;
	}
	piece.length = (size_t)(at - piece.data);
	rest->data = at + 1;
	rest->length -= piece.length + 1;
	return piece;
}

int ct_slice_to_u64(struct ct_slice slice, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool too_large = false;
	if (slice.length == 0)
		return -EINVAL;
	for (size_t i = 0; i < slice.length; i++) {
		if (slice.data[i] < '0' || slice.data[i] > '9')
			return -EINVAL;
		uint64_t digit = (uint64_t)(slice.data[i] - '0');
		if (digit > max || value > (max - digit) / 10)
			too_large = true;
		else
			value = value * 10 + digit;
	}
	if (too_large)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int ct_slice_copy(struct ct_slice slice, char *ret_string, size_t capacity)
{
	if (slice.length >= capacity)
		return -ENAMETOOLONG;
	if (slice.length > 0) {
		if (memchr(slice.data, '\0', slice.length) != NULL)
			return -EINVAL;
		memcpy(ret_string, slice.data, slice.length);
	}
	ret_string[slice.length] = '\0';
	return 0;
}

/* The length of the sequence at `at`, 0 when it is malformed: the table of RFC 3629 section 4. */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
	unsigned char first = at[0];
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t length;

	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		length = 2;
	else if (first >= 0xe0 && first <= 0xef)
		length = 3;
	else if (first >= 0xf0 && first <= 0xf4)
		length = 4;
	else
		return 0;
	if (left < length)
		return 0;

	switch (first) {
	case 0xe0: low = 0xa0; break;  /* overlong */
	case 0xed: high = 0x9f; break; /* surrogates */
	case 0xf0: low = 0x90; break;  /* overlong */
	case 0xf4: high = 0x8f; break; /* above U+10FFFF */
	default: break;
	}
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if (at[i] < 0x80 || at[i] > 0xbf)
			return 0;
	}
	return length;
}

bool ct_slice_is_utf8(struct ct_slice slice)
{
	const unsigned char *bytes = (const unsigned char *)slice.data;
	size_t at = 0;
	while (at < slice.length) {
		size_t length = utf8_sequence(bytes + at, slice.length - at);
		if (length == 0)
			return false;
		at += length;
	}
	return true;
}
