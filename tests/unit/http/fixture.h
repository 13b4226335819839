/*
 * A server in the test's own process, routes whose handlers follow a script, and raw clients.
 */
#ifndef HTTP_FIXTURE_H
#define HTTP_FIXTURE_H

#include "http/http.h"
#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

enum act {
	ACT_PROCEED,
	ACT_ANSWER,
	ACT_WAIT_ANSWER,   /* another thread answers after `delay_ms` */
	ACT_WAIT_PROCEED,  /* another thread lets it go on after `delay_ms`; then: proceed */
	ACT_BEFORE_ANSWER, /* another thread answers before the handler returns WAIT */
	ACT_BEFORE_PROCEED,
	ACT_WAIT_HELD /* sleeps until the test calls rig_release() */
};

struct script {
	enum act head, body, end;
	int delay_ms;
	uint64_t body_act_at; /* ACT_PROCEED for the body until so many bytes have come */
	size_t body_take;     /* of a piece; the rest is kept, and the body's act follows; 0: all */
	size_t answer_bytes;  /* of the answer's body; 0: "done\n" */
	int status;	      /* 0: 200; -1: no response, as without memory */
};

struct counts {
	atomic_int head, body, end, gone, answered;
	atomic_uint_fast64_t body_bytes;
	atomic_uint_fast32_t body_sum; /* of all bytes */
};

struct rig {
	struct ct_http_server *server;
	int port;
};

extern struct script script;
extern struct counts counts;

/* The scripted route is any of GET, PUT, POST, PATCH, DELETE on /s/{name}. */
void rig_start(struct rig *rig, const struct ct_http_options *options);
void rig_start_with(struct rig *rig, const struct ct_http_options *options,
    const struct ct_http_route *routes, size_t count);
/* The two halves of it. */
void rig_build(struct rig *rig, const struct ct_http_options *options,
    const struct ct_http_route *routes, size_t count);
void rig_begin(struct rig *rig);
void rig_stop(struct rig *rig);
/* Answers what ACT_WAIT_HELD holds. */
void rig_release(void);
/* Waits at most 5 s until `*counter` is `value`. */
bool wait_for(const atomic_int *counter, int value);
void sleep_ms(int ms);

int client_open(const struct rig *rig);
int client_open_from(const struct rig *rig, const char *address);
/* Closes with a reset. */
void client_reset(int fd);
void client_send(int fd, const void *data, size_t length);
void client_say(int fd, const char *text);
/* Without asserting that all was taken. */
bool client_try_send(int fd, const void *data, size_t length);

struct reply {
	int status;
	char head[4096];
	char body[65536];
	size_t body_length;
	char value[1024]; /* what reply_header() has found */
};
/* Reads exactly one response; false at a time-out or an early end. */
bool client_read(int fd, bool is_head, struct reply *ret_reply);
/* Reads until the end; -1 at a time-out of 8 s. The text is NUL-terminated. */
ssize_t client_read_all(int fd, char *ret_text, size_t capacity);
/* True if the other side has closed within `ms` without sending more. */
bool client_is_closed(int fd, int ms);
/* The value in a reply's head, "" when it is not there. */
const char *reply_header(struct reply *reply, const char *name);
/* One request on a new connection. */
void ask(const struct rig *rig, const char *request, struct reply *ret_reply);

#endif
