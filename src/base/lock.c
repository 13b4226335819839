/*
 * The order of locks is checked, not only written down: each thread knows by rank what it holds.
 */
#include "base/lock.h"
#include "base/assert.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

static _Thread_local const struct ct_lock *held[CT_LOCK_RANK_COUNT];

static bool holds_none_from(int rank)
{
	for (int i = rank; i < CT_LOCK_RANK_COUNT; i++) {
		if (held[i] != NULL)
			return false;
	}
	return true;
}

void ct_lock_init(struct ct_lock *lock, enum ct_lock_rank rank)
{
	CT_ASSERT((int)rank >= 0 && rank < CT_LOCK_RANK_COUNT);
	lock->rank = rank;
	CT_ASSERT(pthread_mutex_init(&lock->mutex, NULL) == 0);
}

void ct_lock_done(struct ct_lock *lock)
{
	CT_ASSERT(held[lock->rank] != lock);
	CT_ASSERT(pthread_mutex_destroy(&lock->mutex) == 0);
}

void ct_lock_take(struct ct_lock *lock)
{
	CT_ASSERT(holds_none_from((int)lock->rank));
	CT_ASSERT(pthread_mutex_lock(&lock->mutex) == 0);
	held[lock->rank] = lock;
}

void ct_lock_release(struct ct_lock *lock)
{
	CT_ASSERT(held[lock->rank] == lock);
	held[lock->rank] = NULL;
	CT_ASSERT(pthread_mutex_unlock(&lock->mutex) == 0);
}

void ct_lock_assert_held(const struct ct_lock *lock)
{
	CT_ASSERT(held[lock->rank] == lock);
}

void ct_condition_init(struct ct_condition *condition)
{
	pthread_condattr_t attributes;
	CT_ASSERT(pthread_condattr_init(&attributes) == 0);
	CT_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	CT_ASSERT(pthread_cond_init(&condition->condition, &attributes) == 0);
	CT_ASSERT(pthread_condattr_destroy(&attributes) == 0);
}

void ct_condition_done(struct ct_condition *condition)
{
	CT_ASSERT(pthread_cond_destroy(&condition->condition) == 0);
}

/* Waiting takes the lock again at its end, so nothing of a higher rank may be held either. */
static void assert_may_wait(const struct ct_lock *lock)
{
	ct_lock_assert_held(lock);
	CT_ASSERT(holds_none_from((int)lock->rank + 1));
}

void ct_condition_wait(struct ct_condition *condition, struct ct_lock *lock)
{
	assert_may_wait(lock);
	CT_ASSERT(pthread_cond_wait(&condition->condition, &lock->mutex) == 0);
}

int ct_condition_wait_until(
    struct ct_condition *condition, struct ct_lock *lock, int64_t deadline_ms)
{
	assert_may_wait(lock);
	if (deadline_ms < 0)
		deadline_ms = 0;
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};
	int r = pthread_cond_timedwait(&condition->condition, &lock->mutex, &deadline);
	CT_ASSERT(r == 0 || r == ETIMEDOUT);
	return -r;
}

void ct_condition_signal(struct ct_condition *condition)
{
	CT_ASSERT(pthread_cond_signal(&condition->condition) == 0);
}

void ct_condition_broadcast(struct ct_condition *condition)
{
	CT_ASSERT(pthread_cond_broadcast(&condition->condition) == 0);
}
