/*
 * The acceptor: one thread, one epoll. It accepts, counts, and refuses readably; waits until a
 * client has sent its first bytes, which tell by the method whether a body may come; gives the
 * socket to the daemon for that, without having taken anything out of it. And it lingers: sockets
 * on which the last word has been said are read to their end for a while, because closing on unread
 * bytes makes the kernel send a reset, which can take the answer away from the client.
 *
 * Everything but the inbox belongs to the thread. Its objects begin with a number that tells what
 * they are, since epoll gives back nothing but a pointer.
 */
#include "http/server_priv.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "http/look_priv.h"
#include "http/response_priv.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64
#define ACCEPTS_AT_ONCE 64
#define PAUSE_MS 100 /* when descriptors have run out */
#define DRAIN_CHUNK_BYTES 16384
#define DRAIN_CHUNKS_AT_ONCE 16

enum kind { KIND_BELL = 1, KIND_LISTENER, KIND_WAITER, KIND_LINGERER };

/* A member of a list that is ordered by deadline, since each kind has one time to live. */
struct source {
	enum kind kind;
	int fd;
	int64_t deadline_ms;
	struct source *next, *previous;
	/* A waiter: */
	struct ct_http_connection *connection;
	struct sockaddr_storage address;
	socklen_t address_length;
	/* A lingerer: */
	uint64_t read_bytes;
};

struct list {
	struct source *first, *last;
};

struct ct_http_acceptor {
	struct ct_http_server *server;
	pthread_t thread;
	bool runs;
	int epoll_fd;
	struct source bell;
	struct source listeners[CT_HTTP_MAX_LISTENERS];
	int listener_count;
	/* Of the thread. */
	char peeked[CT_HTTP_SMALL_POOL_BYTES];
	struct list waiters, lingerers;
	int64_t paused_until_ms; /* 0: accepting */

	atomic_bool drains, stops;
	atomic_uint lingering;
	struct ct_lock lock;
	struct source *inbox; /* under lock: lingerers to be */
};

static void list_append(struct list *list, struct source *source)
{
	source->next = NULL;
	source->previous = list->last;
	if (list->last != NULL)
		list->last->next = source;
	else
		list->first = source;
	list->last = source;
}

static void list_remove(struct list *list, struct source *source)
{
	if (source->previous != NULL)
		source->previous->next = source->next;
	else
		list->first = source->next;
	if (source->next != NULL)
		source->next->previous = source->previous;
	else
		list->last = source->previous;
}

static int watch(struct ct_http_acceptor *acceptor, struct source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };
	return epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

static void unwatch(struct ct_http_acceptor *acceptor, const struct source *source)
{
	CT_ASSERT(epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL) == 0);
}

static void ring(struct ct_http_acceptor *acceptor)
{
	uint64_t one = 1;
	ssize_t written = write(acceptor->bell.fd, &one, sizeof(one));
	(void)written; /* EAGAIN: it rings already */
}

/* ---- lingering ---- */

static void end_linger(struct ct_http_acceptor *acceptor, struct source *source)
{
	unwatch(acceptor, source);
	list_remove(&acceptor->lingerers, source);
	(void)close(source->fd); /* all was written long ago */
	free(source);
	atomic_fetch_sub(&acceptor->lingering, 1);
}

static void drain(struct ct_http_acceptor *acceptor, struct source *source)
{
	char scratch[DRAIN_CHUNK_BYTES];
	for (int i = 0; i < DRAIN_CHUNKS_AT_ONCE; i++) {
		ssize_t n = recv(source->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0)
			source->read_bytes += (uint64_t)n;
		if (n <= 0 || source->read_bytes >= CT_HTTP_DRAIN_BYTES) {
			end_linger(acceptor, source);
			return;
		}
	}
}

/* Takes `fd` over. NULL: it was closed, since too many linger or memory is out. */
static struct source *new_lingerer(struct ct_http_acceptor *acceptor, int fd)
{
	struct source *source = NULL;
	if (atomic_fetch_add(&acceptor->lingering, 1) < CT_HTTP_MAX_LINGERING)
		source = calloc(1, sizeof(*source));
	if (source == NULL) {
		atomic_fetch_sub(&acceptor->lingering, 1);
		(void)close(fd);
		return NULL;
	}
	source->kind = KIND_LINGERER;
	source->fd = fd;
	source->deadline_ms = ct_clock_monotonic_ms() + CT_HTTP_LINGER_MS;
	return source;
}

static void begin_linger(struct ct_http_acceptor *acceptor, struct source *source)
{
	if (watch(acceptor, source, EPOLLIN) < 0) {
		(void)close(source->fd);
		free(source);
		atomic_fetch_sub(&acceptor->lingering, 1);
		return;
	}
	list_append(&acceptor->lingerers, source);
}

