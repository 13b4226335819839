/*
 * The inside of the pool: child.c starts and talks to one worker, answer.c distrusts what it
 * says, pool.c decides who has which.
 */
#ifndef CT_IMAGING_POOL_PRIV_H
#define CT_IMAGING_POOL_PRIV_H

#include "imaging/pool.h"
#include "imaging/protocol.h"
#include <sys/types.h>

/* One worker as its user holds it: a plain value. */
struct ct_child {
	pid_t pid;
	int socket;
	bool ready;	 /* it has said so */
	unsigned images; /* it was given so far */
};

/*
 * Starts a process that dies with the calling thread. CT_ERROR_WORKER_UNAVAILABLE with a message.
 */
int ct_child_start(const char *path, struct ct_child *ret_child, char *ret_message);

/* Has an idle one gone away, or does it talk out of turn? */
bool ct_child_is_stale(const struct ct_child *child);

/* Sends a request with its descriptors. -EPIPE when the process is gone, -errno. */
int ct_child_send(const struct ct_child *child, const struct ct_worker_request *request,
    const int *fds, size_t fd_count);

/* -ETIMEDOUT at `deadline_ms` (monotonic), -EPIPE when the process is gone, -EPROTO. */
int ct_child_receive(
    const struct ct_child *child, int64_t deadline_ms, struct ct_worker_reply *ret_reply);

/* Kills, closes, reaps. ret_status is that of waitpid, -1 when it is not to be had. */
void ct_child_end(struct ct_child *child, int *ret_status);

/* The error and the message that go with a process that went away by itself. */
int ct_child_explain(int status, char *ret_message);

/*
 * Checks an answer against the request and moves it into *ret_developed together with the memory
 * files `fds`, of which those that became prints are set to -1.
 * CT_ERROR_PEER_PROTOCOL, -ENOMEM, or the failure that the worker reports.
 */
int ct_answer_accept(const struct ct_worker_request *request, const struct ct_worker_reply *reply,
    int *fds, struct ct_developed *ret_developed, char *ret_message);

/* snprintf into a message. */
void ct_message_set(char *ret_message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
