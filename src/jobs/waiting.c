/*
 * A watch is a job that somebody waits for. Watches are made by who comes first, queued when their
 * job has changed or somebody's time is over, and removed by the thread alone, which may therefore
 * hold one without the lock. Each bucket counts what it was told: who reads a row and then finds
 * another count has perhaps read an old row, and has his watch looked at once.
 */
#include "jobs/waiting.h"
#include "jobs/jobs_priv.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread_pool.h"
#include "calotype/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024
#define TICK_MS 100 /* times are rounded up to it, so that many end together */

struct waiter {
	struct waiter *next;
	struct ct_http_request *request;
	int64_t deadline_ms;
	unsigned wait_s;
};

struct watch {
	struct watch *next;
	struct watch *next_queued;
	struct waiter *waiters;
	bool queued;
	char id[CT_ID_CHARS + 1];
};

struct bucket {
	struct watch *watches;
	uint32_t told;
};

struct ct_job_waiting {
	struct ct_jobs *jobs; /* set once */

	/* Owned by the thread that starts and stops. */
	pthread_t thread;
	bool has_thread;

	struct ct_lock lock;
	struct ct_condition work;    /* the thread */
	struct ct_condition drained; /* who drains */
	/* Under lock. */
	struct bucket buckets[BUCKETS];
	struct watch *first_queued, *last_queued;
	unsigned watch_count;
	unsigned busy;	     /* watches that are being answered */
	int64_t deadline_ms; /* the earliest; INT64_MAX: nobody waits */
	bool open;
	bool stopping;
};

static struct bucket *find_bucket(struct ct_job_waiting *waiting, const char *id)
{
	uint32_t hash = 2166136261u;
	for (const char *at = id; *at != '\0'; at++)
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	return &waiting->buckets[hash % BUCKETS];
}

static struct watch *find_watch(const struct bucket *bucket, const char *id)
{
	struct watch *watch = bucket->watches;
	while (watch != NULL && strcmp(watch->id, id) != 0)
		watch = watch->next;
	return watch;
}

static void queue_locked(struct ct_job_waiting *waiting, struct watch *watch)
{
	ct_lock_assert_held(&waiting->lock);
	if (watch->queued)
		return;
	watch->queued = true;
	watch->next_queued = NULL;
	if (waiting->last_queued != NULL)
		waiting->last_queued->next_queued = watch;
	else
		waiting->first_queued = watch;
	waiting->last_queued = watch;
	ct_condition_signal(&waiting->work);
}

static void queue_all_locked(struct ct_job_waiting *waiting)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		waiting->buckets[i].told++;
		for (struct watch *w = waiting->buckets[i].watches; w != NULL; w = w->next)
			queue_locked(waiting, w);
	}
}

void ct_job_waiting_tell(struct ct_job_waiting *waiting, const char *id)
{
	ct_lock_take(&waiting->lock);
	if (id == NULL) {
		queue_all_locked(waiting);
	} else {
		struct bucket *bucket = find_bucket(waiting, id);
		struct watch *watch = find_watch(bucket, id);
		bucket->told++;
		if (watch != NULL)
			queue_locked(waiting, watch);
	}
	ct_lock_release(&waiting->lock);
}

uint32_t ct_job_waiting_mark(struct ct_job_waiting *waiting, const char *id)
{
	ct_lock_take(&waiting->lock);
	uint32_t mark = find_bucket(waiting, id)->told;
	ct_lock_release(&waiting->lock);
	return mark;
}

static struct watch *add_watch_locked(struct ct_job_waiting *waiting, const char *id)
{
	struct bucket *bucket = find_bucket(waiting, id);
	struct watch *watch = find_watch(bucket, id);
	if (watch != NULL)
		return watch;
	watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return NULL;
	(void)ct_slice_copy(ct_slice_from_string(id), watch->id, sizeof(watch->id)); /* it fits */
	watch->next = bucket->watches;
	bucket->watches = watch;
	waiting->watch_count++;
	return watch;
}

