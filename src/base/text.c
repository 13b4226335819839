#include "base/text.h"
#include "base/assert.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ct_hex_encode(const void *data, size_t length, char *ret_hex)
{
	const unsigned char *bytes = data;
	for (size_t i = 0; i < length; i++) {
		ret_hex[2 * i] = hex_digits[bytes[i] >> 4];
		ret_hex[2 * i + 1] = hex_digits[bytes[i] & 15];
	}
	ret_hex[2 * length] = '\0';
}

/* -1: not a lower-case hex digit. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool is_hex(struct ct_slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		if (hex_value(text.data[i]) < 0)
			return false;
	}
	return true;
}

int ct_hex_decode(struct ct_slice hex, void *ret_data, size_t length)
{
	unsigned char *bytes = ret_data;
	if (hex.length % 2 != 0 || hex.length / 2 != length || !is_hex(hex))
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		int high = hex_value(hex.data[2 * i]);
		int low = hex_value(hex.data[2 * i + 1]);
		bytes[i] = (unsigned char)(high << 4 | low);
	}
	return 0;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/*
 * Bits that are not zero behind the last byte are let through: RFC 8941 section 4.2.7 asks
 * readers of byte sequences not to fail on them.
 */
int ct_base64_decode(struct ct_slice text, void *ret_data, size_t capacity, size_t *ret_length)
{
	unsigned char *bytes = ret_data;
	size_t padding = 0;
	if (text.length % 4 != 0)
		return -EINVAL;
	while (padding < 2 && padding < text.length && text.data[text.length - 1 - padding] == '=')
		padding++;
	size_t digits = text.length - padding;
	for (size_t i = 0; i < digits; i++) {
		if (base64_value(text.data[i]) < 0)
			return -EINVAL;
	}
	size_t length = text.length / 4 * 3 - padding;
	if (length > capacity)
		return -ENAMETOOLONG;

	uint32_t bits = 0;
	size_t written = 0;
	for (size_t i = 0; i < digits; i++) {
		bits = bits << 6 | (uint32_t)base64_value(text.data[i]);
		/* A group's first digit completes no byte, each of the other three does. */
		if (i % 4 != 0)
			bytes[written++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
	}
	CT_ASSERT(written == length);
	*ret_length = length;
	return 0;
}

void ct_base64_encode(const void *data, size_t length, char *ret_text)
{
	const unsigned char *bytes = data;
	char *out = ret_text;
	for (size_t i = 0; i < length; i += 3) {
		size_t left = length - i;
		uint32_t bits = (uint32_t)bytes[i] << 16;
		if (left > 1)
			bits |= (uint32_t)bytes[i + 1] << 8;
		if (left > 2)
			bits |= bytes[i + 2];
		*out++ = base64_digits[bits >> 18];
		*out++ = base64_digits[bits >> 12 & 63];
		*out++ = left > 1 ? base64_digits[bits >> 6 & 63] : '=';
		*out++ = left > 2 ? base64_digits[bits & 63] : '=';
	}
	*out = '\0';
}

/* Percent escapes may be of either case (RFC 3986 section 2.1). */
static int hex_value_any_case(char c)
{
	return hex_value(c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c);
}

/* The byte at `*at`, undone, and moves behind it; -EINVAL. */
static int percent_next(struct ct_slice text, enum ct_percent_mode mode, size_t *at)
{
	char c = text.data[(*at)++];
	if (c == '+' && mode == CT_PERCENT_QUERY)
		return ' ';
	if (c == '\0')
		return -EINVAL;
	if (c != '%')
		return (unsigned char)c;
	if (text.length - *at < 2)
		return -EINVAL;
	int high = hex_value_any_case(text.data[*at]);
	int low = hex_value_any_case(text.data[*at + 1]);
	*at += 2;
	if (high < 0 || low < 0 || (high == 0 && low == 0))
		return -EINVAL;
	return high << 4 | low;
}

int ct_percent_decode(struct ct_slice text, enum ct_percent_mode mode, char *ret_text,
    size_t capacity, size_t *ret_length)
{
	size_t length = 0;
	size_t at = 0;
	if (capacity == 0)
		return -ENAMETOOLONG;
	while (at < text.length) {
		int byte = percent_next(text, mode, &at);
		if (byte < 0)
			return byte;
		if (length + 1 >= capacity)
			return -ENAMETOOLONG;
		ret_text[length++] = (char)byte;
	}
	if (!ct_slice_is_utf8((struct ct_slice){ ret_text, length }))
		return -EINVAL;
	ret_text[length] = '\0';
	*ret_length = length;
	return 0;
}

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

int ct_percent_encode(struct ct_slice text, char *ret_text, size_t capacity)
{
	size_t length = 0;
	for (size_t i = 0; i < text.length; i++)
		length += is_unreserved(text.data[i]) ? 1 : 3;
	if (length >= capacity)
		return -ENAMETOOLONG;

	char *out = ret_text;
	for (size_t i = 0; i < text.length; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		if (is_unreserved(text.data[i])) {
			*out++ = text.data[i];
			continue;
		}
		*out++ = '%';
		*out++ = "0123456789ABCDEF"[byte >> 4];
		*out++ = "0123456789ABCDEF"[byte & 15];
	}
	*out = '\0';
	return 0;
}

int ct_id_generate(char ret_id[CT_ID_CHARS + 1])
{
	unsigned char bytes[CT_ID_CHARS / 2];
	int r = ct_random_bytes(bytes, sizeof(bytes));
	if (r < 0)
		return r;
	ct_hex_encode(bytes, sizeof(bytes), ret_id);
	return 0;
}

bool ct_id_is_valid(struct ct_slice text)
{
	return text.length == CT_ID_CHARS && is_hex(text);
}

int ct_random_bytes(void *ret_data, size_t length)
{
	unsigned char *bytes = ret_data;
	while (length > 0) {
		ssize_t got = getrandom(bytes, length, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		bytes += got;
		length -= (size_t)got;
	}
	return 0;
}
