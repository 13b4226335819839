/*
 * A program without a test framework, for ThreadSanitizer: pools, locks and conditions under load.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread_pool.h"

#include <stddef.h>

#define ITEMS 2000
#define SLOTS 4

/* Two pools hand numbers through a ring that is too small for them. */
struct ring {
	struct ct_lock outer;
	struct ct_lock inner;
	struct ct_condition changed;
	/* Under inner. */
	int slots[SLOTS];
	size_t first;
	size_t count;
	/* Under outer. */
	long sum;
};

static void put(void *arg)
{
	struct ring *ring = arg;
	ct_lock_take(&ring->inner);
	while (ring->count == SLOTS)
		ct_condition_wait(&ring->changed, &ring->inner);
	ring->slots[(ring->first + ring->count) % SLOTS] = 1;
	ring->count++;
	ct_condition_broadcast(&ring->changed);
	ct_lock_release(&ring->inner);
}

static int take_one(struct ring *ring)
{
	ct_lock_take(&ring->inner);
	while (ring->count == 0)
		(void)ct_condition_wait_until(&ring->changed, &ring->inner,
		    ct_clock_monotonic_ms() + 5); /* looked at again in either case */
	int value = ring->slots[ring->first];
	ring->first = (ring->first + 1) % SLOTS;
	ring->count--;
	ct_condition_broadcast(&ring->changed);
	ct_lock_release(&ring->inner);
	return value;
}

static void take(void *arg)
{
	struct ring *ring = arg;
	int value = take_one(ring);
	ct_clock_shift_wall_ms(value);
	ct_log(CT_LOG_DEBUG, "test.taken", CT_LOG_NUMBER("value", value));
	ct_log_late(CT_LOG_INFO, "test.taken", CT_LOG_NUMBER("value", value));
	ct_lock_take(&ring->outer);
	ct_lock_take(&ring->inner);
	ring->sum += value;
	ct_lock_release(&ring->inner);
	ct_lock_release(&ring->outer);
}

static struct ct_thread_pool *make_pool(const char *name)
{
	const struct ct_thread_pool_options options = {
		.name = name,
		.threads = 3,
		.max_queued = 16,
	};
	struct ct_thread_pool *pool = NULL;
	CT_ASSERT(ct_thread_pool_new(&options, &pool) == 0);
	return pool;
}

int main(void)
{
	struct ring ring = { .sum = 0 };
	ct_lock_init(&ring.outer, CT_LOCK_JOBS);
	ct_lock_init(&ring.inner, CT_LOCK_LEAF);
	ct_condition_init(&ring.changed);
	CT_ASSERT(ct_log_late_start() == 0);
	struct ct_thread_pool *putters = make_pool("putters");
	struct ct_thread_pool *takers = make_pool("takers");

	for (int i = 0; i < ITEMS; i++) {
		while (ct_thread_pool_submit(takers, take, &ring) < 0)
			;
		while (ct_thread_pool_submit(putters, put, &ring) < 0)
			;
	}
	ct_thread_pool_free(putters);
	ct_thread_pool_free(takers);
	ct_log_late_stop();
	CT_ASSERT(ring.sum == ITEMS);
	ct_condition_done(&ring.changed);
	ct_lock_done(&ring.inner);
	ct_lock_done(&ring.outer);
	return 0;
}
