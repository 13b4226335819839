#include "base/url.h"

#include "base/slice.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
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

static bool is_host(struct ct_slice host)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr parsed;
	if (host.length > 2 && host.data[0] == '[' && host.data[host.length - 1] == ']') {
		struct ct_slice inside = { host.data + 1, host.length - 2 };
		return ct_slice_copy(inside, address, sizeof(address)) == 0 &&
		       inet_pton(AF_INET6, address, &parsed) == 1;
	}
	for (size_t i = 0; i < host.length; i++)
		if (!isalnum((unsigned char)host.data[i]) && strchr("-._", host.data[i]) == NULL)
			return false;
	return host.length > 0;
}

static bool is_authority(struct ct_slice authority)
{
	uint64_t port = 0;
	size_t length = authority.length;
	while (length > 0 && isdigit((unsigned char)authority.data[length - 1]))
		length--;
	if (length == 0 || authority.data[length - 1] != ':' || length == authority.length)
		return is_host(authority);
	struct ct_slice digits = { authority.data + length, authority.length - length };
	if (ct_slice_to_u64(digits, UINT16_MAX, &port) < 0 || port == 0)
		return false;
	authority.length = length - 1;
	return is_host(authority);
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
	if (!is_authority(ct_slice_cut(&rest, '/')))
		return -EINVAL;
	while (url.data[url.length - 1] == '/')
		url.length--;
	return ct_slice_copy(url, ret_url, capacity);
}
