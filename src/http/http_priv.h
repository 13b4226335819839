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
#ifndef CT_HTTP_PRIV_H
#define CT_HTTP_PRIV_H

#include "base/buffer.h"
#include "base/lock.h"
#include "base/text.h"
#include "http/http.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

#define CT_HTTP_MAX_PATH_BYTES 4096
#define CT_HTTP_MAX_TARGET_BYTES 8192
#define CT_HTTP_MAX_HEADERS 100
#define CT_HTTP_MAX_SEGMENTS 16
#define CT_HTTP_MAX_QUERY_PARAMETERS 32
#define CT_HTTP_MAX_ROUTES 256
#define CT_HTTP_MAX_RESPONSE_HEADERS 24
#define CT_HTTP_MAX_REQUEST_ID 64
#define CT_HTTP_MAX_LISTENERS 8
#define CT_HTTP_MAX_LINGERING 256
#define CT_HTTP_DRAIN_BYTES (UINT64_C(8) << 20) /* of a body that was answered early */
#define CT_HTTP_LINGER_MS 5000
#define CT_HTTP_SMALL_POOL_BYTES (16u << 10)
#define CT_HTTP_LARGE_POOL_BYTES (256u << 10)

/* ---- who is at the other end ---- */
struct ct_http_peer {
	bool is_unix;
	bool is_loopback;    /* unix sockets too */
	uint8_t network[16]; /* what is counted: an IPv4 address, or the /64 of an IPv6 one */
	char text[INET6_ADDRSTRLEN]; /* "unix" for a unix socket */
};
void ct_http_peer_init(struct ct_http_peer *peer, const struct sockaddr_storage *address);

/* ---- guard.c ---- */
struct ct_http_field {
	uint32_t name, value; /* offsets from ct_http_head.base */
	uint16_t name_length;
	uint32_t value_length;
};
struct ct_http_head {
	const char *base; /* the request line, in libmicrohttpd's memory, until the request ends */
	struct ct_http_field fields[CT_HTTP_MAX_HEADERS];
	size_t field_count;
	bool chunked;
	bool has_length;
	bool is_http_1_0;
	uint64_t content_length;
};
/* A request line: pieces of libmicrohttpd's memory, and what the URI log callback saw. */
struct ct_http_line {
	const char *method, *version;
	const char *target;	 /* only its place counts: it has been written to since */
	const char *target_copy; /* made in time */
	size_t target_length;
};
/*
 * Is this head exactly what libmicrohttpd made of it? 0, or CT_ERROR_MALFORMED_HEAD,
 * CT_ERROR_HEAD_TOO_LARGE, CT_ERROR_TOO_LARGE and why: then the connection must be closed.
 */
int ct_http_guard_check(struct MHD_Connection *mhd, const struct ct_http_line *line,
    struct ct_http_head *ret_head, const char **ret_why);
struct ct_slice ct_http_head_name(const struct ct_http_head *head, size_t index);
struct ct_slice ct_http_head_value(const struct ct_http_head *head, size_t index);
/* guard_test.c: -EPROTONOSUPPORT when this libmicrohttpd is not the one that the guard knows. */
int ct_http_guard_self_test(void);

/* ---- router.c ---- */
struct ct_http_segment {
	const char *text;
	size_t length;
	bool is_parameter; /* of a pattern: `text` is its name */
};
struct ct_http_row {
	struct ct_http_route route; /* a copy; its strings and context are the caller's */
	struct ct_http_segment segments[CT_HTTP_MAX_SEGMENTS];
	size_t segment_count;
};
struct ct_http_router {
	struct ct_http_row *rows;
	size_t row_count;
};
int ct_http_router_add(struct ct_http_router *router, const struct ct_http_route *route);
void ct_http_router_done(struct ct_http_router *router);
/* Cuts and decodes request->target: path, segments, query. A code, and why. */
int ct_http_router_parse(struct ct_http_request *request, const char **ret_why);
/* Sets request->row; NULL: answered by the returned response (404, 405, OPTIONS). */
struct ct_http_response *ct_http_router_match(struct ct_http_request *request);

/* ---- requests ---- */
enum ct_http_stage {
	CT_HTTP_STAGE_NONE, /* no request line yet */
	CT_HTTP_STAGE_LINE, /* its line is known, the head not yet */
	CT_HTTP_STAGE_HEAD, /* in, or asleep after, handler->head */
	CT_HTTP_STAGE_BODY,
	CT_HTTP_STAGE_DISCARD, /* answered; what is left of the body is thrown away */
	CT_HTTP_STAGE_END,
	CT_HTTP_STAGE_REPLY
};

struct ct_http_query_parameter {
	const char *name, *value;
};

struct ct_http_request {
	uint32_t magic;
	struct ct_http_connection *connection;

	/* Of the loop thread; others may read them while the request sleeps. */
	struct MHD_Connection *mhd;
	enum ct_http_stage stage;
	bool head_called;
	bool waiting; /* the last handler call ended in WAIT */
	bool is_known_method;
	enum ct_http_method method;
	char method_text[16];
	const char *raw_target; /* where libmicrohttpd has it: for the guard, not to be read */
	size_t target_length;
	char *text; /* owned: the target, its parts decoded */
	const char *path, *query;
	struct ct_http_segment segments[CT_HTTP_MAX_SEGMENTS];
	size_t segment_count;
	struct ct_http_query_parameter parameters[CT_HTTP_MAX_QUERY_PARAMETERS];
	size_t parameter_count;
	struct ct_http_head head;
	const struct ct_http_row *row;
	uint64_t received_bytes;
	size_t rest_bytes; /* of the last piece, which its handler left for later */
	uint64_t sent_bytes;
	int status;
	int64_t began_us;
	char id[CT_HTTP_MAX_REQUEST_ID + 1];
	char key_id[16];
	unsigned scopes;
	void *user;

