/*
 * Clients that leave while their request sleeps. libmicrohttpd does not look at the socket of a
 * suspended connection, so a client that waits for long would keep its place to the end.
 *
 * What a client's close() looks like here (Linux 6, loopback): over TCP first only the end of its
 * stream (EPOLLRDHUP, CLOSE_WAIT), exactly as after a shutdown(SHUT_WR) by one that still wants
 * its answer; whoever is killed does the same. A keep-alive probe is acknowledged in both cases.
 * Only bytes tell: the kernel of a client that is gone resets the connection (EPOLLHUP and
 * EPOLLERR), one that still reads takes them. With unread bytes at the client, or SO_LINGER, the
 * reset comes at once; a unix socket says EPOLLHUP by itself.
 *
 * So who has ended his stream is sent a "100 Continue", once: a client must be able to read such an
 * interim response where it expects none (RFC 9110 section 15.2), and may get any number of them
 * before the answer. HTTP/1.0 knows none, so there the client keeps its place until the end of its
 * time. Nobody else is sent anything.
 *
 * The sockets are in an epoll of their own, by edges: nothing is done for those that wait quietly.
 * They leave it when they are closed. As the number of a socket is used again, events carry the
 * serial number of their connection, too.
 */
#include "http/connection_priv.h"
#include "http/server_priv.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256 /* the server's lock is held for some milliseconds */

static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";

int ct_http_leavers_open(struct ct_http_server *server)
{
	server->leavers_fd = epoll_create1(EPOLL_CLOEXEC);
	return server->leavers_fd < 0 ? -errno : 0;
}

void ct_http_leavers_close(struct ct_http_server *server)
{
	if (server->leavers_fd >= 0)
		(void)close(server->leavers_fd); /* nothing was written to it */
	server->leavers_fd = -1;
}

void ct_http_leavers_watch_locked(struct ct_http_connection *connection)
{
	struct epoll_event event = {
		.events = EPOLLRDHUP | EPOLLET,
		.data.u64 = (uint64_t)connection->serial << 32 | (uint32_t)connection->fd,
	};
	int change = connection->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	ct_lock_assert_held(&connection->lock);
	connection->was_asked = false;
	/* Changed or added, it tells again what it has told before. Without it, the client only
	 * keeps its place for longer. */
	if (epoll_ctl(connection->server->leavers_fd, change, connection->fd, &event) == 0)
		connection->is_watched = true;
}

/* True: it is known to be gone. */
static bool ask_locked(struct ct_http_connection *connection)
{
	if (connection->was_asked || connection->request.head.is_http_1_0)
		return false;
	connection->was_asked = true;
	ssize_t sent =
	    send(connection->fd, interim, sizeof(interim) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return errno != EAGAIN && errno != EINTR; /* it does not read: it is there */
	if ((size_t)sent == sizeof(interim) - 1)
		return false;
	/* Half of a line is out: nothing good can follow. */
	atomic_store(&connection->closing, true);
	(void)shutdown(connection->fd, SHUT_RDWR); /* may be gone already */
	return true;
}

static void look_at(struct ct_http_connection *connection, uint32_t events)
{
	struct ct_http_request *request = &connection->request;
	ct_lock_take(&connection->lock);
	const struct ct_http_route *route = request->asleep ? &request->row->route : NULL;
	if (route != NULL && route->handler->left != NULL) {
		bool is_gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
		if (is_gone || ask_locked(connection))
			route->handler->left(request, route->context);
	}
	ct_lock_release(&connection->lock);
}

static struct ct_http_connection *find_locked(const struct ct_http_server *server, uint64_t data)
{
	uint32_t fd = (uint32_t)data;
	struct ct_http_connection *connection = fd < server->by_fd_count ? server->by_fd[fd] : NULL;
	return connection != NULL && connection->serial == data >> 32 ? connection : NULL;
}

bool ct_http_leavers_look(struct ct_http_server *server)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(server->leavers_fd, events, EVENTS_AT_ONCE, 0);
	ct_lock_take(&server->lock);
	for (int i = 0; i < count; i++) {
		struct ct_http_connection *connection = find_locked(server, events[i].data.u64);
		if (connection != NULL)
			look_at(connection, events[i].events);
	}
	ct_lock_release(&server->lock);
	return count == EVENTS_AT_ONCE;
}
