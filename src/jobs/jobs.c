/*
 * The life of the queue and its workers. A worker sleeps until `look` is set or a job falls due,
 * and clears `look` before it claims; what is committed after that sets it again, so no job waits
 * unseen. A worker that got a job sets it for the next one: each wake starts as many workers as
 * there are jobs. An idle worker looks once a lease in any case, for jobs of other processes.
 */
#include "jobs/jobs_priv.h"
#include "jobs/waiting.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "calotype/error.h"
#include "metadata/jobs.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_WORKERS 2
#define DEFAULT_BACKOFF_MIN_MS 1000
#define DEFAULT_BACKOFF_MAX_MS 30000
#define PAUSE_AFTER_ERROR_MS 1000
#define SETTLE_TRIES 5
#define SETTLE_PAUSE_MS 100 /* before the second try, then doubled */

const struct ct_job_kind *ct_jobs_find_kind(const struct ct_jobs *jobs, const char *name)
{
	for (size_t i = 0; i < jobs->kind_count; i++) {
		if (strcmp(jobs->kinds[i].name, name) == 0)
			return &jobs->kinds[i];
	}
	return NULL;
}

/* ---- waiting ---- */

void ct_jobs_look_locked(struct ct_jobs *jobs)
{
	ct_lock_assert_held(&jobs->lock);
	jobs->look = true;
	ct_condition_signal(&jobs->work);
}

void ct_jobs_wake(struct ct_jobs *jobs)
{
	ct_lock_take(&jobs->lock);
	ct_jobs_look_locked(jobs);
	ct_lock_release(&jobs->lock);
}

static int64_t look_deadline_locked(const struct ct_jobs *jobs)
{
	int64_t wait_ms = jobs->lease_ms;
	if (jobs->next_run_at != 0) {
		int64_t until_ms = jobs->next_run_at - ct_clock_wall_ms();
		wait_ms = until_ms < wait_ms ? until_ms : wait_ms;
	}
	return ct_clock_monotonic_ms() + (wait_ms > 0 ? wait_ms : 0);
}

/* Until something may be due; false when the queue stops. */
static bool wait_for_work(struct ct_jobs *jobs)
{
	ct_lock_take(&jobs->lock);
	while (!jobs->stopping && !jobs->look) {
		int64_t deadline = look_deadline_locked(jobs);
		if (ct_condition_wait_until(&jobs->work, &jobs->lock, deadline) == -ETIMEDOUT) {
			jobs->next_run_at = 0; /* the claim tells it again */
			jobs->look = true;
		}
	}
	bool go = !jobs->stopping;
	jobs->look = false;
	ct_lock_release(&jobs->lock);
	return go;
}

/* False when the queue stops meanwhile. */
static bool pause_worker(struct ct_jobs *jobs, int64_t pause_ms)
{
	int64_t deadline = ct_clock_monotonic_ms() + pause_ms;
	ct_lock_take(&jobs->lock);
	while (!jobs->stopping) {
		if (ct_condition_wait_until(&jobs->pause, &jobs->lock, deadline) == -ETIMEDOUT)
			break;
	}
	bool go = !jobs->stopping;
	ct_lock_release(&jobs->lock);
	return go;
}

/* ---- running ---- */

static bool is_settled(int r)
{
	return r == 0 || r == CT_ERROR_LEASE_LOST;
}

static int settle_with_patience(struct ct_jobs *jobs, const struct ct_job_kind *kind,
    const struct ct_job_row *row, struct ct_job_outcome *outcome)
{
	int r = ct_jobs_settle(jobs, kind, row, outcome);
	for (int tries = 1; tries < SETTLE_TRIES && !is_settled(r); tries++) {
		if (!pause_worker(jobs, (int64_t)SETTLE_PAUSE_MS << tries))
			break;
		r = ct_jobs_settle(jobs, kind, row, outcome);
	}
	return r;
}

/* A result that cannot be written makes the run a failed one; if that fails too, the lease ends. */
static int settle(struct ct_jobs *jobs, const struct ct_job_kind *kind,
    const struct ct_job_row *row, struct ct_job_outcome *outcome)
{
	int r = settle_with_patience(jobs, kind, row, outcome);
	if (!is_settled(r) && outcome->error == 0) {
		outcome->error = r;
		(void)snprintf(outcome->detail, sizeof(outcome->detail),
		    "the result could not be written to the database");
		r = ct_jobs_settle(jobs, kind, row, outcome);
	}
	return r;
}