void ct_http_acceptor_linger(struct ct_http_acceptor *acceptor, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return; /* then the answer takes its chance */
	struct source *source = new_lingerer(acceptor, copy);
	if (source == NULL)
		return;
	ct_lock_take(&acceptor->lock);
	source->next = acceptor->inbox;
	acceptor->inbox = source;
	ct_lock_release(&acceptor->lock);
	ring(acceptor);
}

static void empty_inbox(struct ct_http_acceptor *acceptor)
{
	ct_lock_take(&acceptor->lock);
	struct source *source = acceptor->inbox;
	acceptor->inbox = NULL;
	ct_lock_release(&acceptor->lock);
	while (source != NULL) {
		struct source *next = source->next;
		begin_linger(acceptor, source);
		source = next;
	}
}

/* ---- waiting for the first byte ---- */

static void drop(struct ct_http_connection *connection)
{
	int fd = connection->fd;
	ct_http_connection_remove(connection);
	(void)close(fd);
}

/* The problem goes out, and the socket lingers, so that it can be read. Takes `fd` over. */
static void send_away(struct ct_http_acceptor *acceptor, int fd, const char *request_id,
    struct ct_http_response *problem)
{
	ct_http_send_problem(fd, request_id, problem);
	(void)shutdown(fd, SHUT_WR); /* ENOTCONN: the client has left */
	struct source *source = new_lingerer(acceptor, fd);
	if (source != NULL)
		begin_linger(acceptor, source);
}

static void refuse_look(struct ct_http_acceptor *acceptor, struct ct_http_connection *connection,
    int error, const char *why, uint64_t limit)
{
	char id[CT_ID_CHARS + 1];
	int fd = connection->fd;
	ct_http_make_request_id(id);
	ct_metrics_add(CT_METRIC_HTTP_MALFORMED, 1);
	ct_http_access_log_refusal(acceptor->server, &connection->peer, id, error);
	ct_http_connection_remove(connection);
	struct ct_http_response *problem = ct_http_problem_for(id, error, why);
	ct_http_problem_passed(problem, limit, 0);
	send_away(acceptor, fd, id, problem);
}

/* What a socket has sent so far is left in it. As recv(). */
static ssize_t peek(struct ct_http_acceptor *acceptor, int fd)
{
	return recv(fd, acceptor->peeked, sizeof(acceptor->peeked), MSG_PEEK | MSG_DONTWAIT);
}

/* The first `length` bytes of its request are in acceptor->peeked. */
static void hand_over(struct ct_http_acceptor *acceptor, struct ct_http_connection *connection,
    size_t length, const struct sockaddr_storage *address, socklen_t address_length)
{
	struct ct_http_server *server = acceptor->server;
	const char *why;
	uint64_t limit;
	char first = acceptor->peeked[0];
	/* GET, HEAD, OPTIONS, DELETE. A body that comes later on a small pool is only slower. */
	bool small = first == 'G' || first == 'H' || first == 'O' || first == 'D';
	int r = ct_http_look((struct ct_slice){ acceptor->peeked, length },
	    small ? CT_HTTP_SMALL_POOL_BYTES : CT_HTTP_LARGE_POOL_BYTES, &why, &limit);
	if (r < 0) {
		refuse_look(acceptor, connection, r, why, limit);
		return;
	}
	/* When it fails, all is closed and said. */
	(void)ct_http_daemon_take(
	    small ? server->small : server->large, connection, address, address_length);
}

static void end_wait(struct ct_http_acceptor *acceptor, struct source *source)
{
	unwatch(acceptor, source);
	list_remove(&acceptor->waiters, source);
	free(source);
}

static void first_byte(struct ct_http_acceptor *acceptor, struct source *source)
{
	ssize_t n = peek(acceptor, source->fd);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct ct_http_connection *connection = source->connection;
	struct sockaddr_storage address = source->address;
	socklen_t length = source->address_length;
	end_wait(acceptor, source);
	if (n > 0)
		hand_over(acceptor, connection, (size_t)n, &address, length);
	else
		drop(connection);
}

static void wait_for_byte(struct ct_http_acceptor *acceptor, struct ct_http_connection *connection,
    const struct sockaddr_storage *address, socklen_t length)
{
	struct source *source = calloc(1, sizeof(*source));
	if (source == NULL) {
		drop(connection);
		return;
	}
	source->kind = KIND_WAITER;
	source->fd = connection->fd;
	source->connection = connection;
	source->address = *address;
	source->address_length = length;
	source->deadline_ms = ct_clock_monotonic_ms() + acceptor->server->options.head_deadline_ms;
	if (watch(acceptor, source, EPOLLIN | EPOLLRDHUP) < 0) {
		free(source);
		drop(connection);
		return;
	}
	list_append(&acceptor->waiters, source);
}

