/*
 * The list of connections, and how many there are.
 */
#include "http/connection_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "http/server_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTION_MAGIC 0x436f6e6eu
#define MAX_DESCRIPTORS (1u << 20)

static int count_locked(struct ct_http_server *server, const struct ct_http_peer *peer)
{
	if (server->connection_count >= server->options.max_connections)
		return CT_ERROR_TOO_MANY_CONNECTIONS;
	return ct_http_peer_count_locked(server, peer);
}

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
	if (server->patrol_next == connection)
		server->patrol_next = connection->next;
	server->by_fd[connection->fd] = NULL;
	server->connection_count--;
	ct_http_peer_uncount_locked(server, &connection->peer);
	if (atomic_load(&server->stopping))
		ct_condition_broadcast(&server->changed);
}

static void link_locked(struct ct_http_server *server, struct ct_http_connection *connection)
{
	connection->next = server->connections;
	if (connection->next != NULL)
		connection->next->previous = connection;
	server->connections = connection;
	connection->serial = ++server->last_serial;
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
	ct_http_peer_init(&connection->peer, address, server->trusted_proxies);
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