static int64_t deadline_in(unsigned wait_s)
{
	int64_t at_ms = ct_clock_monotonic_ms() + (int64_t)wait_s * 1000;
	return (at_ms + TICK_MS - 1) / TICK_MS * TICK_MS;
}

bool ct_job_waiting_add(struct ct_job_waiting *waiting, struct ct_http_request *request,
    const char *id, unsigned wait_s, uint32_t mark)
{
	struct waiter *waiter = malloc(sizeof(*waiter));
	if (waiter == NULL)
		return false;
	*waiter = (struct waiter){ NULL, request, deadline_in(wait_s), wait_s };
	ct_http_set_user(request, waiter); /* for ct_job_waiting_leave() */
	ct_lock_take(&waiting->lock);
	struct watch *watch = waiting->open ? add_watch_locked(waiting, id) : NULL;
	if (watch != NULL) {
		waiter->next = watch->waiters;
		watch->waiters = waiter;
		if (find_bucket(waiting, id)->told != mark)
			queue_locked(waiting, watch);
		if (waiter->deadline_ms < waiting->deadline_ms) {
			waiting->deadline_ms = waiter->deadline_ms;
			ct_condition_signal(&waiting->work);
		}
	}
	ct_lock_release(&waiting->lock);
	if (watch == NULL)
		free(waiter);
	return watch != NULL;
}

/* While the request sleeps its waiter lives: it is freed after the answer, which wakes it. */
void ct_job_waiting_leave(struct ct_job_waiting *waiting, struct ct_http_request *request)
{
	struct waiter *waiter = ct_http_user(request);
	int64_t now_ms = ct_clock_monotonic_ms();
	ct_lock_take(&waiting->lock);
	waiter->deadline_ms = now_ms;
	/* A little later, so that many who leave are looked for once. */
	if (now_ms + TICK_MS < waiting->deadline_ms) {
		waiting->deadline_ms = now_ms + TICK_MS;
		ct_condition_signal(&waiting->work);
	}
	ct_lock_release(&waiting->lock);
}

/* ---- the thread ---- */

static bool is_due(const struct waiter *waiter, int error, const struct ct_job_page *page)
{
	bool asked;
	if (error < 0 || page->ended || waiter->deadline_ms <= ct_clock_monotonic_ms())
		return true;
	/* Who names no version waits for the end. */
	return !ct_job_page_is_known(page, waiter->request, &asked) && asked;
}

static struct waiter *take_due_locked(
    struct ct_job_waiting *waiting, struct watch *watch, int error, const struct ct_job_page *page)
{
	struct waiter *due = NULL;
	struct waiter **at = &watch->waiters;
	while (*at != NULL) {
		struct waiter *waiter = *at;
		if (waiting->open && !is_due(waiter, error, page)) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->next = due;
		due = waiter;
	}
	return due;
}

static void remove_locked(struct ct_job_waiting *waiting, struct watch *watch)
{
	struct watch **at = &find_bucket(waiting, watch->id)->watches;
	if (watch->waiters != NULL || watch->queued)
		return;
	while (*at != watch)
		at = &(*at)->next;
	*at = watch->next;
	waiting->watch_count--;
	free(watch);
}

static void answer_all(struct waiter *due, int error, const struct ct_job_page *page)
{
	while (due != NULL) {
		struct waiter *waiter = due;
		bool asked;
		due = waiter->next;
		bool known = error == 0 && ct_job_page_is_known(page, waiter->request, &asked);
		(void)ct_http_answer(waiter->request, /* its result is for handlers */
		    ct_job_page_answer(
			waiter->request, known ? 304 : 200, error, page, waiter->wait_s));
		free(waiter);
	}
}

