/*
 * A connection: who it is, its place in the server's list (connections.c), its clock (deadlines.c).
 */
#ifndef CT_HTTP_CONNECTION_PRIV_H
#define CT_HTTP_CONNECTION_PRIV_H

#include "base/lock.h"
#include "calotype/error.h"
#include "http/request_priv.h"
#include <stdatomic.h>
#include <sys/socket.h>

struct ct_http_server;

/* ---- the connection ---- */
enum ct_http_clock {
	CT_HTTP_CLOCK_STILL, /* a handler of ours works, or the request sleeps */
	CT_HTTP_CLOCK_IDLE,
	CT_HTTP_CLOCK_HEAD,
	CT_HTTP_CLOCK_BODY,
	CT_HTTP_CLOCK_REPLY
};

struct ct_http_connection {
	uint32_t magic;
	struct ct_http_server *server;
	int fd;
	uint32_t serial; /* of this server's connections; two of one number never meet */
	struct ct_http_peer peer;

	/* Under server->lock. */
	struct ct_http_connection *next, *previous;
	bool started; /* libmicrohttpd will tell its end */

	struct ct_lock lock;
	/* Under lock. */
	enum ct_http_clock clock;
	int64_t deadline_us;
	int64_t left_us;     /* of the body's deadline, while the clock stands */
	atomic_bool closing; /* the last word is said: nothing more may be written */
	bool is_watched;     /* leavers.c */
	bool was_asked;	     /* the client of this request, whether it is still there */

	struct ct_http_request request;
};

/*
 * Counts a new socket and makes its object: 0, CT_ERROR_TOO_MANY_REQUESTS,
 * CT_ERROR_TOO_MANY_CONNECTIONS, -ENOMEM. Does not own `fd`.
 */
int ct_http_connection_add(struct ct_http_server *server, int fd,
    const struct sockaddr_storage *address, struct ct_http_connection **ret_connection);
/* Uncounts and frees; the socket is still open. */
void ct_http_connection_remove(struct ct_http_connection *connection);
struct ct_http_connection *ct_http_connection_of(struct ct_http_server *server, int fd);

/* ---- leavers.c: who leaves while his request sleeps ---- */
int ct_http_leavers_open(struct ct_http_server *server);
void ct_http_leavers_close(struct ct_http_server *server);
/* The request goes to sleep, and its handler has `left`. */
void ct_http_leavers_watch_locked(struct ct_http_connection *connection);
/* Calls `left` for those who have gone since; true: there may be more. The watchdog. */
bool ct_http_leavers_look(struct ct_http_server *server);

/* ---- deadlines.c; the functions without _locked take the connection's lock ---- */
int ct_http_deadlines_start(struct ct_http_server *server);
void ct_http_deadlines_stop(struct ct_http_server *server);
void ct_http_clock_set(struct ct_http_connection *connection, enum ct_http_clock clock);
/* A request line has come; on a new connection the head's deadline runs already. */
void ct_http_clock_head(struct ct_http_connection *connection, const char *request_id,
    const struct ct_http_folder *folder);
/* A reply of this size begins; false: the connection is closing, nothing may be written. */
bool ct_http_clock_reply(struct ct_http_connection *connection, uint64_t size_bytes);
/* The body's clock: bytes that were read buy time; it stands still, and runs on. */
void ct_http_clock_consume_locked(struct ct_http_connection *connection, uint64_t bytes);
void ct_http_clock_still_locked(struct ct_http_connection *connection);
void ct_http_clock_resume_locked(struct ct_http_connection *connection);
/* Sends the problem where that is possible, shuts the socket. Under both locks. */
void ct_http_break_off_locked(struct ct_http_connection *connection, int error, const char *detail);

#endif