/* ---- accepting ---- */

static void refuse(struct ct_http_acceptor *acceptor, int fd, int error)
{
	const struct ct_http_options *options = &acceptor->server->options;
	bool of_address = error == CT_ERROR_TOO_MANY_REQUESTS;
	unsigned limit = of_address ? options->max_per_address : options->max_connections;
	char id[CT_ID_CHARS + 1];
	char detail[160];
	(void)snprintf(detail, sizeof(detail),
	    of_address ? "one address may hold %u connections at a time"
		       : "this server holds at most %u connections at a time",
	    limit);
	ct_http_make_request_id(id);
	struct ct_http_response *problem = ct_http_problem_for(id, error, detail);
	ct_http_problem_limit(problem, limit, (uint64_t)limit + 1);
	ct_log(CT_LOG_DEBUG, "http.refused", CT_LOG_CODE(error));
	send_away(acceptor, fd, id, problem);
}

static void welcome(struct ct_http_acceptor *acceptor, int fd,
    const struct sockaddr_storage *address, socklen_t length)
{
	struct ct_http_connection *connection;
	int r = ct_http_connection_add(acceptor->server, fd, address, &connection);
	ct_metrics_add(r < 0 ? CT_METRIC_HTTP_REFUSED : CT_METRIC_HTTP_ACCEPTED, 1);
	if (r < 0) {
		refuse(acceptor, fd, r);
		return;
	}
	/* Often the request is there already. */
	ssize_t n = peek(acceptor, fd);
	if (n > 0)
		hand_over(acceptor, connection, (size_t)n, address, length);
	else if (n < 0 && (errno == EAGAIN || errno == EINTR))
		wait_for_byte(acceptor, connection, address, length);
	else
		drop(connection);
}

static void set_accepting(struct ct_http_acceptor *acceptor, bool accepting)
{
	for (int i = 0; i < acceptor->listener_count; i++) {
		struct epoll_event event = {
			.events = accepting ? EPOLLIN : 0,
			.data.ptr = &acceptor->listeners[i],
		};
		CT_ASSERT(epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_MOD, acceptor->listeners[i].fd,
			      &event) == 0);
	}
	acceptor->paused_until_ms = accepting ? 0 : ct_clock_monotonic_ms() + PAUSE_MS;
}

static void accept_some(struct ct_http_acceptor *acceptor, const struct source *listener)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		struct sockaddr_storage address = { .ss_family = AF_UNIX };
		socklen_t length = sizeof(address);
		int fd = accept4(listener->fd, (struct sockaddr *)&address, &length,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			welcome(acceptor, fd, &address, length);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			ct_log(CT_LOG_WARNING, "http.accept_paused", CT_LOG_CODE(-errno));
			set_accepting(acceptor, false);
			return;
		}
		/* EAGAIN: that was all. Anything else is the trouble of that one connection. */
		if (errno == EAGAIN)
			return;
	}
}

/* ---- the thread ---- */

static void stop_accepting(struct ct_http_acceptor *acceptor)
{
	int fds[CT_HTTP_MAX_LISTENERS];
	for (int i = 0; i < acceptor->listener_count; i++) {
		unwatch(acceptor, &acceptor->listeners[i]);
		fds[i] = acceptor->listeners[i].fd;
	}
	ct_http_unlisten(acceptor->server->listen, fds, acceptor->listener_count);
	acceptor->listener_count = 0;
	acceptor->paused_until_ms = 0;
	while (acceptor->waiters.first != NULL) {
		struct ct_http_connection *connection = acceptor->waiters.first->connection;
		end_wait(acceptor, acceptor->waiters.first);
		drop(connection);
	}
}

static void expire(struct ct_http_acceptor *acceptor)
{
	int64_t now_ms = ct_clock_monotonic_ms();
	while (acceptor->waiters.first != NULL && acceptor->waiters.first->deadline_ms <= now_ms) {
		/* It has asked for nothing, so nothing is answered. */
		struct ct_http_connection *connection = acceptor->waiters.first->connection;
		end_wait(acceptor, acceptor->waiters.first);
		drop(connection);
	}
	while (
	    acceptor->lingerers.first != NULL && acceptor->lingerers.first->deadline_ms <= now_ms)
		end_linger(acceptor, acceptor->lingerers.first);
	if (acceptor->paused_until_ms != 0 && acceptor->paused_until_ms <= now_ms)
		set_accepting(acceptor, true);
}

