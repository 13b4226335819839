/*
 * The transactions of the queue. A job is taken, and ended, by one transaction each; the token of
 * its claim fences the end, so that of two runs only the one that holds the lease changes anything.
 */
#include "jobs/jobs_priv.h"
#include "jobs/waiting.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "calotype/error.h"
#include "metadata/jobs.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <stdio.h>

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int max_attempts_of(const struct ct_job_row *row)
{
	return row->max_attempts > 0 ? row->max_attempts : CT_JOB_MAX_ATTEMPTS;
}

/* ---- ends; inside a transaction ---- */

int ct_jobs_end_with_error(struct ct_metadata_view *view, const struct ct_job_row *row,
    enum ct_job_state state, const struct ct_job_outcome *outcome)
{
	ct_cleanup(ct_free_pointer) char *problem = ct_job_problem_text(outcome, row->request_id);
	if (problem == NULL)
		return -ENOMEM;
	return ct_job_end(view, row->id, row->token, state, NULL, problem, ct_clock_wall_ms());
}

static int end_as_deleted(struct ct_metadata_view *view, const struct ct_job_row *row)
{
	static const struct ct_job_outcome deleted = { .error = CT_ERROR_GONE,
		.detail = "the image was deleted before its job ended" };
	return ct_jobs_end_with_error(view, row, CT_JOB_CANCELED, &deleted);
}

/* `failed` has changed nothing when it finds its object gone. */
static int end_as_failed(struct ct_metadata_view *view, const struct ct_job_kind *kind,
    const struct ct_job_row *row, const struct ct_job_outcome *outcome,
    enum ct_job_state *ret_state)
{
	int r = 0;
	if (kind != NULL && kind->failed != NULL)
		r = kind->failed(view, row, outcome->error, kind->context);
	if (r < 0 && r != CT_ERROR_NOT_FOUND)
		return r;
	*ret_state = r == 0 ? CT_JOB_FAILED : CT_JOB_CANCELED;
	return r == CT_ERROR_NOT_FOUND ? end_as_deleted(view, row)
				       : ct_jobs_end_with_error(view, row, CT_JOB_FAILED, outcome);
}

/* ---- claim ---- */

struct claim {
	struct ct_jobs *jobs;
	struct ct_job_row row;
	int64_t next_run_at;
	bool refused;
	enum ct_job_state state;       /* of a refused one */
	struct ct_job_outcome outcome; /* of a refused one */
};

/* Why the job that was claimed is not run: the claim is only its end. */
static bool must_refuse(struct claim *claim, const struct ct_job_kind *kind)
{
	const struct ct_job_row *row = &claim->row;
	if (kind == NULL) {
		(void)snprintf(claim->outcome.detail, sizeof(claim->outcome.detail),
		    "this server knows no jobs of the kind '%s'", row->kind);
		return true;
	}
	int max = max_attempts_of(row);
	if (row->attempts <= max)
		return false;
	(void)snprintf(claim->outcome.detail, sizeof(claim->outcome.detail),
	    "the job was begun %d times and none of them came to an end; it may have stopped the "
	    "server",
	    max);
	return true;
}

static int run_claim(struct ct_metadata_view *view, void *arg)
{
	struct claim *claim = arg;
	struct ct_jobs *jobs = claim->jobs;
	int64_t now = ct_clock_wall_ms();
	int r = ct_job_claim(
	    view, jobs->owner, now, now + jobs->lease_ms, &claim->row, &claim->next_run_at);
	if (r < 0)
		return r;
	const struct ct_job_kind *kind = ct_jobs_find_kind(jobs, claim->row.kind);
	claim->refused = must_refuse(claim, kind);
	if (!claim->refused)
		return 0;
	claim->outcome.error = CT_ERROR_INTERNAL;
	return end_as_failed(view, kind, &claim->row, &claim->outcome, &claim->state);
}

int ct_jobs_claim(struct ct_jobs *jobs, struct ct_job_row *ret_row, int64_t *ret_next_run_at)
{
	struct claim claim = { .jobs = jobs };
	int r = ct_metadata_write(jobs->metadata, run_claim, &claim);
	if (r >= 0)
		ct_job_waiting_tell(jobs->waiting, claim.row.id);
	if (r >= 0 && !claim.refused) {
		*ret_row = claim.row;
		return 0;
	}
	if (r >= 0) {
		ct_jobs_count_ended(claim.state);
		ct_log(CT_LOG_ERROR, "job.refused", CT_LOG_TEXT("request", claim.row.request_id),
		    CT_LOG_TEXT("id", claim.row.id), CT_LOG_TEXT("kind", claim.row.kind),
		    CT_LOG_TEXT("state", ct_job_state_name(claim.state)),
		    CT_LOG_TEXT("detail", claim.outcome.detail));
		r = -EAGAIN;
	}
	ct_job_row_done(&claim.row);
	*ret_next_run_at = claim.next_run_at;
	return r;
}

/* ---- settle ---- */

struct ending {
	struct ct_jobs *jobs;
	const struct ct_job_kind *kind;
	const struct ct_job_row *row;
	struct ct_job_outcome *outcome;
	bool deleted; /* the commit found its object gone and was rolled back */
	enum ct_job_state state;
};