/* The lock is left for what takes time. */
static void serve_locked(struct ct_job_waiting *waiting)
{
	struct watch *watch = waiting->first_queued;
	ct_cleanup(ct_job_page_done) struct ct_job_page page = { 0 };
	waiting->first_queued = watch->next_queued;
	if (waiting->first_queued == NULL)
		waiting->last_queued = NULL;
	watch->queued = false;
	waiting->busy++;
	ct_lock_release(&waiting->lock);
	int error = ct_job_page_read(waiting->jobs, watch->id, &page);
	ct_lock_take(&waiting->lock);
	struct waiter *due = take_due_locked(waiting, watch, error, &page);
	remove_locked(waiting, watch);
	ct_lock_release(&waiting->lock);
	answer_all(due, error, &page);
	ct_lock_take(&waiting->lock);
	waiting->busy--;
	if (waiting->watch_count == 0)
		ct_condition_broadcast(&waiting->drained);
}

/* Queues the watches of those whose time is over, and finds out when the next one's is. */
static void expire_locked(struct ct_job_waiting *waiting, int64_t now_ms)
{
	waiting->deadline_ms = INT64_MAX;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct watch *w = waiting->buckets[i].watches; w != NULL; w = w->next) {
			for (struct waiter *at = w->waiters; at != NULL; at = at->next) {
				if (at->deadline_ms <= now_ms)
					queue_locked(waiting, w);
				else if (at->deadline_ms < waiting->deadline_ms)
					waiting->deadline_ms = at->deadline_ms;
			}
		}
	}
}

static void *run(void *arg)
{
	struct ct_job_waiting *waiting = arg;
	ct_lock_take(&waiting->lock);
	while (!waiting->stopping || waiting->watch_count > 0) {
		int64_t now_ms = ct_clock_monotonic_ms();
		if (waiting->deadline_ms <= now_ms)
			expire_locked(waiting, now_ms);
		if (waiting->first_queued != NULL)
			serve_locked(waiting);
		else if (waiting->deadline_ms == INT64_MAX)
			ct_condition_wait(&waiting->work, &waiting->lock);
		else /* both ends of it are looked at above */
			(void)ct_condition_wait_until(
			    &waiting->work, &waiting->lock, waiting->deadline_ms);
	}
	ct_lock_release(&waiting->lock);
	return NULL;
}

/* ---- life ---- */

int ct_job_waiting_new(struct ct_jobs *jobs, struct ct_job_waiting **ret_waiting)
{
	struct ct_job_waiting *waiting = calloc(1, sizeof(*waiting));
	if (waiting == NULL)
		return -ENOMEM;
	waiting->jobs = jobs;
	waiting->deadline_ms = INT64_MAX;
	ct_lock_init(&waiting->lock, CT_LOCK_LEAF);
	ct_condition_init(&waiting->work);
	ct_condition_init(&waiting->drained);
	*ret_waiting = waiting;
	return 0;
}

int ct_job_waiting_start(struct ct_job_waiting *waiting)
{
	CT_ASSERT(!waiting->has_thread);
	int r = ct_thread_start("job-waiting", run, waiting, &waiting->thread);
	if (r < 0)
		return r;
	waiting->has_thread = true;
	ct_lock_take(&waiting->lock);
	waiting->open = true;
	ct_lock_release(&waiting->lock);
	return 0;
}

void ct_job_waiting_drain(struct ct_job_waiting *waiting)
{
	ct_lock_take(&waiting->lock);
	waiting->open = false;
	queue_all_locked(waiting);
	while (waiting->watch_count > 0 || waiting->busy > 0)
		ct_condition_wait(&waiting->drained, &waiting->lock);
	ct_lock_release(&waiting->lock);
}

void ct_job_waiting_free(struct ct_job_waiting *waiting)
{
	if (waiting == NULL)
		return;
	if (waiting->has_thread) {
		ct_job_waiting_drain(waiting);
		ct_lock_take(&waiting->lock);
		waiting->stopping = true;
		ct_condition_broadcast(&waiting->work);
		ct_lock_release(&waiting->lock);
		CT_ASSERT(pthread_join(waiting->thread, NULL) == 0);
	}
	ct_condition_done(&waiting->drained);
	ct_condition_done(&waiting->work);
	ct_lock_done(&waiting->lock);
	free(waiting);
}