	/* Under connection->lock. */
	bool asleep;  /* libmicrohttpd has suspended it and nobody has woken it */
	bool proceed; /* ct_http_proceed was called */
	bool answered;
	bool interrupted;
	struct ct_http_response *response; /* the answer, or: */
	struct ct_http_shared *shared;
	int shared_status;
};

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

	struct ct_http_request request;
};

void ct_http_request_begin(
    struct ct_http_connection *connection, struct MHD_Connection *mhd, const char *target);
/* An MHD_AccessHandlerCallback's inside: 1 to go on, 0 to close. */
int ct_http_request_step(struct ct_http_request *request, const char *method, const char *version,
    const char *upload_data, size_t *upload_size);
void ct_http_request_finish(struct ct_http_request *request);

/* ---- deadlines.c; the functions without _locked take the connection's lock ---- */
int ct_http_deadlines_start(struct ct_http_server *server);
void ct_http_deadlines_stop(struct ct_http_server *server);
void ct_http_clock_set(struct ct_http_connection *connection, enum ct_http_clock clock);
/* A request line has come; on a new connection the head's deadline runs already. */
void ct_http_clock_head(struct ct_http_connection *connection, const char *request_id);
/* A reply of this size begins; false: the connection is closing, nothing may be written. */
bool ct_http_clock_reply(struct ct_http_connection *connection, uint64_t size_bytes);
/* The body's clock: bytes that were read buy time; it stands still, and runs on. */
void ct_http_clock_consume_locked(struct ct_http_connection *connection, uint64_t bytes);
void ct_http_clock_still_locked(struct ct_http_connection *connection);
void ct_http_clock_resume_locked(struct ct_http_connection *connection);
/* Sends the problem where that is possible, shuts the socket. Under both locks. */
void ct_http_break_off_locked(struct ct_http_connection *connection, int error, const char *detail);

/* ---- auth.c ---- */
/* NULL: may pass; else the refusal. */
struct ct_http_response *ct_http_auth_check(struct ct_http_request *request, unsigned scope);

/* ---- response.c, shared.c ---- */
/* The MHD_Response of an answer with the request's own headers; NULL: out of memory. */
struct MHD_Response *ct_http_response_build(
    struct ct_http_response *response, const struct ct_http_request *request, uint64_t *ret_size);
int ct_http_response_status(const struct ct_http_response *response);
/* As bytes for a socket that is then closed; only bodies in memory (others give a 500). */
void ct_http_response_write(struct ct_http_response *response, const char *request_id,
    bool head_only, struct ct_buffer *buffer);
void ct_http_response_json_as(
    struct ct_http_response *response, const char *type, struct ct_json *json);
struct ct_json *ct_http_response_json_of(struct ct_http_response *response);
/* Borrowed: `shared` must be held until the answer has been queued. */
struct MHD_Response *ct_http_shared_response(struct ct_http_shared *shared, uint64_t *ret_size);
struct MHD_Response *ct_http_shared_part(
    struct ct_http_shared *shared, uint64_t offset, uint64_t length);
const void *ct_http_shared_data(const struct ct_http_shared *shared, uint64_t *ret_size);
/* Writes what fits into the socket's buffer, without waiting. */
void ct_http_send_problem(int fd, const char *request_id, int error, const char *detail);

/* ---- access_log.c ---- */
void ct_http_access_log(const struct ct_http_request *request);

/* ---- daemon.c ---- */
int ct_http_daemon_start(
    struct ct_http_server *server, size_t pool_bytes, struct MHD_Daemon **ret_daemon);
/* Every request must have ended, or none may be asleep. */
void ct_http_daemon_stop(struct MHD_Daemon *daemon);
/* Gives the connection away; false: it was closed and is gone. */
bool ct_http_daemon_take(struct MHD_Daemon *daemon, struct ct_http_connection *connection,
    const struct sockaddr_storage *address, socklen_t length);

/* ---- acceptor.c ---- */
struct ct_http_acceptor;
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

/* ---- server.c ---- */
struct ct_http_peer_count;
#define CT_HTTP_PEER_BUCKETS 1024

struct ct_http_server {
	/* Set once. */
	struct ct_http_options options;
	char listen[256];
	char url[256];
	struct ct_http_router router;
	struct ct_http_acceptor *acceptor;
	struct MHD_Daemon *small, *large;
	pthread_t watchdog;
	bool watchdog_runs;
	uint64_t id_seed[2];

	atomic_bool stopping;
	atomic_uint_fast64_t request_count;
	/* auth.c: what is known about keys, until when */
	atomic_bool has_keys;
	_Atomic int64_t keys_known_until_ms;

	struct ct_lock lock;
	struct ct_condition changed; /* while stopping: a connection has ended */
	struct ct_condition watch;   /* the watchdog's */
	/* Under lock. */
	struct ct_http_connection *connections;
	unsigned connection_count;
	struct ct_http_peer_count *peers[CT_HTTP_PEER_BUCKETS];
	struct ct_http_connection **by_fd; /* handed over or to be */
	size_t by_fd_count;
	bool watchdog_sleeps, watchdog_stops;
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
/* 32 hex digits, never twice. */
void ct_http_make_request_id(struct ct_http_server *server, char ret_id[CT_ID_CHARS + 1]);

#endif
