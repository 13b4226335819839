/*
 * A fixed number of threads that take tasks from one bounded queue, first in, first out.
 */
#ifndef CT_BASE_THREAD_POOL_H
#define CT_BASE_THREAD_POOL_H

#include <stddef.h>

struct ct_thread_pool;

struct ct_thread_pool_options {
	const char *name;  /* of the threads, at most 15 characters; static */
	unsigned threads;  /* at least 1 */
	size_t max_queued; /* at least 1 */
};

int ct_thread_pool_new(
    const struct ct_thread_pool_options *options, struct ct_thread_pool **ret_pool);

/* Finishes what is queued, ends the threads, frees. Not from its own threads. NULL is allowed. */
void ct_thread_pool_free(struct ct_thread_pool *pool);

/* Any thread, never waits. CT_ERROR_LIMIT_REACHED: the queue is full; `run` is then not called. */
int ct_thread_pool_submit(struct ct_thread_pool *pool, void (*run)(void *arg), void *arg);

/*
 * Starts a thread of ours: named, with all signals but faults blocked and a stack of 256 KiB.
 * Joined with pthread_join.
 */
#include <pthread.h>
int ct_thread_start(const char *name, void *(*run)(void *arg), void *arg, pthread_t *ret_thread);

#endif
