/*
 * Deadlines. libmicrohttpd's own time-out is about idle connections only: a byte a second keeps
 * one open for ever. Here every connection has one deadline at any time, set by what is awaited:
 *   idle    the next request line, after `idle_timeout_ms`
 *   head    the end of the head, `head_deadline_ms` after the accept or the request line
 *   body    a purse of time, full with `body_grace_ms`: time empties it, each `body_min_rate`
 *           bytes that were read put a second in. Speed at the start can't be saved up for more
 *           than the grace.
 *   reply   the grace plus the reply's size at the same rate
 *   still   none: a handler of ours works, or the request sleeps
 * A watchdog goes round them, at most 1,024 in a tick (so all of them four times a second; 10,000
 * in 2.5 s), and shuts down the socket of a connection that is late, after a readable 408 where no
 * other answer can be under way. libmicrohttpd then finds the end of the stream and closes. The
 * server's lock keeps a socket from being closed, and its number from being used again, while the
 * watchdog acts.
 *
 * It also looks for clients that have left. libmicrohttpd waits for edges, and takes a read that
 * fills less than its buffer for the last one: the end of a stream that came together with the
 * last bytes goes unseen, and an upload whose client was killed would be held until its deadline.
 * Shutting the reading side makes a new edge; bytes that are still unread stay readable.
 * Those whose request sleeps are leavers.c's.
 */
#include "http/connection_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "http/response_priv.h"
#include "http/server_priv.h"
#include "metrics/metrics.h"

#include <poll.h>
#include <string.h>

#define MAX_TICK_MS 250
#define MIN_TICK_MS 10
#define PATROL_CONNECTIONS 1024 /* in one tick: the lock is held for a millisecond */

void ct_http_clock_set(struct ct_http_connection *connection, enum ct_http_clock clock)
{
	const struct ct_http_options *options = &connection->server->options;
	int64_t allowed_ms = 0;
	switch (clock) {
	case CT_HTTP_CLOCK_IDLE: allowed_ms = options->idle_timeout_ms; break;
	case CT_HTTP_CLOCK_HEAD: allowed_ms = options->head_deadline_ms; break;
	case CT_HTTP_CLOCK_BODY: allowed_ms = options->body_grace_ms; break;
	case CT_HTTP_CLOCK_STILL:
	case CT_HTTP_CLOCK_REPLY: break;
	}
	int64_t now_us = clock == CT_HTTP_CLOCK_STILL ? 0 : ct_clock_monotonic_us();
	ct_lock_take(&connection->lock);
	connection->clock = clock;
	connection->left_us = 0;
	connection->deadline_us = now_us + allowed_ms * 1000;
	ct_lock_release(&connection->lock);
}

void ct_http_clock_head(struct ct_http_connection *connection, const char *request_id,
    const struct ct_http_folder *folder)
{
	int64_t allowed_us = connection->server->options.head_deadline_ms * 1000;
	ct_lock_take(&connection->lock);
	memcpy(connection->request.id, request_id, strlen(request_id) + 1);
	connection->request.folder = folder;
	if (connection->clock != CT_HTTP_CLOCK_HEAD) {
		connection->clock = CT_HTTP_CLOCK_HEAD;
		connection->left_us = 0;
		connection->deadline_us = connection->request.began_us + allowed_us;
	}
	ct_lock_release(&connection->lock);
}

bool ct_http_clock_reply(struct ct_http_connection *connection, uint64_t size_bytes)
{
	const struct ct_http_options *options = &connection->server->options;
	/* No reply is larger than a file; 2^40 bytes keep the product far from its limits. */
	int64_t size = size_bytes < (UINT64_C(1) << 40) ? (int64_t)size_bytes : INT64_C(1) << 40;
	int64_t allowed_us =
	    options->body_grace_ms * 1000 + size * 1000000 / options->body_min_rate;
	ct_lock_take(&connection->lock);
	bool open = !atomic_load(&connection->closing);
	connection->clock = CT_HTTP_CLOCK_REPLY;
	connection->left_us = 0;
	connection->deadline_us = ct_clock_monotonic_us() + allowed_us;
	ct_lock_release(&connection->lock);
	return open;
}

void ct_http_clock_consume_locked(struct ct_http_connection *connection, uint64_t bytes)
{
	const struct ct_http_options *options = &connection->server->options;
	ct_lock_assert_held(&connection->lock);
	if (connection->clock != CT_HTTP_CLOCK_BODY)
		return;
	int64_t full_us = ct_clock_monotonic_us() + options->body_grace_ms * 1000;
	int64_t deadline_us =
	    connection->deadline_us + (int64_t)(bytes * 1000000 / options->body_min_rate);
	connection->deadline_us = deadline_us < full_us ? deadline_us : full_us;
}

void ct_http_clock_still_locked(struct ct_http_connection *connection)
{
	ct_lock_assert_held(&connection->lock);
	if (connection->clock == CT_HTTP_CLOCK_BODY) {
		int64_t left_us = connection->deadline_us - ct_clock_monotonic_us();
		connection->left_us = left_us > 1 ? left_us : 1;
	}
	connection->clock = CT_HTTP_CLOCK_STILL;
}

void ct_http_clock_resume_locked(struct ct_http_connection *connection)
{
	ct_lock_assert_held(&connection->lock);
	if (connection->clock != CT_HTTP_CLOCK_STILL || connection->left_us == 0)
		return;
	connection->clock = CT_HTTP_CLOCK_BODY;
	connection->deadline_us = ct_clock_monotonic_us() + connection->left_us;
	connection->left_us = 0;
}