static int sleep_ms(const struct ct_http_acceptor *acceptor)
{
	int64_t until_ms = INT64_MAX;
	if (acceptor->waiters.first != NULL)
		until_ms = acceptor->waiters.first->deadline_ms;
	if (acceptor->lingerers.first != NULL && acceptor->lingerers.first->deadline_ms < until_ms)
		until_ms = acceptor->lingerers.first->deadline_ms;
	if (acceptor->paused_until_ms != 0 && acceptor->paused_until_ms < until_ms)
		until_ms = acceptor->paused_until_ms;
	if (until_ms == INT64_MAX)
		return -1;
	int64_t wait_ms = until_ms - ct_clock_monotonic_ms();
	return wait_ms < 0 ? 0 : wait_ms > 60000 ? 60000 : (int)wait_ms;
}

static void dispatch(struct ct_http_acceptor *acceptor, struct source *source)
{
	uint64_t rings;
	ssize_t n;
	switch (source->kind) {
	case KIND_BELL:
		n = read(source->fd, &rings, sizeof(rings));
		(void)n; /* only to silence it */
		empty_inbox(acceptor);
		break;
	case KIND_LISTENER: accept_some(acceptor, source); break;
	case KIND_WAITER: first_byte(acceptor, source); break;
	case KIND_LINGERER: drain(acceptor, source); break;
	}
}

static void *run(void *arg)
{
	struct ct_http_acceptor *acceptor = arg;
	struct epoll_event events[EVENTS_AT_ONCE];
	while (!atomic_load(&acceptor->stops)) {
		int count =
		    epoll_wait(acceptor->epoll_fd, events, EVENTS_AT_ONCE, sleep_ms(acceptor));
		CT_ASSERT(count >= 0 || errno == EINTR);
		for (int i = 0; i < count; i++)
			dispatch(acceptor, events[i].data.ptr);
		/* Not within the batch: its other events point to what goes away here. */
		expire(acceptor);
		if (atomic_load(&acceptor->drains))
			stop_accepting(acceptor);
	}
	return NULL;
}

/* ---- life ---- */

static int open_all(struct ct_http_acceptor *acceptor)
{
	int fds[CT_HTTP_MAX_LISTENERS];
	acceptor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (acceptor->epoll_fd < 0)
		return -errno;
	acceptor->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (acceptor->bell.fd < 0)
		return -errno;
	int r = watch(acceptor, &acceptor->bell, EPOLLIN);
	if (r < 0)
		return r;
	int count = ct_http_listen(acceptor->server->listen, fds, acceptor->server->url);
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		acceptor->listeners[i].kind = KIND_LISTENER;
		acceptor->listeners[i].fd = fds[i];
	}
	acceptor->listener_count = count;
	/* Clients wait in the backlog until the start. */
	for (int i = 0; i < count && r == 0; i++)
		r = watch(acceptor, &acceptor->listeners[i], EPOLLIN);
	return r;
}

int ct_http_acceptor_new(struct ct_http_server *server, struct ct_http_acceptor **ret_acceptor)
{
	struct ct_http_acceptor *acceptor = calloc(1, sizeof(*acceptor));
	if (acceptor == NULL)
		return -ENOMEM;
	acceptor->server = server;
	acceptor->epoll_fd = -1;
	acceptor->bell = (struct source){ .kind = KIND_BELL, .fd = -1 };
	ct_lock_init(&acceptor->lock, CT_LOCK_LEAF);
	int r = open_all(acceptor);
	if (r < 0) {
		ct_http_acceptor_free(acceptor);
		return r;
	}
	*ret_acceptor = acceptor;
	return 0;
}

int ct_http_acceptor_start(struct ct_http_acceptor *acceptor)
{
	int r = ct_thread_start("http-acceptor", run, acceptor, &acceptor->thread);
	acceptor->runs = r == 0;
	return r;
}

void ct_http_acceptor_drain(struct ct_http_acceptor *acceptor)
{
	if (acceptor == NULL)
		return;
	atomic_store(&acceptor->drains, true);
	ring(acceptor);
}

void ct_http_acceptor_stop(struct ct_http_acceptor *acceptor)
{
	if (acceptor == NULL || !acceptor->runs)
		return;
	atomic_store(&acceptor->stops, true);
	ring(acceptor);
	CT_ASSERT(pthread_join(acceptor->thread, NULL) == 0);
	acceptor->runs = false;
}

void ct_http_acceptor_free(struct ct_http_acceptor *acceptor)
{
	if (acceptor == NULL)
		return;
	ct_http_acceptor_stop(acceptor);
	empty_inbox(acceptor);
	stop_accepting(acceptor);
	while (acceptor->lingerers.first != NULL)
		end_linger(acceptor, acceptor->lingerers.first);
	ct_close_fd(&acceptor->bell.fd);
	ct_close_fd(&acceptor->epoll_fd);
	ct_lock_done(&acceptor->lock);
	free(acceptor);
}
