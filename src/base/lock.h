/*
 * A mutex with a rank. A thread may only take locks of rising rank, one of each rank at a time;
 * src/README.md lists the order. Breaking it asserts at once, not once a year as a deadlock.
 */
#ifndef CT_BASE_LOCK_H
#define CT_BASE_LOCK_H

#include <pthread.h>
#include <stdint.h>

/* Taken from top to bottom: a lower line may be taken while an upper one is held. */
enum ct_lock_rank {
	CT_LOCK_UPLOADS,      /* uploads/registry: which request holds which upload */
	CT_LOCK_JOBS,	      /* jobs: who runs what */
	CT_LOCK_CACHE,	      /* cache: index, lru list, fills */
	CT_LOCK_IMAGING,      /* imaging/pool: idle workers */
	CT_LOCK_SPACE,	      /* storage: declared bytes */
	CT_LOCK_DATABASE,     /* metadata: queue of the writer, pool of readers */
	CT_LOCK_POOL,	      /* base/thread_pool: its queue */
	CT_LOCK_HTTP_SERVER,  /* http: open connections, counts per address */
	CT_LOCK_HTTP_REQUEST, /* http: one request's suspend and resume */
	CT_LOCK_LEAF,	      /* anything that calls nothing while held */
	CT_LOCK_RANK_COUNT
};

struct ct_lock {
	pthread_mutex_t mutex;
	enum ct_lock_rank rank;
};

void ct_lock_init(struct ct_lock *lock, enum ct_lock_rank rank);
void ct_lock_done(struct ct_lock *lock);
void ct_lock_take(struct ct_lock *lock);
void ct_lock_release(struct ct_lock *lock);
void ct_lock_assert_held(const struct ct_lock *lock);

/* A condition on CLOCK_MONOTONIC that goes with a ct_lock. */
struct ct_condition {
	pthread_cond_t condition;
};

void ct_condition_init(struct ct_condition *condition);
void ct_condition_done(struct ct_condition *condition);
void ct_condition_wait(struct ct_condition *condition, struct ct_lock *lock);
/* Until `deadline_ms` of ct_clock_monotonic_ms(); -ETIMEDOUT. */
int ct_condition_wait_until(
    struct ct_condition *condition, struct ct_lock *lock, int64_t deadline_ms);
void ct_condition_signal(struct ct_condition *condition);
void ct_condition_broadcast(struct ct_condition *condition);

#endif
