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

/* Soft limits, set from outside: seccomp does not let the worker raise them. */
struct ct_child_limits {
	uint64_t memory_bytes; /* address space */
	uint64_t file_bytes;   /* of each print */
	uint32_t cpu_s;	       /* from now on; beyond it SIGXCPU ends the process */
};

/*
 * Starts a process that dies with the calling thread, limited from its first step. Without codecs
 * it takes no image. CT_ERROR_WORKER_UNAVAILABLE with a message.
 */
int ct_child_start(const char *path, const struct ct_child_limits *limits, bool with_codecs,
    struct ct_child *ret_child, char *ret_message);

/* Sets the limits anew; for each image. -errno. */
int ct_child_limit(pid_t pid, const struct ct_child_limits *limits);

/* What it has in memory; 0 when that is not to be had. */
uint64_t ct_child_resident_bytes(const struct ct_child *child);

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

/*
 * The error and the message that go with a process that went away by itself. No message for
 * CT_ERROR_WORKER_MEMORY: that is said in one place, with the limit.
 */
int ct_child_explain(int status, unsigned cpu_s, char *ret_message);

/*
 * Checks an answer against the request and moves it into *ret_developed together with the memory
 * files `fds`, of which those that became prints are set to -1.
 * CT_ERROR_PEER_PROTOCOL, -ENOMEM, or the failure that the worker reports.
 */
int ct_answer_accept(const struct ct_worker_request *request, const struct ct_worker_reply *reply,
    int *fds, struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure);

/* snprintf into a message. */
void ct_message_set(char *ret_message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
