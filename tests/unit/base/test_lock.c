#include "base/clock.h"
#include "base/lock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>

TestSuite(lock, .timeout = 20);
TestSuite(condition, .timeout = 20);

static void init_two(struct ct_lock *upper, struct ct_lock *lower)
{
	ct_lock_init(upper, CT_LOCK_JOBS);
	ct_lock_init(lower, CT_LOCK_SPACE);
}

Test(lock, rising_ranks_in_any_order_of_release)
{
	struct ct_lock upper;
	struct ct_lock lower;
	init_two(&upper, &lower);
	ct_lock_take(&upper);
	ct_lock_take(&lower);
	ct_lock_assert_held(&upper);
	ct_lock_release(&upper);
	ct_lock_release(&lower);
	ct_lock_take(&lower);
	ct_lock_release(&lower);
	ct_lock_done(&upper);
	ct_lock_done(&lower);
}

Test(lock, falling_rank_asserts, .signal = SIGABRT)
{
	struct ct_lock upper;
	struct ct_lock lower;
	init_two(&upper, &lower);
	ct_lock_take(&lower);
	ct_lock_take(&upper);
}

Test(lock, same_rank_asserts, .signal = SIGABRT)
{
	struct ct_lock one;
	struct ct_lock other;
	ct_lock_init(&one, CT_LOCK_LEAF);
	ct_lock_init(&other, CT_LOCK_LEAF);
	ct_lock_take(&one);
	ct_lock_take(&other);
}

Test(lock, twice_asserts, .signal = SIGABRT)
{
	struct ct_lock one;
	ct_lock_init(&one, CT_LOCK_LEAF);
	ct_lock_take(&one);
	ct_lock_take(&one);
}

Test(lock, release_of_what_is_not_held_asserts, .signal = SIGABRT)
{
	struct ct_lock one;
	ct_lock_init(&one, CT_LOCK_LEAF);
	ct_lock_release(&one);
}

Test(lock, not_held_asserts, .signal = SIGABRT)
{
	struct ct_lock one;
	ct_lock_init(&one, CT_LOCK_LEAF);
	ct_lock_assert_held(&one);
}

Test(lock, done_while_held_asserts, .signal = SIGABRT)
{
	struct ct_lock one;
	ct_lock_init(&one, CT_LOCK_LEAF);
	ct_lock_take(&one);
	ct_lock_done(&one);
}

Test(condition, wait_under_a_lower_lock_asserts, .signal = SIGABRT)
{
	struct ct_lock upper;
	struct ct_lock lower;
	struct ct_condition condition;
	init_two(&upper, &lower);
	ct_condition_init(&condition);
	ct_lock_take(&upper);
	ct_lock_take(&lower);
	(void)ct_condition_wait_until(&condition, &upper, 0);
}

Test(condition, times_out)
{
	struct ct_lock lock;
	struct ct_condition condition;
	ct_lock_init(&lock, CT_LOCK_LEAF);
	ct_condition_init(&condition);
	ct_lock_take(&lock);
	int64_t start_ms = ct_clock_monotonic_ms();
	while (ct_condition_wait_until(&condition, &lock, start_ms + 50) != -ETIMEDOUT)
		;
	int64_t waited_ms = ct_clock_monotonic_ms() - start_ms;
	cr_assert(waited_ms >= 49 && waited_ms < 5000);
	cr_assert_eq(ct_condition_wait_until(&condition, &lock, -1), -ETIMEDOUT);
	ct_lock_assert_held(&lock);
	ct_lock_release(&lock);
	ct_condition_done(&condition);
	ct_lock_done(&lock);
}

struct shared {
	struct ct_lock lock;
	struct ct_condition changed;
	bool asked;
	int count;
};

static void *run_counter(void *arg)
{
	struct shared *shared = arg;
	for (int i = 0; i < 10000; i++) {
		ct_lock_take(&shared->lock);
		shared->count++;
		ct_lock_release(&shared->lock);
	}
	ct_lock_take(&shared->lock);
	while (!shared->asked)
		ct_condition_wait(&shared->changed, &shared->lock);
	shared->count++;
	ct_lock_release(&shared->lock);
	return NULL;
}

Test(condition, excludes_and_wakes_all)
{
	struct shared shared = { .asked = false };
	pthread_t threads[4];
	ct_lock_init(&shared.lock, CT_LOCK_LEAF);
	ct_condition_init(&shared.changed);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, run_counter, &shared), 0);
	ct_lock_take(&shared.lock);
	shared.asked = true;
	ct_condition_broadcast(&shared.changed);
	ct_lock_release(&shared.lock);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(shared.count, 40004);
	ct_condition_done(&shared.changed);
	ct_lock_done(&shared.lock);
}
