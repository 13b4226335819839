/*
 * The server's life, and the list of its connections with what is counted about them.
 */
#include "http/http_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTION_MAGIC 0x436f6e6eu
#define MAX_DESCRIPTORS (1u << 20)
/* For requests that slept past the stop: whoever shuts down behind us answers them. */
#define FREE_WAIT_MS 10000
#define STOP_TICK_MS 50

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

void ct_http_make_request_id(struct ct_http_server *server, char ret_id[CT_ID_CHARS + 1])
{
	/* Unique, not secret. Multiplying by an odd number keeps all 64-bit values apart. */
	uint64_t count = atomic_fetch_add(&server->request_count, 1);
	uint64_t parts[2] = { server->id_seed[0],
		(count ^ server->id_seed[1]) * UINT64_C(0x9e3779b97f4a7c15) };
	ct_hex_encode(parts, sizeof(parts), ret_id);
}

/* ---- life ---- */

static void set_defaults(struct ct_http_options *options)
{
	if (options->max_connections == 0)
		options->max_connections = 1024;
	if (options->max_per_address == 0)
		options->max_per_address = 128;
	if (options->loops == 0) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);
		options->loops = cores < 1 ? 1 : cores > 8 ? 8 : (unsigned)cores;
	}
	if (options->head_deadline_ms == 0)
		options->head_deadline_ms = 10000;
	if (options->body_grace_ms == 0)
		options->body_grace_ms = 30000;
	if (options->body_min_rate == 0)
		options->body_min_rate = 1024;
	if (options->idle_timeout_ms == 0)
		options->idle_timeout_ms = 60000;
}

int ct_http_server_new(const struct ct_http_options *options, struct ct_http_server **ret_server)
{
	int r = ct_http_guard_self_test();
	if (r < 0)
		return r;
	struct ct_http_server *server = calloc(1, sizeof(*server));
	if (server == NULL)
		return -ENOMEM;
	server->options = *options;
	set_defaults(&server->options);
	ct_lock_init(&server->lock, CT_LOCK_HTTP_SERVER);
	ct_condition_init(&server->changed);
	ct_condition_init(&server->watch);
	int length = snprintf(server->listen, sizeof(server->listen), "%s", options->listen);
	r = length < (int)sizeof(server->listen) ? 0 : -ENAMETOOLONG;
	server->options.listen = server->listen;
	if (r == 0)
		r = ct_random_bytes(server->id_seed, sizeof(server->id_seed));
	if (r == 0)
		r = ct_http_acceptor_new(server, &server->acceptor);
	if (r < 0) {
		ct_http_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

int ct_http_server_add(
    struct ct_http_server *server, const struct ct_http_route *routes, size_t count)
{
	CT_ASSERT(server->small == NULL);
	for (size_t i = 0; i < count; i++) {
		int r = ct_http_router_add(&server->router, &routes[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int ct_http_server_start(struct ct_http_server *server)
{
	CT_ASSERT(server->small == NULL);
	int r = ct_http_daemon_start(server, CT_HTTP_SMALL_POOL_BYTES, &server->small);
	if (r == 0)
		r = ct_http_daemon_start(server, CT_HTTP_LARGE_POOL_BYTES, &server->large);
	if (r == 0)
		r = ct_http_deadlines_start(server);
	if (r == 0)
		r = ct_http_acceptor_start(server->acceptor);
	return r;
}

const char *ct_http_server_url(const struct ct_http_server *server)
{
	return server->url;
}

static void break_off_one_locked(struct ct_http_connection *connection, bool all)
{
	ct_lock_take(&connection->lock);
	enum ct_http_clock clock = connection->clock;
	/* What stands still is ours to finish, and a reply is under way. */
	if (all || (clock != CT_HTTP_CLOCK_STILL && clock != CT_HTTP_CLOCK_REPLY))
		ct_http_break_off_locked(
		    connection, CT_ERROR_SHUTTING_DOWN, "try again in a moment");
	ct_lock_release(&connection->lock);
}

static void break_off_locked(struct ct_http_server *server, bool all)
{
	for (struct ct_http_connection *c = server->connections; c != NULL; c = c->next) {
		if (c->started)
			break_off_one_locked(c, all);
	}
}

/*
 * How many connections are left at the deadline. Requests that wake up, and connections that were
 * on their way to a loop, are met again and again.
 */
static unsigned wait_for_end(struct ct_http_server *server, int64_t timeout_ms)
{
	int64_t deadline_ms = ct_clock_monotonic_ms() + timeout_ms;
	ct_lock_take(&server->lock);
	while (server->connection_count > 0) {
		int64_t now_ms = ct_clock_monotonic_ms();
		if (now_ms >= deadline_ms)
			break;
		break_off_locked(server, false);
		int64_t until_ms = now_ms + STOP_TICK_MS;
		(void)ct_condition_wait_until(/* both ends of it are good */
		    &server->changed, &server->lock,
		    until_ms < deadline_ms ? until_ms : deadline_ms);
	}
	unsigned left = server->connection_count;
	ct_lock_release(&server->lock);
	return left;
}

void ct_http_server_stop(struct ct_http_server *server, int64_t timeout_ms)
{
	if (server == NULL || atomic_exchange(&server->stopping, true))
		return;
	ct_http_acceptor_drain(server->acceptor);
	unsigned left = wait_for_end(server, timeout_ms);
	if (left == 0)
		return;
	ct_log(CT_LOG_WARNING, "http.stop_late", CT_LOG_NUMBER("connections", left));
	ct_lock_take(&server->lock);
	break_off_locked(server, true);
	ct_lock_release(&server->lock);
}

static bool is_any_asleep(struct ct_http_server *server)
{
	bool any = false;
	ct_lock_take(&server->lock);
	for (struct ct_http_connection *c = server->connections; c != NULL; c = c->next) {
		ct_lock_take(&c->lock);
		any = any || c->request.asleep;
		ct_lock_release(&c->lock);
	}
	ct_lock_release(&server->lock);
	return any;
}

void ct_http_server_free(struct ct_http_server *server)
{
	if (server == NULL)
		return;
	ct_http_server_stop(server, 0);
	if (wait_for_end(server, FREE_WAIT_MS) > 0 && is_any_asleep(server)) {
		/* libmicrohttpd aborts on sleeping connections, and their wakers may still come. */
		ct_log(CT_LOG_ERROR, "http.requests_never_answered");
		return;
	}
	ct_http_acceptor_stop(server->acceptor);
	ct_http_deadlines_stop(server);
	ct_http_daemon_stop(server->small);
	ct_http_daemon_stop(server->large);
	ct_http_acceptor_free(server->acceptor);
	while (server->connections != NULL) {
		CT_ASSERT(!server->connections->started); /* lost without a word: see above */
		ct_http_connection_remove(server->connections);
	}
	ct_http_router_done(&server->router);
	ct_condition_done(&server->watch);
	ct_condition_done(&server->changed);
	ct_lock_done(&server->lock);
	free(server->by_fd);
	free(server);
}
