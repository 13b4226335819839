#include "base/thread_pool.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/lock.h"
#include "calotype/error.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME_CHARS 15
#define MAX_THREADS 1024
#define MAX_QUEUED (1u << 20)

struct task {
	void (*run)(void *arg);
	void *arg;
};

struct ct_thread_pool {
	/* Set once. */
	size_t max_queued;
	unsigned thread_count; /* that have started */
	pthread_t *threads;

	struct ct_lock lock;
	struct ct_condition changed;
	/* Under lock: a ring. */
	struct task *tasks;
	size_t first;
	size_t queued;
	bool stopping;
};

/* Faults stay deliverable: blocked, they would kill without a report of a sanitizer. */
static void fill_signals(sigset_t *ret_signals)
{
	CT_ASSERT(sigfillset(ret_signals) == 0);
	CT_ASSERT(sigdelset(ret_signals, SIGSEGV) == 0);
	CT_ASSERT(sigdelset(ret_signals, SIGBUS) == 0);
	CT_ASSERT(sigdelset(ret_signals, SIGILL) == 0);
	CT_ASSERT(sigdelset(ret_signals, SIGFPE) == 0);
}

int ct_thread_start(const char *name, void *(*run)(void *arg), void *arg, pthread_t *ret_thread)
{
	CT_ASSERT(strlen(name) <= MAX_NAME_CHARS);
	pthread_attr_t attributes;
	int r = pthread_attr_init(&attributes);
	if (r != 0)
		return -r;
	CT_ASSERT(pthread_attr_setstacksize(&attributes, CT_THREAD_STACK_BYTES) == 0);

	sigset_t blocked;
	sigset_t before;
	pthread_t thread;
	fill_signals(&blocked);
	CT_ASSERT(pthread_sigmask(SIG_SETMASK, &blocked, &before) == 0);
	r = pthread_create(&thread, &attributes, run, arg);
	CT_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	CT_ASSERT(pthread_attr_destroy(&attributes) == 0);
	if (r != 0)
		return -r;
	/* A name is for the eye; it fails when the thread has ended already. */
	(void)pthread_setname_np(thread, name);
	*ret_thread = thread;
	return 0;
}

/* Waits for a task; false when the pool stops and none is left. */
static bool next_task(struct ct_thread_pool *pool, struct task *ret_task)
{
	ct_lock_take(&pool->lock);
	while (pool->queued == 0 && !pool->stopping)
		ct_condition_wait(&pool->changed, &pool->lock);
	bool found = pool->queued > 0;
	if (found) {
		*ret_task = pool->tasks[pool->first];
		pool->first = (pool->first + 1) % pool->max_queued;
		pool->queued--;
	}
	ct_lock_release(&pool->lock);
	return found;
}

static void *run_thread(void *arg)
{
	struct ct_thread_pool *pool = arg;
	struct task task;
	while (next_task(pool, &task))
		task.run(task.arg);
	return NULL;
}

CT_DEFINE_CLEANUP(pool_cleanup, struct ct_thread_pool *, ct_thread_pool_free)

int ct_thread_pool_new(
    const struct ct_thread_pool_options *options, struct ct_thread_pool **ret_pool)
{
	CT_ASSERT(options->threads >= 1 && options->threads <= MAX_THREADS);
	CT_ASSERT(options->max_queued >= 1 && options->max_queued <= MAX_QUEUED);
	ct_cleanup(pool_cleanup) struct ct_thread_pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return -ENOMEM;
	ct_lock_init(&pool->lock, CT_LOCK_POOL);
	ct_condition_init(&pool->changed);
	pool->max_queued = options->max_queued;
	pool->tasks = calloc(options->max_queued, sizeof(*pool->tasks));
	pool->threads = calloc(options->threads, sizeof(*pool->threads));
	if (pool->tasks == NULL || pool->threads == NULL)
		return -ENOMEM;
	while (pool->thread_count < options->threads) {
		int r = ct_thread_start(
		    options->name, run_thread, pool, &pool->threads[pool->thread_count]);
		if (r < 0)
			return r;
		pool->thread_count++;
	}
	*ret_pool = ct_steal(pool);
	return 0;
}

void ct_thread_pool_free(struct ct_thread_pool *pool)
{
	if (pool == NULL)
		return;
	ct_lock_take(&pool->lock);
	pool->stopping = true;
	ct_condition_broadcast(&pool->changed);
	ct_lock_release(&pool->lock);
	/* Joining oneself is EDEADLK, which asserts. */
	for (unsigned i = 0; i < pool->thread_count; i++)
		CT_ASSERT(pthread_join(pool->threads[i], NULL) == 0);
	CT_ASSERT(pool->queued == 0);
	ct_condition_done(&pool->changed);
	ct_lock_done(&pool->lock);
	free(pool->threads);
	free(pool->tasks);
	free(pool);
}

int ct_thread_pool_submit(struct ct_thread_pool *pool, void (*run)(void *arg), void *arg)
{
	int r = CT_ERROR_LIMIT_REACHED;
	ct_lock_take(&pool->lock);
	if (pool->queued < pool->max_queued) {
		size_t last = (pool->first + pool->queued) % pool->max_queued;
		pool->tasks[last] = (struct task){ run, arg };
		pool->queued++;
		ct_condition_signal(&pool->changed);
		r = 0;
	}
	ct_lock_release(&pool->lock);
	return r;
}