static void log_lost(const struct ct_job_row *row, int error)
{
	ct_log(error == CT_ERROR_LEASE_LOST ? CT_LOG_WARNING : CT_LOG_ERROR, "job.result_lost",
	    CT_LOG_TEXT("id", row->id), CT_LOG_TEXT("kind", row->kind),
	    CT_LOG_NUMBER("attempt", row->attempts), CT_LOG_CODE(error));
}

static void run_in_slot(
    struct ct_jobs *jobs, const struct ct_job_row *row, struct ct_job_slot *slot)
{
	const struct ct_job_kind *kind = ct_jobs_find_kind(jobs, row->kind);
	CT_ASSERT(kind != NULL);
	struct ct_job_outcome outcome = { 0 };
	int64_t began_us = ct_clock_monotonic_us();
	kind->run(jobs, row, &outcome, kind->context);
	bool canceled = ct_jobs_mark_ending(jobs, slot);
	int r = settle(jobs, kind, row, &outcome);
	ct_metrics_observe_us(CT_METRIC_JOB_TIME, ct_clock_monotonic_us() - began_us);
	if (r < 0 && !canceled)
		log_lost(row, r);
	if (r < 0 && outcome.discard != NULL)
		outcome.discard(outcome.arg);
	if (outcome.release != NULL)
		outcome.release(outcome.arg);
	ct_json_free(outcome.response);
}

void ct_jobs_run_claimed(struct ct_jobs *jobs, const struct ct_job_row *row)
{
	struct ct_job_slot *slot = ct_jobs_take_slot(jobs, row);
	if (ct_jobs_is_still_ours(jobs, row))
		run_in_slot(jobs, row, slot);
	ct_jobs_drop_slot(jobs, slot);
}

static void note_next_run(struct ct_jobs *jobs, int64_t run_at)
{
	ct_lock_take(&jobs->lock);
	/* Two workers may tell it in any order: the earlier time is the safe one. */
	if (run_at != 0 && (jobs->next_run_at == 0 || run_at < jobs->next_run_at))
		jobs->next_run_at = run_at;
	ct_lock_release(&jobs->lock);
}

static void claim_and_run(struct ct_jobs *jobs)
{
	struct ct_job_row row = { 0 };
	int64_t next_run_at = 0;
	int r = ct_jobs_claim(jobs, &row, &next_run_at);
	if (r == 0) {
		ct_jobs_run_claimed(jobs, &row);
		ct_job_row_done(&row);
	} else if (r == -EAGAIN) {
		ct_jobs_wake(jobs);
	} else if (r == CT_ERROR_NOT_FOUND) {
		note_next_run(jobs, next_run_at);
	} else {
		ct_log(CT_LOG_ERROR, "jobs.claim_failed", CT_LOG_CODE(r));
		if (pause_worker(jobs, PAUSE_AFTER_ERROR_MS))
			ct_jobs_wake(jobs);
	}
}

static void *run_worker(void *arg)
{
	struct ct_jobs *jobs = arg;
	while (wait_for_work(jobs))
		claim_and_run(jobs);
	ct_lock_take(&jobs->lock);
	jobs->alive--;
	ct_condition_broadcast(&jobs->pause);
	ct_lock_release(&jobs->lock);
	return NULL;
}

/* ---- life ---- */

CT_DEFINE_CLEANUP(jobs_cleanup, struct ct_jobs *, ct_jobs_free)

static int copy_kinds(struct ct_jobs *jobs, const struct ct_jobs_options *options)
{
	jobs->kinds = calloc(options->kind_count + 1, sizeof(*jobs->kinds));
	if (jobs->kinds == NULL)
		return -ENOMEM;
	if (options->kind_count > 0)
		memcpy(jobs->kinds, options->kinds, options->kind_count * sizeof(*jobs->kinds));
	jobs->kind_count = options->kind_count;
	return 0;
}

