#include "uploads/registry.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/thread_pool.h"
#include "calotype/error.h"

#include <errno.h>
#include <string.h>

void ct_registry_init(struct ct_registry *registry, int64_t wait_ms)
{
	*registry = (struct ct_registry){ .wait_ms = wait_ms };
	ct_lock_init(&registry->lock, CT_LOCK_UPLOADS);
	ct_condition_init(&registry->changed);
}

static struct ct_hold **bucket_of(struct ct_registry *registry, const char *id)
{
	size_t hash = 5381;

	for (const char *p = id; *p != '\0'; p++)
		hash = hash * 33 + (unsigned char)*p;
	return &registry->buckets[hash % CT_REGISTRY_BUCKETS];
}

static struct ct_hold *find_locked(struct ct_registry *registry, const char *id)
{
	ct_lock_assert_held(&registry->lock);
	struct ct_hold *hold = *bucket_of(registry, id);

	while (hold != NULL && strcmp(hold->id, id) != 0)
		hold = hold->next;
	return hold;
}

static void insert_locked(struct ct_registry *registry, struct ct_hold *hold)
{
	struct ct_hold **bucket = bucket_of(registry, hold->id);

	hold->next = *bucket;
	*bucket = hold;
}

static void remove_locked(struct ct_registry *registry, struct ct_hold *hold)
{
	struct ct_hold **link = bucket_of(registry, hold->id);

	while (*link != NULL && *link != hold)
		link = &(*link)->next;
	CT_ASSERT(*link == hold);
	*link = hold->next;
	hold->next = NULL;
}

static void reset(struct ct_hold *hold)
{
	hold->interruptible = hold->interrupted = false;
	hold->next = hold->first_waiter = hold->last_waiter = NULL;
	hold->earlier = hold->later = hold->holder_of = NULL;
	hold->waiter_count = 0;
}

static void interrupt_locked(struct ct_hold *hold)
{
	if (!hold->interruptible || hold->interrupted || hold->interrupt == NULL)
		return;
	hold->interrupted = true;
	hold->interrupt(hold->arg);
}

/* ---- waiting ---- */

static void wait_locked(struct ct_registry *registry, struct ct_hold *holder, struct ct_hold *hold)
{
	hold->holder_of = holder;
	if (holder->last_waiter != NULL)
		holder->last_waiter->next = hold;
	else
		holder->first_waiter = hold;
	holder->last_waiter = hold;
	holder->waiter_count++;

	/* One cap for all: the list by arrival is the list by deadline. */
	hold->deadline_ms = ct_clock_monotonic_ms() + registry->wait_ms;
	hold->earlier = registry->last_deadline;
	if (hold->earlier != NULL)
		hold->earlier->later = hold;
	else
		registry->first_deadline = hold;
	registry->last_deadline = hold;
	ct_condition_broadcast(&registry->changed);
}

static void forget_deadline_locked(struct ct_registry *registry, struct ct_hold *hold)
{
	if (hold->earlier != NULL)
		hold->earlier->later = hold->later;
	else
		registry->first_deadline = hold->later;
	if (hold->later != NULL)
		hold->later->earlier = hold->earlier;
	else
		registry->last_deadline = hold->earlier;
	hold->earlier = hold->later = NULL;
}

static void leave_line_locked(struct ct_hold *hold)
{
	struct ct_hold *holder = hold->holder_of;
	struct ct_hold **link = &holder->first_waiter;
	struct ct_hold *before = NULL;

	while (*link != hold) {
		CT_ASSERT(*link != NULL);
		before = *link;
		link = &before->next;
	}
	*link = hold->next;
	if (holder->last_waiter == hold)
		holder->last_waiter = before;
	holder->waiter_count--;
	hold->next = hold->holder_of = NULL;
}

static void *end_waiting(void *arg)
{
	struct ct_registry *registry = arg;

	ct_lock_take(&registry->lock);
	while (!registry->stopping) {
		struct ct_hold *hold = registry->first_deadline;
		if (hold == NULL) {
			ct_condition_wait(&registry->changed, &registry->lock);
		} else if (hold->deadline_ms > ct_clock_monotonic_ms()) {
			/* Woken or late, it looks again. */
			(void)ct_condition_wait_until(
			    &registry->changed, &registry->lock, hold->deadline_ms);
		} else {
			forget_deadline_locked(registry, hold);
			leave_line_locked(hold);
			ct_lock_release(&registry->lock);
			hold->granted(hold->arg, CT_ERROR_UPLOAD_BUSY);
			ct_lock_take(&registry->lock);
		}
	}
	ct_lock_release(&registry->lock);
	return NULL;
}

