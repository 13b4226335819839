/*
 * The chain is read from its end: that was written by the proxy that has connected to us. As long
 * as an address in it is trusted, the one before it counts. What a client has sent itself stands
 * before all that and is never reached.
 *
 * A proxy writes either X-Forwarded-For or Forwarded, and may let the other one through as the
 * client has sent it. Which is which cannot be told, so both at once are refused.
 */
#include "http/forwarded_priv.h"
#include "http/response.h"
#include "http/server_priv.h"

#include <string.h>

struct ct_slice ct_http_forwarded_cut_last(struct ct_slice *rest)
{
	struct ct_slice all = *rest;
	size_t comma = SIZE_MAX;
	bool quoted = false;
	for (size_t i = 0; i < all.length; i++) {
		if (quoted && all.data[i] == '\\')
			i++;
		else if (all.data[i] == '"')
			quoted = !quoted;
		else if (all.data[i] == ',' && !quoted)
			comma = i;
	}
	if (comma == SIZE_MAX) {
		*rest = CT_SLICE_ABSENT;
		return ct_slice_trim(all);
	}
	*rest = (struct ct_slice){ all.data, comma };
	return ct_slice_trim((struct ct_slice){ all.data + comma + 1, all.length - comma - 1 });
}

struct ct_slice ct_http_forwarded_parameter(struct ct_slice element, const char *name)
{
	while (element.data != NULL) {
		/* No value that we ask for may hold a semicolon, also not in quotes. */
		struct ct_slice value = ct_slice_trim(ct_slice_cut(&element, ';'));
		struct ct_slice key = ct_slice_cut(&value, '=');
		if (!ct_slice_equal_ignore_case(key, name) || value.data == NULL)
			continue;
		if (value.length >= 2 && value.data[0] == '"' &&
		    value.data[value.length - 1] == '"')
			return (struct ct_slice){ value.data + 1, value.length - 2 };
		return value;
	}
	return CT_SLICE_ABSENT;
}

struct ct_slice ct_http_forwarded_node(struct ct_slice text)
{
	uint8_t address[CT_ADDRESS_BYTES];
	if (text.data == NULL || ct_address_parse(text, address) == 0)
		return text;
	if (text.length > 0 && text.data[0] == '[') {
		text.data++;
		text.length--;
		text = ct_slice_cut(&text, ']');
	} else if (memchr(text.data, '.', text.length) != NULL) {
		text = ct_slice_cut(&text, ':');
	}
	return ct_address_parse(text, address) == 0 ? text : CT_SLICE_ABSENT;
}

/* One step away from us. False: who that is cannot be told. */
static bool step(struct ct_http_request *request, struct ct_slice node)
{
	struct ct_http_server *server = request->connection->server;
	struct ct_slice address = ct_http_forwarded_node(node);
	if (address.data != NULL) {
		ct_http_peer_parse(&request->client, address, server->trusted_proxies);
		return true;
	}
	/* Not this machine, and nothing to count. */
	request->client = (struct ct_http_peer){ .is_nobody = true, .text = "unknown" };
	return false;
}

static bool is_https(struct ct_slice text)
{
	return ct_slice_equal_ignore_case(text, "https");
}

/* Where several proxies have written, TLS must have been spoken to each. */
static bool are_all_https(struct ct_slice list)
{
	if (list.data == NULL)
		return false;
	while (list.data != NULL)
		if (!is_https(ct_slice_trim(ct_slice_cut(&list, ','))))
			return false;
	return true;
}

static bool step_standard(struct ct_http_request *request, struct ct_slice element)
{
	request->is_tls = is_https(ct_http_forwarded_parameter(element, "proto"));
	return step(request, ct_http_forwarded_parameter(element, "for"));
}

static void follow(struct ct_http_request *request, struct ct_slice list,
    bool (*step_once)(struct ct_http_request *request, struct ct_slice element))
{
	bool goes_on = true;
	while (goes_on && request->client.is_trusted && list.data != NULL)
		goes_on = step_once(request, ct_http_forwarded_cut_last(&list));
}

static struct ct_http_response *refuse_count(const struct ct_http_request *request)
{
	unsigned most = request->connection->server->options.max_per_address;
	struct ct_http_response *refusal = ct_http_problem(request, CT_ERROR_TOO_MANY_REQUESTS,
	    "one address may hold %u connections and requests through proxies at a time", most);
	ct_http_problem_limit(refusal, most, (uint64_t)most + 1);
	return refusal;
}

struct ct_http_response *ct_http_forwarded_check(struct ct_http_request *request)
{
	struct ct_http_connection *connection = request->connection;
	struct ct_http_server *server = connection->server;
	request->client = connection->peer;
	request->is_tls = false;
	if (!connection->peer.is_trusted)
		return NULL;
	struct ct_slice standard = ct_http_header(request, "Forwarded");
	struct ct_slice addresses = ct_http_header(request, "X-Forwarded-For");
	struct ct_slice schemes = ct_http_header(request, "X-Forwarded-Proto");
	if (standard.data != NULL && (addresses.data != NULL || schemes.data != NULL))
		return ct_http_problem(request, CT_ERROR_INVALID_HEADER,
		    "the proxy must send either Forwarded or X-Forwarded-For and -Proto, and "
		    "remove what a client sends of the other");
	if (standard.data != NULL) {
		follow(request, standard, step_standard);
	} else {
		follow(request, addresses, step);
		request->is_tls = are_all_https(schemes);
	}
	if (request->client.is_trusted || request->client.is_nobody)
		return NULL;
	int r = ct_http_peer_count(server, &request->client);
	if (r == CT_ERROR_TOO_MANY_REQUESTS)
		return refuse_count(request);
	if (r < 0)
		return ct_http_problem(request, r, "the request could not be counted");
	request->is_counted = true;
	return NULL;
}

void ct_http_forwarded_end(struct ct_http_request *request)
{
	if (request->is_counted)
		ct_http_peer_uncount(request->connection->server, &request->client);
	request->is_counted = false;
}