int ct_jobs_new(const struct ct_jobs_options *options, struct ct_jobs **ret_jobs)
{
	CT_ASSERT(options->metadata != NULL && options->owner != NULL);
	CT_ASSERT(options->owner[0] != '\0' && strlen(options->owner) <= CT_NODE_MAX);
	CT_ASSERT(options->workers <= CT_JOB_WORKERS_MAX);
	ct_cleanup(jobs_cleanup) struct ct_jobs *jobs = calloc(1, sizeof(*jobs));
	if (jobs == NULL)
		return -ENOMEM;
	ct_lock_init(&jobs->lock, CT_LOCK_JOBS);
	ct_condition_init(&jobs->work);
	ct_condition_init(&jobs->pause);
	jobs->metadata = options->metadata;
	jobs->moved_at_ms = ct_clock_monotonic_ms();
	jobs->readers = options->readers;
	memcpy(jobs->owner, options->owner, strlen(options->owner) + 1);
	jobs->public_url = options->public_url;
	jobs->worker_count = options->workers > 0 ? options->workers : DEFAULT_WORKERS;
	jobs->lease_ms = options->lease_ms > 0 ? options->lease_ms : CT_JOB_LEASE_MS;
	jobs->backoff_min_ms =
	    options->backoff_min_ms > 0 ? options->backoff_min_ms : DEFAULT_BACKOFF_MIN_MS;
	jobs->backoff_max_ms =
	    options->backoff_max_ms > 0 ? options->backoff_max_ms : DEFAULT_BACKOFF_MAX_MS;
	int r = copy_kinds(jobs, options);
	if (r == 0)
		r = ct_job_waiting_new(jobs, &jobs->waiting);
	if (r < 0)
		return r;
	*ret_jobs = ct_steal(jobs);
	return 0;
}

static int release_own(struct ct_metadata_view *view, void *arg)
{
	struct ct_jobs *jobs = arg;
	return ct_job_release(view, jobs->owner, ct_clock_wall_ms());
}

static int start_workers(struct ct_jobs *jobs)
{
	for (unsigned i = 0; i < jobs->worker_count; i++) {
		int r = ct_thread_start("job", run_worker, jobs, &jobs->workers[i]);
		if (r < 0)
			return r;
		jobs->started++;
		ct_lock_take(&jobs->lock);
		jobs->alive++;
		ct_lock_release(&jobs->lock);
	}
	return 0;
}

int ct_jobs_start(struct ct_jobs *jobs)
{
	CT_ASSERT(jobs->started == 0 && !jobs->has_keeper);
	int r = ct_metadata_write(jobs->metadata, release_own, jobs);
	if (r < 0)
		return r;
	if (r > 0)
		ct_log(CT_LOG_WARNING, "jobs.released", CT_LOG_NUMBER("count", r));
	r = ct_thread_start("job-keeper", ct_jobs_run_keeper, jobs, &jobs->keeper);
	if (r < 0)
		return r;
	jobs->has_keeper = true;
	r = ct_job_waiting_start(jobs->waiting);
	if (r < 0)
		return r;
	r = start_workers(jobs);
	if (r < 0)
		return r;
	ct_jobs_wake(jobs);
	return 0;
}

/* Asks the workers to end and waits for them; the keeper goes on beating meanwhile. */
static int wait_for_workers(struct ct_jobs *jobs, int64_t deadline)
{
	int r = 0;
	ct_lock_take(&jobs->lock);
	jobs->stopping = true;
	ct_condition_broadcast(&jobs->work);
	ct_condition_broadcast(&jobs->pause);
	while (jobs->alive > 0 && r == 0)
		r = ct_condition_wait_until(&jobs->pause, &jobs->lock, deadline);
	if (jobs->alive == 0)
		r = 0;
	ct_lock_release(&jobs->lock);
	return r;
}

static void join_all(struct ct_jobs *jobs)
{
	for (unsigned i = 0; i < jobs->started; i++)
		CT_ASSERT(pthread_join(jobs->workers[i], NULL) == 0);
	jobs->started = 0;
	ct_lock_take(&jobs->lock);
	jobs->keeper_stopping = true;
	ct_condition_broadcast(&jobs->pause);
	ct_lock_release(&jobs->lock);
	if (jobs->has_keeper)
		CT_ASSERT(pthread_join(jobs->keeper, NULL) == 0);
	jobs->has_keeper = false;
}

int ct_jobs_stop(struct ct_jobs *jobs, int64_t timeout_ms)
{
	int r = wait_for_workers(jobs, ct_clock_monotonic_ms() + timeout_ms);
	if (r == 0)
		join_all(jobs);
	return r;
}

void ct_jobs_drain(struct ct_jobs *jobs)
{
	ct_job_waiting_drain(jobs->waiting);
}

void ct_jobs_free(struct ct_jobs *jobs)
{
	if (jobs == NULL)
		return;
	while (ct_jobs_stop(jobs, jobs->lease_ms) < 0)
		ct_log(CT_LOG_WARNING, "jobs.still_running");
	ct_job_waiting_free(jobs->waiting);
	ct_condition_done(&jobs->pause);
	ct_condition_done(&jobs->work);
	ct_lock_done(&jobs->lock);
	free(jobs->kinds);
	free(jobs);
}