void ct_http_break_off_locked(struct ct_http_connection *connection, int error, const char *detail)
{
	ct_lock_assert_held(&connection->server->lock);
	ct_lock_assert_held(&connection->lock);
	bool may_speak =
	    connection->clock == CT_HTTP_CLOCK_HEAD || connection->clock == CT_HTTP_CLOCK_BODY;
	if (may_speak && !atomic_load(&connection->closing)) {
		struct ct_http_request *request = &connection->request;
		struct ct_http_response *problem = ct_http_problem_for(request->id, error, detail);
		if (request->folder != NULL)
			ct_http_response_default(
			    problem, request->folder->name, request->folder->value);
		ct_http_send_problem(connection->fd, request->id, problem);
		request->broken_status = ct_error_http_status(error);
	}
	atomic_store(&connection->closing, true);
	connection->clock = CT_HTTP_CLOCK_STILL;
	connection->left_us = 0;
	/* ENOTCONN: the client was quicker. */
	(void)shutdown(connection->fd, SHUT_RDWR);
}

struct patrol {
	struct pollfd polls[PATROL_CONNECTIONS]; /* who awaits its client */
	size_t count;
	unsigned late;
};

static void visit(struct patrol *patrol, struct ct_http_connection *connection, int64_t now_us)
{
	ct_lock_take(&connection->lock);
	enum ct_http_clock clock = connection->clock;
	bool late = clock != CT_HTTP_CLOCK_STILL && connection->deadline_us <= now_us;
	if (late)
		ct_http_break_off_locked(connection, CT_ERROR_REQUEST_TIMEOUT,
		    clock == CT_HTTP_CLOCK_HEAD
			? "the head of the request took too long"
			: "the body came too slowly: after a grace it must keep a minimum rate");
	ct_lock_release(&connection->lock);
	if (late && clock != CT_HTTP_CLOCK_IDLE)
		patrol->late++;
	else if (clock == CT_HTTP_CLOCK_IDLE || clock == CT_HTTP_CLOCK_HEAD ||
		 clock == CT_HTTP_CLOCK_BODY)
		patrol->polls[patrol->count++] =
		    (struct pollfd){ .fd = connection->fd, .events = POLLRDHUP };
}

/* From where the last one ended, or from the beginning. */
static void go_round_locked(struct ct_http_server *server, struct patrol *patrol, int64_t now_us)
{
	struct ct_http_connection *c = server->patrol_next;
	if (c == NULL)
		c = server->connections;
	patrol->count = 0;
	patrol->late = 0;
	for (int i = 0; i < PATROL_CONNECTIONS && c != NULL; i++, c = c->next) {
		if (c->started)
			visit(patrol, c, now_us);
	}
	server->patrol_next = c;
	if (patrol->count == 0 || poll(patrol->polls, patrol->count, 0) <= 0)
		return;
	for (size_t i = 0; i < patrol->count; i++) {
		if (patrol->polls[i].revents != 0)
			(void)shutdown(patrol->polls[i].fd, SHUT_RD); /* may be gone already */
	}
}

static int64_t tick_ms(const struct ct_http_options *options)
{
	int64_t shortest_ms = options->head_deadline_ms;
	if (options->body_grace_ms < shortest_ms)
		shortest_ms = options->body_grace_ms;
	if (options->idle_timeout_ms < shortest_ms)
		shortest_ms = options->idle_timeout_ms;
	int64_t tick = shortest_ms / 8;
	return tick > MAX_TICK_MS ? MAX_TICK_MS : tick < MIN_TICK_MS ? MIN_TICK_MS : tick;
}

/* Without connections it sleeps until there is one. */
static void sleep_locked(struct ct_http_server *server, int64_t until_ms)
{
	if (server->watchdog_stops)
		return;
	if (server->connections != NULL) {
		(void)ct_condition_wait_until(&server->watch, &server->lock, until_ms);
		return; /* the time-out is what is waited for */
	}
	server->watchdog_sleeps = true;
	ct_condition_wait(&server->watch, &server->lock);
	server->watchdog_sleeps = false;
}

static void *watch(void *arg)
{
	struct ct_http_server *server = arg;
	int64_t tick = tick_ms(&server->options);
	struct patrol patrol;
	bool stops = false;
	while (!stops) {
		while (ct_http_leavers_look(server)) {
		}
		int64_t now_us = ct_clock_monotonic_us();
		ct_lock_take(&server->lock);
		go_round_locked(server, &patrol, now_us);
		unsigned late = patrol.late;
		if (late == 0)
			sleep_locked(server, now_us / 1000 + tick);
		stops = server->watchdog_stops;
		ct_lock_release(&server->lock);
		ct_metrics_add(CT_METRIC_HTTP_TIMEOUTS, late);
		if (late > 0)
			ct_log(CT_LOG_INFO, "http.late", CT_LOG_NUMBER("connections", late));
	}
	return NULL;
}

int ct_http_deadlines_start(struct ct_http_server *server)
{
	server->watchdog_stops = false;
	int r = ct_thread_start("http-watchdog", watch, server, &server->watchdog);
	if (r < 0)
		return r;
	server->watchdog_runs = true;
	return 0;
}

void ct_http_deadlines_stop(struct ct_http_server *server)
{
	if (!server->watchdog_runs)
		return;
	ct_lock_take(&server->lock);
	server->watchdog_stops = true;
	ct_condition_broadcast(&server->watch);
	ct_lock_release(&server->lock);
	CT_ASSERT(pthread_join(server->watchdog, NULL) == 0);
	server->watchdog_runs = false;
}