static int end_as_succeeded(struct ct_metadata_view *view, struct ending *ending)
{
	struct ct_job_outcome *outcome = ending->outcome;
	if (outcome->commit != NULL) {
		ct_json_free(outcome->response);
		outcome->response = NULL;
		int r = outcome->commit(view, outcome);
		ending->deleted = r == CT_ERROR_NOT_FOUND;
		if (r < 0)
			return r;
	}
	if (outcome->response == NULL)
		outcome->response = ct_json_object();
	ct_cleanup(ct_free_pointer) char *response = ct_json_to_text(outcome->response);
	if (response == NULL)
		return -ENOMEM;
	ending->state = CT_JOB_SUCCEEDED;
	return ct_job_end(view, ending->row->id, ending->row->token, CT_JOB_SUCCEEDED, response,
	    NULL, ct_clock_wall_ms());
}

/* The server lacks something for all jobs alike: they wait, and it costs them no attempt. */
static bool is_of_the_server(int error)
{
	return error == CT_ERROR_INSUFFICIENT_SPACE || error == CT_ERROR_STORE_UNHEALTHY ||
	       error == CT_ERROR_SHUTTING_DOWN;
}

static int queue_again(struct ct_metadata_view *view, struct ending *ending)
{
	const struct ct_job_row *row = ending->row;
	const struct ct_jobs *jobs = ending->jobs;
	int error = ct_error_canonical(ending->outcome->error);
	ct_cleanup(ct_free_pointer) char *problem =
	    ct_job_problem_text(ending->outcome, row->request_id);
	if (problem == NULL)
		return -ENOMEM;
	ending->state = CT_JOB_QUEUED;
	int64_t now = ct_clock_wall_ms();
	if (error == CT_ERROR_SHUTTING_DOWN)
		return ct_job_postpone(view, row->id, row->token, now, problem);
	if (is_of_the_server(error))
		return ct_job_postpone(
		    view, row->id, row->token, now + jobs->backoff_max_ms, problem);
	int64_t run_at = now + ct_jobs_backoff_ms(jobs, row->attempts);
	return ct_job_requeue(view, row->id, row->token, run_at, problem);
}

static int run_ending(struct ct_metadata_view *view, void *arg)
{
	struct ending *ending = arg;
	const struct ct_job_row *row = ending->row;
	const struct ct_job_outcome *outcome = ending->outcome;
	if (ending->deleted) {
		ending->state = CT_JOB_CANCELED;
		return end_as_deleted(view, row);
	}
	if (outcome->error == 0)
		return end_as_succeeded(view, ending);
	bool again = ct_error_is_retryable(outcome->error) && !outcome->final;
	bool is_free = is_of_the_server(ct_error_canonical(outcome->error));
	if (again && (is_free || row->attempts < max_attempts_of(row)))
		return queue_again(view, ending);
	return end_as_failed(view, ending->kind, row, outcome, &ending->state);
}

void ct_jobs_count_ended(enum ct_job_state state)
{
	static const enum ct_metric metrics[CT_JOB_STATE_COUNT] = {
		[CT_JOB_QUEUED] = CT_METRIC_JOBS_RETRIED,
		[CT_JOB_SUCCEEDED] = CT_METRIC_JOBS_SUCCEEDED,
		[CT_JOB_FAILED] = CT_METRIC_JOBS_FAILED,
		[CT_JOB_CANCELED] = CT_METRIC_JOBS_CANCELED,
	};
	CT_ASSERT(state != CT_JOB_RUNNING);
	ct_metrics_add(metrics[state], 1);
}

static void log_ending(const struct ending *ending)
{
	const struct ct_job_row *row = ending->row;
	ct_log(CT_LOG_INFO, ending->state == CT_JOB_QUEUED ? "job.requeued" : "job.ended",
	    CT_LOG_TEXT("request", row->request_id), CT_LOG_TEXT("id", row->id),
	    CT_LOG_TEXT("kind", row->kind), CT_LOG_TEXT("image", row->image_id),
	    CT_LOG_TEXT("state", ct_job_state_name(ending->state)),
	    CT_LOG_NUMBER("attempt", row->attempts), CT_LOG_CODE(ending->outcome->error),
	    CT_LOG_TEXT("detail", ending->outcome->detail));
}

int ct_jobs_settle(struct ct_jobs *jobs, const struct ct_job_kind *kind,
    const struct ct_job_row *row, struct ct_job_outcome *outcome)
{
	CT_ASSERT(outcome->error <= 0);
	struct ending ending = { .jobs = jobs, .kind = kind, .row = row, .outcome = outcome };
	int r = ct_metadata_write(jobs->metadata, run_ending, &ending);
	if (ending.deleted)
		r = ct_metadata_write(jobs->metadata, run_ending, &ending);
	if (r < 0)
		return r;
	ct_job_waiting_tell(jobs->waiting, row->id);
	ct_jobs_count_ended(ending.state);
	log_ending(&ending);
	return 0;
}

int64_t ct_jobs_backoff_ms(const struct ct_jobs *jobs, int attempts)
{
	int64_t delay = jobs->backoff_min_ms;
	for (int i = 1; i < attempts && delay < jobs->backoff_max_ms; i++)
		delay *= 2;
	delay = least(delay, jobs->backoff_max_ms);
	/* Up to a quarter less, so that what failed together does not come back together. */
	uint16_t random = 0;
	(void)ct_random_bytes(&random, sizeof(random)); /* without entropy: no jitter */
	return delay - delay * random / (4 * 65536);
}
