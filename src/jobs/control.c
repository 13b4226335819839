/*
 * What people do to jobs: cancel and retry. The row changes first, in one transaction; whoever runs
 * the job then holds a lease that is no longer good, and is cut off to save its time.
 */
#include "jobs/jobs_priv.h"
#include "jobs/waiting.h"
#include "base/clock.h"
#include "base/log.h"
#include "calotype/error.h"
#include "metadata/jobs.h"

struct control {
	struct ct_jobs *jobs;
	const char *id;
	struct ct_job_row row; /* as it was, then as it is */
};

static int read_again(struct ct_metadata_view *view, struct control *control)
{
	ct_job_row_done(&control->row);
	return ct_job_get(view, control->id, &control->row);
}

static int run_cancel(struct ct_metadata_view *view, void *arg)
{
	static const struct ct_job_outcome canceled = { .error = CT_ERROR_CANCELED,
		.detail = "the job was canceled before it ended" };
	struct control *control = arg;
	struct ct_job_row *row = &control->row;
	int r = read_again(view, control);
	if (r < 0)
		return r;
	if (ct_job_is_ended(row->state))
		return CT_ERROR_JOB_ENDED;
	const struct ct_job_kind *kind = ct_jobs_find_kind(control->jobs, row->kind);
	if (kind != NULL && kind->failed != NULL)
		r = kind->failed(view, row, CT_ERROR_CANCELED, kind->context);
	if (r < 0 && r != CT_ERROR_NOT_FOUND) /* its object is gone: all the better */
		return r;
	r = ct_jobs_end_with_error(view, row, CT_JOB_CANCELED, &canceled);
	return r < 0 ? r : read_again(view, control);
}

static int run_retry(struct ct_metadata_view *view, void *arg)
{
	struct control *control = arg;
	struct ct_job_row *row = &control->row;
	int r = read_again(view, control);
	if (r < 0)
		return r;
	if (row->state != CT_JOB_FAILED && row->state != CT_JOB_CANCELED)
		return CT_ERROR_JOB_NOT_FAILED;
	const struct ct_job_kind *kind = ct_jobs_find_kind(control->jobs, row->kind);
	if (kind != NULL && kind->retried != NULL)
		r = kind->retried(view, row, kind->context);
	if (r == CT_ERROR_NOT_FOUND)
		return CT_ERROR_GONE;
	if (r == 0)
		r = ct_job_revive(view, row->id, ct_clock_wall_ms());
	return r < 0 ? r : read_again(view, control);
}

static int change(struct ct_jobs *jobs, const char *id, ct_transaction_fn run, const char *event,
    struct ct_job_row *ret_row)
{
	struct control control = { .jobs = jobs, .id = id };
	int r = ct_metadata_write(jobs->metadata, run, &control);
	if (r < 0) {
		ct_job_row_done(&control.row);
		return r;
	}
	ct_log(CT_LOG_INFO, event, CT_LOG_TEXT("id", id), CT_LOG_TEXT("kind", control.row.kind),
	    CT_LOG_TEXT("image", control.row.image_id));
	ct_job_waiting_tell(jobs->waiting, id);
	*ret_row = control.row;
	return 0;
}

int ct_jobs_cancel(struct ct_jobs *jobs, const char *id, struct ct_job_row *ret_row)
{
	int r = change(jobs, id, run_cancel, "job.canceled", ret_row);
	if (r < 0)
		return r;
	ct_jobs_cut_off(jobs, id, ret_row->token);
	ct_jobs_count_ended(CT_JOB_CANCELED);
	return 0;
}

int ct_jobs_retry(struct ct_jobs *jobs, const char *id, struct ct_job_row *ret_row)
{
	int r = change(jobs, id, run_retry, "job.retried", ret_row);
	if (r == 0)
		ct_jobs_wake(jobs);
	return r;
}
