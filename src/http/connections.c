/*
 * The list of connections, with what is counted about them and their addresses.
 */
#include "http/connection_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "http/server_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTION_MAGIC 0x436f6e6eu
#define MAX_DESCRIPTORS (1u << 20)

struct ct_http_peer_count {
	struct ct_http_peer_count *next;
	uint8_t network[16];
	unsigned count;
};

/* ---- addresses ---- */

static bool is_v4_loopback(const uint8_t v4[4])
{
	return v4[0] == 127;
}

void ct_http_peer_init(struct ct_http_peer *peer, const struct sockaddr_storage *address)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	memset(peer, 0, sizeof(*peer));
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
		memcpy(peer->network, mapped, sizeof(mapped));
		memcpy(peer->network + 12, &v4->sin_addr, 4);
		peer->is_loopback = is_v4_loopback(peer->network + 12);
		(void)inet_ntop(AF_INET, &v4->sin_addr, peer->text, sizeof(peer->text));
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
		bool is_mapped = memcmp(&v6->sin6_addr, mapped, sizeof(mapped)) == 0;
		/* One host has a whole /64 to choose from. */
		memcpy(peer->network, &v6->sin6_addr, is_mapped ? 16 : 8);
		peer->is_loopback = is_mapped ? is_v4_loopback(peer->network + 12)
					      : IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, peer->text, sizeof(peer->text));
	} else {
		peer->is_unix = true;
		peer->is_loopback = true;
		memcpy(peer->text, "unix", sizeof("unix"));
	}
}

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

static int count_locked(struct ct_http_server *server, const struct ct_http_peer *peer)
{
	if (server->connection_count >= server->options.max_connections)
		return CT_ERROR_TOO_MANY_CONNECTIONS;
	if (peer->is_unix)
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

static void uncount_locked(struct ct_http_server *server, const struct ct_http_peer *peer)
{
	if (peer->is_unix)
		return;
	struct ct_http_peer_count **at = find_count(server, peer);
	CT_ASSERT(*at != NULL && (*at)->count > 0);
	if (--(*at)->count > 0)
		return;
	struct ct_http_peer_count *empty = *at;
	*at = empty->next;
	free(empty);
}

/* ---- connections ---- */

static int reserve_descriptor_locked(struct ct_http_server *server, int fd)
{
	CT_ASSERT(fd >= 0);
	size_t wanted = (size_t)fd + 1;
	if (wanted <= server->by_fd_count)
		return 0;
	if (wanted > MAX_DESCRIPTORS)
		return -ENOMEM;
	size_t count = server->by_fd_count * 2 > wanted ? server->by_fd_count * 2 : wanted;
	struct ct_http_connection **by_fd =
	    reallocarray(server->by_fd, count, sizeof(struct ct_http_connection *));
	if (by_fd == NULL)
		return -ENOMEM;
	for (size_t i = server->by_fd_count; i < count; i++)
		by_fd[i] = NULL;
	server->by_fd = by_fd;
	server->by_fd_count = count;
	return 0;
}

static void unlink_locked(struct ct_http_connection *connection)
{
	struct ct_http_server *server = connection->server;
	if (connection->previous != NULL)
		connection->previous->next = connection->next;
	else
		server->connections = connection->next;
	if (connection->next != NULL)
		connection->next->previous = connection->previous;
	server->by_fd[connection->fd] = NULL;
	server->connection_count--;
	uncount_locked(server, &connection->peer);
	if (atomic_load(&server->stopping))
		ct_condition_broadcast(&server->changed);
}

static void link_locked(struct ct_http_server *server, struct ct_http_connection *connection)
{
	connection->next = server->connections;
	if (connection->next != NULL)
		connection->next->previous = connection;
	server->connections = connection;
	server->by_fd[connection->fd] = connection;
	server->connection_count++;
	if (server->watchdog_sleeps)
		ct_condition_signal(&server->watch);
}

static void free_connection(struct ct_http_connection *connection)
{
	CT_ASSERT_MAGIC(connection, CONNECTION_MAGIC);
	connection->magic = 0;
	ct_lock_done(&connection->lock);
	free(connection);
}

/*
 * libmicrohttpd closes a socket without a word when it has no memory for its connection. Its
 * number coming again is how we learn of it.
 */
static struct ct_http_connection *take_stale_locked(struct ct_http_server *server, int fd)
{
	struct ct_http_connection *stale =
	    (size_t)fd < server->by_fd_count ? server->by_fd[fd] : NULL;
	if (stale != NULL) {
		CT_ASSERT(!stale->started);
		unlink_locked(stale);
	}
	return stale;
}

int ct_http_connection_add(struct ct_http_server *server, int fd,
    const struct sockaddr_storage *address, struct ct_http_connection **ret_connection)
{
	struct ct_http_connection *connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		return -ENOMEM;
	connection->magic = CONNECTION_MAGIC;
	connection->server = server;
	connection->fd = fd;
	ct_http_peer_init(&connection->peer, address);
	ct_lock_init(&connection->lock, CT_LOCK_HTTP_REQUEST);
	connection->clock = CT_HTTP_CLOCK_HEAD;
	connection->deadline_us = ct_clock_monotonic_us() + server->options.head_deadline_ms * 1000;

	ct_lock_take(&server->lock);
	struct ct_http_connection *stale = take_stale_locked(server, fd);
	int r = reserve_descriptor_locked(server, fd);
	if (r == 0)
		r = count_locked(server, &connection->peer);
	if (r == 0)
		link_locked(server, connection);
	ct_lock_release(&server->lock);
	if (stale != NULL)
		free_connection(stale);
	if (r < 0) {
		free_connection(connection);
		return r;
	}
	*ret_connection = connection;
	return 0;
}

void ct_http_connection_remove(struct ct_http_connection *connection)
{
	struct ct_http_server *server = connection->server;
	CT_ASSERT_MAGIC(connection, CONNECTION_MAGIC);
	CT_ASSERT(connection->request.stage == CT_HTTP_STAGE_NONE);
	ct_lock_take(&server->lock);
	unlink_locked(connection);
	ct_lock_release(&server->lock);
	free_connection(connection);
}

struct ct_http_connection *ct_http_connection_of(struct ct_http_server *server, int fd)
{
	ct_lock_take(&server->lock);
	struct ct_http_connection *connection =
	    fd >= 0 && (size_t)fd < server->by_fd_count ? server->by_fd[fd] : NULL;
	if (connection != NULL)
		connection->started = true;
	ct_lock_release(&server->lock);
	return connection;
}
