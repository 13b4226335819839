/*
 * The keeper beats the heart of all that runs here with one transaction a third of a lease, so a
 * lease needs three missed beats to run out; it takes progress along. Each third beat it frees what
 * died on other servers.
 */
#include "jobs/jobs_priv.h"
#include "jobs/waiting.h"
#include "base/clock.h"
#include "base/log.h"
#include "calotype/error.h"
#include "metadata/jobs.h"

#include <errno.h>
#include <string.h>

#define BEATS_PER_LEASE 3

struct beat {
	int64_t now, lease_until;
	bool release;
	int released;
	unsigned count;
	struct ct_job_slot slots[CT_JOB_WORKERS_MAX]; /* copies of those at: */
	unsigned indexes[CT_JOB_WORKERS_MAX];
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
		if (jobs->slots[i].used && !jobs->slots[i].lost) {
			beat->indexes[beat->count] = i;
			beat->slots[beat->count++] = jobs->slots[i];
		}
	}
	ct_lock_release(&jobs->lock);
}

static int run_beat(struct ct_metadata_view *view, void *arg)
{
	struct beat *beat = arg;
	for (unsigned i = 0; i < beat->count; i++) {
		struct ct_job_slot *slot = &beat->slots[i];
		int r = ct_job_heartbeat(view, slot->id, slot->token, beat->lease_until);
		if (r == 0 && slot->step > slot->written)
			r = ct_job_set_progress(view, slot->id, slot->token, slot->progress);
		slot->lost = r == CT_ERROR_LEASE_LOST;
		if (r < 0 && r != CT_ERROR_LEASE_LOST)
			return r;
	}
	/* After the beats, so that it finds none of ours. */
	beat->released = beat->release ? ct_job_release(view, NULL, beat->now) : 0;
	return beat->released < 0 ? beat->released : 0;
}

/* What was written needs no writing again, unless it has changed meanwhile. */
static void note_written(struct ct_jobs *jobs, const struct beat *beat)
{
	ct_lock_take(&jobs->lock);
	for (unsigned i = 0; i < beat->count; i++) {
		const struct ct_job_slot *slot = &beat->slots[i];
		struct ct_job_slot *at = &jobs->slots[beat->indexes[i]];
		if (at->used && at->token == slot->token && strcmp(at->id, slot->id) == 0)
			at->written = slot->step;
	}
	ct_lock_release(&jobs->lock);
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
	note_written(jobs, &beat);
	for (unsigned i = 0; i < beat.count; i++) {
		const struct ct_job_slot *slot = &beat.slots[i];
		if (slot->lost || slot->step > slot->written) /* then its version has risen */
			ct_job_waiting_tell(jobs->waiting, slot->id);
		if (slot->lost && ct_jobs_mark_lost(jobs, slot->id, slot->token))
			ct_log(CT_LOG_WARNING, "job.lease_lost", CT_LOG_TEXT("id", slot->id));
	}
	if (beat.released > 0) {
		ct_log(CT_LOG_WARNING, "jobs.released", CT_LOG_NUMBER("count", beat.released));
		ct_job_waiting_tell(jobs->waiting, NULL);
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
