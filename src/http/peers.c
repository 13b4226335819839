#include "http/peers_priv.h"
#include "base/assert.h"
#include "http/server_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK_BYTES 8 /* one IPv6 host has a whole /64 to choose from */

struct ct_http_peer_count {
	struct ct_http_peer_count *next;
	uint8_t network[CT_ADDRESS_BYTES];
	unsigned count;
};

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void set_address(struct ct_http_peer *peer, const uint8_t address[CT_ADDRESS_BYTES],
    const struct ct_networks *trusted)
{
	bool is_v4 = memcmp(address, mapped, sizeof(mapped)) == 0;
	memset(peer, 0, sizeof(*peer));
	memcpy(peer->network, address, is_v4 ? CT_ADDRESS_BYTES : NETWORK_BYTES);
	peer->is_loopback = ct_address_is_loopback(address);
	peer->is_trusted = ct_networks_contain(trusted, address);
	if (is_v4)
		(void)inet_ntop(AF_INET, address + sizeof(mapped), peer->text, sizeof(peer->text));
	else
		(void)inet_ntop(AF_INET6, address, peer->text, sizeof(peer->text));
}

void ct_http_peer_init(struct ct_http_peer *peer, const struct sockaddr_storage *address,
    const struct ct_networks *trusted)
{
	uint8_t bytes[CT_ADDRESS_BYTES];
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
		memcpy(bytes, mapped, sizeof(mapped));
		memcpy(bytes + sizeof(mapped), &v4->sin_addr, sizeof(v4->sin_addr));
		set_address(peer, bytes, trusted);
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
		memcpy(bytes, &v6->sin6_addr, sizeof(bytes));
		set_address(peer, bytes, trusted);
	} else {
		*peer = (struct ct_http_peer){
			.is_unix = true,
			.is_loopback = true,
			.is_trusted = ct_networks_contain_unix(trusted),
			.text = "unix",
		};
	}
}

void ct_http_peer_parse(
    struct ct_http_peer *peer, struct ct_slice text, const struct ct_networks *trusted)
{
	uint8_t bytes[CT_ADDRESS_BYTES];
	CT_ASSERT(ct_address_parse(text, bytes) == 0);
	set_address(peer, bytes, trusted);
}

/* ---- counting ---- */

static struct ct_http_peer_count **find_count(
    struct ct_http_server *server, const struct ct_http_peer *peer)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < sizeof(peer->network); i++)
		hash = (hash ^ peer->network[i]) * 16777619u;
	struct ct_http_peer_count **at = &server->peers[hash % CT_HTTP_PEER_BUCKETS];
	while (*at != NULL && memcmp((*at)->network, peer->network, sizeof(peer->network)) != 0)
		at = &(*at)->next;
	return at;
}

static bool is_counted(const struct ct_http_peer *peer)
{
	return !peer->is_unix && !peer->is_nobody && !peer->is_trusted;
}

int ct_http_peer_count_locked(struct ct_http_server *server, const struct ct_http_peer *peer)
{
	if (!is_counted(peer))
		return 0;
	struct ct_http_peer_count **at = find_count(server, peer);
	if (*at == NULL) {
		struct ct_http_peer_count *count = calloc(1, sizeof(*count));
		if (count == NULL)
			return -ENOMEM;
		memcpy(count->network, peer->network, sizeof(count->network));
		*at = count;
	}
	if ((*at)->count >= server->options.max_per_address)
		return CT_ERROR_TOO_MANY_REQUESTS;
	(*at)->count++;
	return 0;
}

void ct_http_peer_uncount_locked(struct ct_http_server *server, const struct ct_http_peer *peer)
{
	if (!is_counted(peer))
		return;
	struct ct_http_peer_count **at = find_count(server, peer);
	CT_ASSERT(*at != NULL && (*at)->count > 0);
	if (--(*at)->count > 0)
		return;
	struct ct_http_peer_count *empty = *at;
	*at = empty->next;
	free(empty);
}

int ct_http_peer_count(struct ct_http_server *server, const struct ct_http_peer *peer)
{
	ct_lock_take(&server->lock);
	int r = ct_http_peer_count_locked(server, peer);
	ct_lock_release(&server->lock);
	return r;
}

void ct_http_peer_uncount(struct ct_http_server *server, const struct ct_http_peer *peer)
{
	ct_lock_take(&server->lock);
	ct_http_peer_uncount_locked(server, peer);
	ct_lock_release(&server->lock);
}
