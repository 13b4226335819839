#include "http/host_priv.h"
#include "base/networks.h"
#include "base/url.h"
#include "http/request_priv.h"
#include "http/router_priv.h"

#include <string.h>
#include <strings.h>

static const char localhost[] = "localhost";

static bool is_localhost(struct ct_slice host)
{
	size_t length = strlen(localhost);
	if (host.length > 0 && host.data[host.length - 1] == '.')
		host.length--;
	if (host.length < length)
		return false;
	size_t before = host.length - length;
	return strncasecmp(host.data + before, localhost, length) == 0 &&
	       (before == 0 || host.data[before - 1] == '.');
}

static bool is_loopback(struct ct_slice host)
{
	uint8_t address[CT_ADDRESS_BYTES];
	return ct_address_parse(host, address) == 0 && ct_address_is_loopback(address);
}

/* Both without port and brackets. */
static bool is_host_of(const char *url, struct ct_slice host)
{
	struct ct_slice rest = ct_slice_from_string(url);
	struct ct_slice own;
	uint64_t port;
	(void)ct_slice_cut(&rest, '/'); /* "https:", "", then the authority */
	(void)ct_slice_cut(&rest, '/');
	if (rest.data == NULL || ct_url_split_authority(ct_slice_cut(&rest, '/'), &own, &port) < 0)
		return false;
	return own.length == host.length && strncasecmp(own.data, host.data, own.length) == 0;
}

bool ct_http_host_is_ours(struct ct_slice authority, const char *public_url)
{
	struct ct_slice host;
	uint64_t port;
	if (ct_url_split_authority(authority, &host, &port) < 0 || host.length == 0)
		return false;
	return is_localhost(host) || is_loopback(host) ||
	       (public_url != NULL && is_host_of(public_url, host));
}

struct ct_slice ct_http_host_of(const struct ct_http_request *request)
{
	struct ct_slice authority = ct_http_router_authority(request);
	return authority.data != NULL ? authority : ct_http_header(request, "Host");
}