int ct_registry_start(struct ct_registry *registry)
{
	CT_ASSERT(!registry->started);
	int r = ct_thread_start("upload-wait", end_waiting, registry, &registry->thread);
	registry->started = r == 0;
	return r;
}

void ct_registry_done(struct ct_registry *registry)
{
	ct_lock_take(&registry->lock);
	CT_ASSERT(registry->users == 0 && registry->first_deadline == NULL);
	registry->stopping = true;
	ct_condition_broadcast(&registry->changed);
	ct_lock_release(&registry->lock);
	if (registry->started)
		CT_ASSERT(pthread_join(registry->thread, NULL) == 0);
	ct_condition_done(&registry->changed);
	ct_lock_done(&registry->lock);
}

void ct_registry_enter(struct ct_registry *registry)
{
	ct_lock_take(&registry->lock);
	registry->users++;
	ct_lock_release(&registry->lock);
}

void ct_registry_leave(struct ct_registry *registry)
{
	ct_lock_take(&registry->lock);
	CT_ASSERT(registry->users > 0);
	registry->users--;
	if (registry->users == 0)
		ct_condition_broadcast(&registry->changed);
	ct_lock_release(&registry->lock);
}

int ct_registry_wait_idle(struct ct_registry *registry, int64_t timeout_ms)
{
	int64_t deadline_ms = ct_clock_monotonic_ms() + timeout_ms;
	int r = 0;

	ct_lock_take(&registry->lock);
	while (registry->users > 0 && r == 0)
		r = ct_condition_wait_until(&registry->changed, &registry->lock, deadline_ms);
	if (registry->users == 0)
		r = 0;
	ct_lock_release(&registry->lock);
	return r;
}

/* ---- holding ---- */

static int acquire_locked(struct ct_registry *registry, struct ct_hold *hold, bool wait)
{
	struct ct_hold *holder = find_locked(registry, hold->id);

	if (holder == NULL) {
		insert_locked(registry, hold);
		return 1;
	}
	if (!wait || holder->waiter_count == CT_REGISTRY_MAX_WAITERS)
		return CT_ERROR_UPLOAD_BUSY;
	wait_locked(registry, holder, hold);
	interrupt_locked(holder);
	return 0;
}

int ct_registry_acquire(struct ct_registry *registry, struct ct_hold *hold)
{
	reset(hold);
	ct_lock_take(&registry->lock);
	int r = acquire_locked(registry, hold, true);
	ct_lock_release(&registry->lock);
	return r;
}

int ct_registry_try(struct ct_registry *registry, struct ct_hold *hold)
{
	reset(hold);
	ct_lock_take(&registry->lock);
	int r = acquire_locked(registry, hold, false);
	ct_lock_release(&registry->lock);
	return r;
}

void ct_registry_set_interruptible(struct ct_registry *registry, struct ct_hold *hold, bool can)
{
	ct_lock_take(&registry->lock);
	CT_ASSERT(find_locked(registry, hold->id) == hold);
	hold->interruptible = can;
	if (hold->first_waiter != NULL)
		interrupt_locked(hold);
	ct_lock_release(&registry->lock);
}

static struct ct_hold *release_locked(struct ct_registry *registry, struct ct_hold *hold)
{
	struct ct_hold *heir = hold->first_waiter;

	remove_locked(registry, hold);
	if (heir == NULL)
		return NULL;
	forget_deadline_locked(registry, heir);
	heir->first_waiter = heir->next;
	heir->last_waiter = heir->next != NULL ? hold->last_waiter : NULL;
	heir->waiter_count = hold->waiter_count - 1;
	heir->holder_of = NULL;
	for (struct ct_hold *waiter = heir->first_waiter; waiter != NULL; waiter = waiter->next)
		waiter->holder_of = heir;
	insert_locked(registry, heir);
	return heir;
}

void ct_registry_release(struct ct_registry *registry, struct ct_hold *hold)
{
	ct_lock_take(&registry->lock);
	struct ct_hold *heir = release_locked(registry, hold);
	ct_lock_release(&registry->lock);
	if (heir != NULL)
		heir->granted(heir->arg, 0);
}
