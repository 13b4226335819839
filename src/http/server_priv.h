/*
 * The inside of the HTTP engine.
 *
 * The way of a connection: acceptor.c accepts and counts it, waits for its first byte and gives it
 * to one of the two daemons of daemon.c; there guard.c judges each head, request.c walks the
 * request through its handler, and deadlines.c watches from outside. NOTIFY_CONNECTION's end frees
 * it, under the server's lock, before libmicrohttpd closes the socket: who holds that lock may
 * shut the socket of any connection in the list.
 *
 * Threads: acceptor (A), loops of the daemons (L), watchdog (W), any (*).
 * Locks: server->lock, then connection->lock; under the latter only libmicrohttpd's own mutexes.
 */
#ifndef CT_HTTP_SERVER_PRIV_H
#define CT_HTTP_SERVER_PRIV_H

#include "base/lock.h"
#include "base/text.h"
#include "http/connection_priv.h"
#include "http/router_priv.h"
#include "http/server.h"
#include <pthread.h>
#include <stdatomic.h>

struct MHD_Daemon;
struct ct_http_acceptor;

struct ct_http_server {
	/* Set once. */
	struct ct_http_options options;
	char listen[256];
	char url[256];
	struct ct_networks *trusted_proxies; /* or NULL */
	struct ct_http_router router;
	struct ct_http_acceptor *acceptor;
	struct MHD_Daemon *small, *large;
	pthread_t watchdog;
	bool watchdog_runs;
	int leavers_fd;

	atomic_bool stopping;
	/* auth.c: what is known about keys, until when */
	atomic_bool has_keys;
	_Atomic int64_t keys_known_until_ms;

	struct ct_lock lock;
	struct ct_condition changed; /* while stopping: a connection has ended */
	struct ct_condition watch;   /* the watchdog's */
	/* Under lock. */
	struct ct_http_connection *connections;
	struct ct_http_connection *patrol_next; /* the watchdog goes on here; NULL: at the first */
	unsigned connection_count;
	uint32_t last_serial;
	struct ct_http_peer_count *peers[CT_HTTP_PEER_BUCKETS];
	struct ct_http_connection **by_fd; /* handed over or to be */
	size_t by_fd_count;
	bool watchdog_sleeps, watchdog_stops;
};

/* ---- server.c ---- */
/* An id as all are (text.h). Any thread. */
void ct_http_make_request_id(char ret_id[CT_ID_CHARS + 1]);

/* ---- daemon.c ---- */
int ct_http_daemon_start(
    struct ct_http_server *server, size_t pool_bytes, struct MHD_Daemon **ret_daemon);
/* Every request must have ended, or none may be asleep. */
void ct_http_daemon_stop(struct MHD_Daemon *daemon);
/* Gives the connection away; false: it was closed and is gone. */
bool ct_http_daemon_take(struct MHD_Daemon *daemon, struct ct_http_connection *connection,
    const struct sockaddr_storage *address, socklen_t length);

/* ---- acceptor.c ---- */
int ct_http_acceptor_new(struct ct_http_server *server, struct ct_http_acceptor **ret_acceptor);
int ct_http_acceptor_start(struct ct_http_acceptor *acceptor);
void ct_http_acceptor_drain(struct ct_http_acceptor *acceptor); /* accepts no more; any thread */
void ct_http_acceptor_stop(struct ct_http_acceptor *acceptor);	/* ends the thread */
void ct_http_acceptor_free(struct ct_http_acceptor *acceptor);
/*
 * Takes a duplicate of the socket `fd`, on which all has been written: reads on for a while, so
 * that a reset does not overtake the answer. Any thread.
 */
void ct_http_acceptor_linger(struct ct_http_acceptor *acceptor, int fd);

/* ---- listener.c ---- */
/* Opens what `listen` names; the count. `ret_url` of 256 bytes. */
int ct_http_listen(const char *listen, int ret_fds[CT_HTTP_MAX_LISTENERS], char *ret_url);
void ct_http_unlisten(const char *listen, const int *fds, int count);

#endif
