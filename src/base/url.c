#include "base/url.h"

#include "base/assert.h"
#include "base/slice.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool is_plain(struct ct_slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		if (byte <= 0x20 || byte >= 0x7f || strchr("?#@\"<>\\^`{|}", byte) != NULL)
			return false;
	}
	return true;
}

static bool is_name(struct ct_slice host)
{
	for (size_t i = 0; i < host.length; i++)
		if (!isalnum((unsigned char)host.data[i]) && strchr("-._", host.data[i]) == NULL)
			return false;
	return true;
}

static bool is_ipv6(struct ct_slice host)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr parsed;
	return ct_slice_copy(host, address, sizeof(address)) == 0 &&
	       inet_pton(AF_INET6, address, &parsed) == 1;
}

int ct_url_split_authority(struct ct_slice text, struct ct_slice *ret_host, uint64_t *ret_port)
{
	struct ct_slice host = text;
	uint64_t port = UINT64_MAX;
	size_t at = text.length;
	while (at > 0 && isdigit((unsigned char)text.data[at - 1]))
		at--;
	if (at > 0 && at < text.length && text.data[at - 1] == ':') {
		struct ct_slice digits = { text.data + at, text.length - at };
		if (ct_slice_to_u64(digits, UINT16_MAX, &port) < 0)
			return -ERANGE;
		host.length = at - 1;
	}
	bool bracketed =
	    host.length > 2 && host.data[0] == '[' && host.data[host.length - 1] == ']';
	if (bracketed)
		host = (struct ct_slice){ host.data + 1, host.length - 2 };
	if (bracketed ? !is_ipv6(host) : !is_name(host))
		return -EINVAL;
	*ret_host = host;
	*ret_port = port;
	return 0;
}

int ct_url_normalize(const char *text, char *ret_url, size_t capacity)
{
	struct ct_slice url = ct_slice_from_string(text);
	size_t scheme = ct_slice_starts_with(url, "http://")	? strlen("http://")
			: ct_slice_starts_with(url, "https://") ? strlen("https://")
								: 0;
	if (scheme == 0 || !is_plain(url))
		return -EINVAL;
	struct ct_slice rest = { url.data + scheme, url.length - scheme };
	struct ct_slice host;
	uint64_t port;
	if (ct_url_split_authority(ct_slice_cut(&rest, '/'), &host, &port) < 0 ||
	    host.length == 0 || port == 0)
		return -EINVAL;
	while (url.data[url.length - 1] == '/')
		url.length--;
	return ct_slice_copy(url, ret_url, capacity);
}

bool ct_url_is_origin(struct ct_slice text)
{
	char origin[CT_URL_MAX];
	char normal[CT_URL_MAX];
	if (text.data == NULL || ct_slice_copy(text, origin, sizeof(origin)) < 0 ||
	    ct_url_normalize(origin, normal, sizeof(normal)) < 0)
		return false;
	return strcmp(origin, normal) == 0 && strchr(strstr(origin, "://") + 3, '/') == NULL;
}

int ct_url_under(char *ret_url, size_t capacity, const char *base, const char *format, ...)
{
	size_t length = base != NULL ? strlen(base) : 0;
	va_list arguments;
	while (length > 0 && base[length - 1] == '/')
		length--;
	if (length >= capacity)
		return -ENAMETOOLONG;
	if (length > 0)
		memcpy(ret_url, base, length);
	va_start(arguments, format);
	int count = vsnprintf(ret_url + length, capacity - length, format, arguments);
	va_end(arguments);
	CT_ASSERT(count > 0);
	return (size_t)count < capacity - length ? 0 : -ENAMETOOLONG;
}
