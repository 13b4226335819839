/*
 * Who is at the other end of a connection or of a proxy, and how much each address has here
 * (peers.c).
 */
#ifndef CT_HTTP_PEERS_PRIV_H
#define CT_HTTP_PEERS_PRIV_H

#include "base/networks.h"
#include <netinet/in.h>
#include <sys/socket.h>

struct ct_http_server;
struct ct_http_peer_count;

#define CT_HTTP_PEER_BUCKETS 1024

struct ct_http_peer {
	bool is_unix;
	bool is_nobody;			   /* a proxy hides who it is */
	bool is_loopback;		   /* unix sockets too */
	bool is_trusted;		   /* a proxy that may speak for others */
	uint8_t network[CT_ADDRESS_BYTES]; /* what is counted: an IPv4 address, an IPv6 /64 */
	char text[INET6_ADDRSTRLEN];	   /* "unix" for a unix socket */
};

void ct_http_peer_init(struct ct_http_peer *peer, const struct sockaddr_storage *address,
    const struct ct_networks *trusted);
/* From the text of an address, which must be one. */
void ct_http_peer_parse(
    struct ct_http_peer *peer, struct ct_slice text, const struct ct_networks *trusted);

/*
 * One more of this address: 0, CT_ERROR_TOO_MANY_REQUESTS, -ENOMEM. Unix sockets and trusted
 * proxies are not counted. The functions without _locked take the server's lock.
 */
int ct_http_peer_count(struct ct_http_server *server, const struct ct_http_peer *peer);
int ct_http_peer_count_locked(struct ct_http_server *server, const struct ct_http_peer *peer);
void ct_http_peer_uncount(struct ct_http_server *server, const struct ct_http_peer *peer);
void ct_http_peer_uncount_locked(struct ct_http_server *server, const struct ct_http_peer *peer);

#endif
