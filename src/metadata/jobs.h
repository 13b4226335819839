/*
 * Rows of `job`: the durable queue.
 * Thread rule and errors: metadata.h.
 */
#ifndef CT_METADATA_JOBS_H
#define CT_METADATA_JOBS_H

#include "metadata/metadata.h"

enum ct_job_state {
	CT_JOB_QUEUED,
	CT_JOB_RUNNING,
	CT_JOB_SUCCEEDED,
	CT_JOB_FAILED,
	CT_JOB_CANCELED,
	CT_JOB_STATE_COUNT
};
const char *ct_job_state_name(enum ct_job_state state);

struct ct_job_row {
	char id[CT_ID_CHARS + 1];
	char kind[32];
	enum ct_job_state state;
	double progress; /* 0 to 1 */
	int attempts, max_attempts;
	int64_t version; /* rises with each change: the ETag */
	char upload_id[CT_ID_CHARS + 1];
	char image_id[CT_ID_CHARS + 1];
	char *response; /* JSON object when succeeded; owned */
	char *error;	/* JSON problem when failed; owned */
	int64_t run_at, created_at, finished_at;
	int64_t started_at; /* of the last attempt */
	char owner[CT_NODE_MAX + 1];
	int64_t lease_until;
	int64_t token;				/* fencing: rises with each claim */
	char request_id[CT_REQUEST_ID_MAX + 1]; /* of the request that made it, for the log */
};

void ct_job_row_done(struct ct_job_row *row);
int ct_job_insert(struct ct_metadata_view *view, const struct ct_job_row *row);
int ct_job_get(struct ct_metadata_view *view, const char *id, struct ct_job_row *ret_row);
/* Newest first, like ct_image_list; `state` < 0 means any. Each row needs its _done(). */
int ct_job_list(struct ct_metadata_view *view, int state, int64_t before_at, const char *before_id,
    struct ct_job_row *ret_rows, int capacity);
/*
 * Takes the queued job with the earliest run_at <= now: running, owner, lease, attempts + 1,
 * token + 1, version + 1. CT_ERROR_NOT_FOUND: none is due; *ret_next_run_at is then the time of
 * the next one, or 0.
 */
int ct_job_claim(struct ct_metadata_view *view, const char *owner, int64_t now, int64_t lease_until,
    struct ct_job_row *ret_row, int64_t *ret_next_run_at);
/* Where id, owner and token match and it is running; CT_ERROR_LEASE_LOST otherwise. */
int ct_job_heartbeat(
    struct ct_metadata_view *view, const char *id, int64_t token, int64_t lease_until);
int ct_job_set_progress(
    struct ct_metadata_view *view, const char *id, int64_t token, double progress);
/*
 * Ends it: state, response or error (borrowed JSON, or NULL), finished_at. CT_ERROR_LEASE_LOST.
 * A queued one can only be canceled, with the token of its row.
 */
int ct_job_end(struct ct_metadata_view *view, const char *id, int64_t token,
    enum ct_job_state state, const char *response, const char *error, int64_t now);
/* Back to the queue, due at run_at, progress 0, `error` kept for the reader. CT_ERROR_LEASE_LOST.
 */
int ct_job_requeue(struct ct_metadata_view *view, const char *id, int64_t token, int64_t run_at,
    const char *error);
/* The same, and the attempt does not count: the job had no part in its failure. */
int ct_job_postpone(struct ct_metadata_view *view, const char *id, int64_t token, int64_t run_at,
    const char *error);
/*
 * Its image was deleted: what a succeeded job tells of it becomes {"image": {"id", "state":
 * "deleted"}}, of a failed one's error the detail goes. Nothing happens when there is no such job,
 * or another state.
 */
int ct_job_forget_image(struct ct_metadata_view *view, const char *id);
/* A failed or canceled one is queued anew, due now, with all its attempts. CT_ERROR_NOT_FOUND. */
int ct_job_revive(struct ct_metadata_view *view, const char *id, int64_t now);
/* Jobs that are queued, read from the tally at the open and kept by the writer since. */
int64_t ct_job_queued_count(struct ct_metadata *metadata);
/* The run_at of the queued job that is due first, 0 when none is queued. By index. */
int ct_job_get_first_run_at(struct ct_metadata_view *view, int64_t *ret_run_at);
/*
 * Running jobs of `owner` (a dead server of this name; NULL: none), or whose lease has run out,
 * are queued again, due now; count. An attempt stays counted.
 */
int ct_job_release(struct ct_metadata_view *view, const char *owner, int64_t now);
/*
 * Ended jobs with finished_at < before are forgotten, at most `limit`; count. A tombstone answers
 * CT_ERROR_GONE from ct_job_get for 30 days more.
 */
int ct_job_purge(struct ct_metadata_view *view, int64_t before, int limit);

#endif
