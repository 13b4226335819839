/*
 * The jobs that `put` waits for. Each is asked for at its own times: soon after the upload, then
 * when the server has said to.
 */
#ifndef CT_CLI_PENDING_H
#define CT_CLI_PENDING_H

#include "base/buffer.h"
#include "commands.h"
#include "retry.h"
#include <stddef.h>

struct ct_pending_job;

struct ct_pending {
	struct ct_cli *cli;
	struct ct_pending_job *jobs; /* in the order of their uploads */
	size_t count;
	size_t capacity;
	struct ct_retry retry;
	enum ct_exit worst; /* of the jobs that have ended */
	bool may_wait;	    /* nothing else is to be done: calls may take long */
};

void ct_pending_init(struct ct_pending *pending, struct ct_cli *cli);
void ct_pending_done(struct ct_pending *pending);

/* -ENOMEM. */
int ct_pending_add(struct ct_pending *pending, const char *path, const char *job);

/* Asks for those that are due, at most `most`, and reports those that have ended. */
enum ct_exit ct_pending_poll(struct ct_pending *pending, size_t most);

/* Until all have ended. */
enum ct_exit ct_pending_wait(struct ct_pending *pending);

/* Reports those that are still waited for: `state` says why that has ended. */
void ct_pending_abandon(
    struct ct_pending *pending, const char *state, const struct ct_failure *failure);

/* Live lines of at most `most` of them; how many were made. Each ends with ct_buffer_done(). */
size_t ct_pending_draw(const struct ct_pending *pending, size_t most, struct ct_buffer *ret_lines);

/* An ended job's image, with absolute addresses, and whether it has succeeded. */
struct ct_json *ct_job_take_image(const struct ct_json *job, const char *url);
bool ct_job_is_in_state(const struct ct_json *job, const char *state);

#endif
