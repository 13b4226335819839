/*
 * The keeper beats the heart of all that runs here with one transaction a third of a lease, so a
 * lease needs three missed beats to run out; each third beat it frees what died on other servers.
 */
#include "jobs/jobs_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "calotype/error.h"
#include "metadata/jobs.h"

#include <errno.h>

#define BEATS_PER_LEASE 3

struct beat {
	int64_t now, lease_until;
	bool release;
	int released;
	unsigned count;
	struct ct_job_slot slots[CT_JOB_WORKERS_MAX];
};

/* Until the next beat is due; false when the keeper stops. */
static bool wait_for_beat(struct ct_jobs *jobs)
{
	int64_t deadline = ct_clock_monotonic_ms() + jobs->lease_ms / BEATS_PER_LEASE;
	ct_lock_take(&jobs->lock);
	while (!jobs->keeper_stopping) {
		if (ct_condition_wait_until(&jobs->pause, &jobs->lock, deadline) == -ETIMEDOUT)
			break;
	}
	bool go = !jobs->keeper_stopping;
	ct_lock_release(&jobs->lock);
	return go;
}

static void copy_running(struct ct_jobs *jobs, struct beat *beat)
{
	ct_lock_take(&jobs->lock);
	for (unsigned i = 0; i < jobs->worker_count; i++) {
		if (jobs->slots[i].used && !jobs->slots[i].lost)
			beat->slots[beat->count++] = jobs->slots[i];
	}
	ct_lock_release(&jobs->lock);
}

static int run_beat(struct ct_metadata_view *view, void *arg)
{
	struct beat *beat = arg;
	for (unsigned i = 0; i < beat->count; i++) {
		struct ct_job_slot *slot = &beat->slots[i];
		int r = ct_job_heartbeat(view, slot->id, slot->token, beat->lease_until);
		slot->lost = r == CT_ERROR_LEASE_LOST;
		if (r < 0 && r != CT_ERROR_LEASE_LOST)
			return r;
	}
	/* After the beats, so that it finds none of ours. */
	beat->released = beat->release ? ct_job_release(view, NULL, beat->now) : 0;
	return beat->released < 0 ? beat->released : 0;
}

/* True when the worker is still at it: a job that has just ended also lost its lease. */
static bool mark_lost(struct ct_jobs *jobs, const struct ct_job_slot *lost)
{
	bool found = false;
	ct_lock_take(&jobs->lock);
	for (unsigned i = 0; i < jobs->worker_count; i++) {
		struct ct_job_slot *slot = &jobs->slots[i];
		if (slot->used && !slot->ending && slot->token == lost->token &&
		    ct_slice_equal(ct_slice_from_string(slot->id), lost->id))
			found = slot->lost = true;
	}
	ct_lock_release(&jobs->lock);
	return found;
}

static void beat_once(struct ct_jobs *jobs, bool release)
{
	int64_t now = ct_clock_wall_ms();
	struct beat beat = { .now = now, .lease_until = now + jobs->lease_ms, .release = release };
	copy_running(jobs, &beat);
	if (beat.count == 0 && !release)
		return;
	int r = ct_metadata_write(jobs->metadata, run_beat, &beat);
	if (r < 0) {
		ct_log(CT_LOG_ERROR, "jobs.beat_failed", CT_LOG_CODE(r));
		return;
	}
	for (unsigned i = 0; i < beat.count; i++) {
		if (beat.slots[i].lost && mark_lost(jobs, &beat.slots[i]))
			ct_log(
			    CT_LOG_WARNING, "job.lease_lost", CT_LOG_TEXT("id", beat.slots[i].id));
	}
	if (beat.released > 0) {
		ct_log(CT_LOG_WARNING, "jobs.released", CT_LOG_NUMBER("count", beat.released));
		ct_jobs_wake(jobs);
	}
}

void *ct_jobs_run_keeper(void *arg)
{
	struct ct_jobs *jobs = arg;
	for (unsigned beats = 1; wait_for_beat(jobs); beats++)
		beat_once(jobs, beats % BEATS_PER_LEASE == 0);
	return NULL;
}
