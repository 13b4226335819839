/*
 * What runs here: a slot for each worker, with how far its job has come and how to cut it short.
 * Progress is in memory only, since a commit each would cost more than some jobs; the keeper's beat
 * takes the last one along, for other readers of the database.
 */
#include "jobs/jobs_priv.h"
#include "jobs/waiting.h"
#include "base/assert.h"
#include "base/clock.h"
#include "metadata/jobs.h"

#include <string.h>

static struct ct_job_slot *find_locked(struct ct_jobs *jobs, const char *id, int64_t token)
{
	ct_lock_assert_held(&jobs->lock);
	for (unsigned i = 0; i < jobs->worker_count; i++) {
		struct ct_job_slot *slot = &jobs->slots[i];
		if (slot->used && slot->token == token && strcmp(slot->id, id) == 0)
			return slot;
	}
	return NULL;
}

struct ct_job_slot *ct_jobs_take_slot(struct ct_jobs *jobs, const struct ct_job_row *row)
{
	struct ct_job_slot *slot = jobs->slots;
	ct_lock_take(&jobs->lock);
	while (slot->used)
		slot++;
	CT_ASSERT(slot < jobs->slots + jobs->worker_count);
	*slot = (struct ct_job_slot){ .used = true, .token = row->token };
	memcpy(slot->id, row->id, sizeof(slot->id));
	jobs->moved_at_ms = ct_clock_monotonic_ms();
	ct_jobs_look_locked(jobs); /* there may be more: for the next worker */
	ct_lock_release(&jobs->lock);
	return slot;
}

/*
 * Whoever cancels changes the row and then looks for the slot. This looks at the row when the slot
 * is taken: one of the two sees the other. A row that cannot be read is left to the heartbeat.
 */
bool ct_jobs_is_still_ours(struct ct_jobs *jobs, const struct ct_job_row *row)
{
	struct ct_metadata_view *view;
	struct ct_job_row now = { 0 };
	if (ct_metadata_borrow(jobs->metadata, &view) < 0)
		return true;
	int r = ct_job_get(view, row->id, &now);
	ct_metadata_give_back(jobs->metadata, view);
	bool ours = r < 0 || (now.state == CT_JOB_RUNNING && now.token == row->token);
	if (r == 0)
		ct_job_row_done(&now);
	return ours;
}

bool ct_jobs_mark_ending(struct ct_jobs *jobs, struct ct_job_slot *slot)
{
	ct_lock_take(&jobs->lock);
	slot->ending = true;
	slot->cut_off = NULL;
	bool canceled = slot->canceled;
	ct_lock_release(&jobs->lock);
	return canceled;
}

void ct_jobs_drop_slot(struct ct_jobs *jobs, struct ct_job_slot *slot)
{
	ct_lock_take(&jobs->lock);
	slot->used = false;
	jobs->moved_at_ms = ct_clock_monotonic_ms();
	jobs->look = true;
	ct_lock_release(&jobs->lock);
}

void ct_jobs_set_progress(struct ct_jobs *jobs, const struct ct_job_row *row, double progress)
{
	CT_ASSERT(progress >= 0 && progress <= 1);
	ct_lock_take(&jobs->lock);
	struct ct_job_slot *slot = find_locked(jobs, row->id, row->token);
	bool changed = slot != NULL && !slot->ending && progress > slot->progress;
	if (changed) {
		slot->progress = progress;
		slot->step++;
	}
	ct_lock_release(&jobs->lock);
	if (changed)
		ct_job_waiting_tell(jobs->waiting, row->id);
}

unsigned ct_jobs_overlay(struct ct_jobs *jobs, struct ct_job_row *row)
{
	unsigned step = 0;
	if (row->state != CT_JOB_RUNNING)
		return 0;
	ct_lock_take(&jobs->lock);
	const struct ct_job_slot *slot = find_locked(jobs, row->id, row->token);
	if (slot != NULL && slot->step > 0) {
		step = slot->step;
		row->progress = slot->progress;
	}
	ct_lock_release(&jobs->lock);
	return step;
}

bool ct_jobs_set_cut_off(
    struct ct_jobs *jobs, const struct ct_job_row *row, void (*cut_off)(void *arg), void *arg)
{
	ct_lock_take(&jobs->lock);
	struct ct_job_slot *slot = find_locked(jobs, row->id, row->token);
	bool goes_on = slot != NULL && !slot->canceled && !slot->lost;
	if (slot != NULL) {
		slot->cut_off = cut_off;
		slot->cut_off_arg = arg;
	}
	ct_lock_release(&jobs->lock);
	return goes_on;
}

/* Under the lock, so that what it ends is still there: it must not wait. */
static void cut_off_locked(struct ct_job_slot *slot)
{
	if (slot->cut_off != NULL)
		slot->cut_off(slot->cut_off_arg);
	slot->cut_off = NULL;
}

void ct_jobs_cut_off(struct ct_jobs *jobs, const char *id, int64_t token)
{
	ct_lock_take(&jobs->lock);
	struct ct_job_slot *slot = find_locked(jobs, id, token);
	if (slot != NULL) {
		slot->canceled = true;
		cut_off_locked(slot);
	}
	ct_lock_release(&jobs->lock);
}

bool ct_jobs_mark_lost(struct ct_jobs *jobs, const char *id, int64_t token)
{
	ct_lock_take(&jobs->lock);
	struct ct_job_slot *slot = find_locked(jobs, id, token);
	bool found = slot != NULL && !slot->ending && !slot->canceled;
	if (found) {
		slot->lost = true;
		cut_off_locked(slot);
	}
	ct_lock_release(&jobs->lock);
	return found;
}

static int read_first_run_at(struct ct_jobs *jobs, int64_t *ret_run_at)
{
	struct ct_metadata_view *view;
	int r = ct_metadata_borrow(jobs->metadata, &view);
	if (r < 0)
		return r;
	r = ct_job_get_first_run_at(view, ret_run_at);
	ct_metadata_give_back(jobs->metadata, view);
	return r;
}

int ct_jobs_figures(struct ct_jobs *jobs, struct ct_job_figures *ret_figures)
{
	int64_t run_at = 0;
	struct ct_job_figures figures = { .queued = ct_job_queued_count(jobs->metadata) };
	int r = read_first_run_at(jobs, &run_at);
	if (r < 0)
		return r;
	int64_t due_ms = run_at != 0 ? ct_clock_wall_ms() - run_at : 0;
	figures.oldest_due_ms = due_ms > 0 ? due_ms : 0;
	ct_lock_take(&jobs->lock);
	for (unsigned i = 0; i < jobs->worker_count; i++)
		figures.running += jobs->slots[i].used;
	figures.idle_ms = ct_clock_monotonic_ms() - jobs->moved_at_ms;
	ct_lock_release(&jobs->lock);
	*ret_figures = figures;
	return 0;
}
