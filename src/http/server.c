/*
 * The server's life.
 */
#include "http/server_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* For requests that slept past the stop: whoever shuts down behind us answers them. */
#define FREE_WAIT_MS 10000
#define STOP_TICK_MS 50
#define ID_BYTES (CT_ID_CHARS / 2)

void ct_http_make_request_id(char ret_id[CT_ID_CHARS + 1])
{
	/* Asking the system for each one would show in the time of a small answer. */
	static _Thread_local uint8_t random[ID_BYTES * 64];
	static _Thread_local size_t left;
	if (left == 0) {
		int r = ct_random_bytes(random, sizeof(random));
		CT_ASSERT(r == 0); /* there was entropy at the start, and it does not run out */
		left = sizeof(random);
	}
	left -= ID_BYTES;
	ct_hex_encode(random + left, ID_BYTES, ret_id);
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
		options->loops = cores < 1 ? 1 : (unsigned)cores;
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
	server->leavers_fd = -1;
	set_defaults(&server->options);
	ct_lock_init(&server->lock, CT_LOCK_HTTP_SERVER);
	ct_condition_init(&server->changed);
	ct_condition_init(&server->watch);
	uint8_t entropy;
	int length = snprintf(server->listen, sizeof(server->listen), "%s", options->listen);
	r = length < (int)sizeof(server->listen) ? 0 : -ENAMETOOLONG;
	server->options.listen = server->listen;
	if (r == 0)
		r = ct_random_bytes(&entropy, sizeof(entropy)); /* for request ids: is there any? */
	if (r == 0 && options->trusted_proxies != NULL)
		r = ct_networks_parse(options->trusted_proxies, &server->trusted_proxies);
	if (r == 0)
		r = ct_http_leavers_open(server);
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

int ct_http_server_add_field(
    struct ct_http_server *server, const char *folder, const char *name, const char *value)
{
	const struct ct_http_folder added = { folder, name, value };
	CT_ASSERT(server->small == NULL);
	return ct_http_router_add_folder(&server->router, &added);
}

static bool read_open(void *arg, double *ret_value)
{
	struct ct_http_server *server = arg;
	ct_lock_take(&server->lock);
	*ret_value = server->connection_count;
	ct_lock_release(&server->lock);
	return true;
}

int ct_http_server_start(struct ct_http_server *server)
{
	CT_ASSERT(server->small == NULL);
	ct_metrics_read_with(CT_METRIC_HTTP_OPEN, read_open, server);
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
	if (server->small != NULL)
		ct_metrics_read_with(CT_METRIC_HTTP_OPEN, NULL, NULL);
	ct_http_acceptor_free(server->acceptor);
	while (server->connections != NULL) {
		CT_ASSERT(!server->connections->started); /* lost without a word: see above */
		ct_http_connection_remove(server->connections);
	}
	ct_http_router_done(&server->router);
	ct_condition_done(&server->watch);
	ct_condition_done(&server->changed);
	ct_lock_done(&server->lock);
	ct_http_leavers_close(server);
	ct_networks_free(server->trusted_proxies);
	free(server->by_fd);
	free(server);
}
