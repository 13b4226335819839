/*
 * The inside of jobs: its life and its worker threads (jobs.c), what they run (running.c), the
 * transactions of the queue (queue.c), those of people (control.c), the keeper (keeper.c).
 */
#ifndef CT_JOBS_PRIV_H
#define CT_JOBS_PRIV_H

#include "jobs/jobs.h"
#include "jobs/list.h"
#include "base/lock.h"
#include "metadata/jobs.h"

/* What one worker runs; the keeper beats its heart. */
struct ct_job_slot {
	bool used;
	bool ending; /* its end is on the way: a lost lease is told there */
	bool lost;
	char id[CT_ID_CHARS + 1];
	int64_t token;
	bool canceled;
	double progress;
	unsigned step;		    /* rises with the progress: a part of the ETag */
	unsigned written;	    /* the step that is in the database */
	void (*cut_off)(void *arg); /* or NULL */
	void *cut_off_arg;
};

struct ct_job_waiting;

struct ct_jobs {
	/* Set once. */
	struct ct_metadata *metadata;
	struct ct_thread_pool *readers;
	char owner[CT_NODE_MAX + 1];
	const char *public_url;
	struct ct_job_kind *kinds;
	size_t kind_count;
	struct ct_job_waiting *waiting; /* waiting.h */
	unsigned worker_count;
	int64_t lease_ms, backoff_min_ms, backoff_max_ms;
	struct ct_http_route routes[4];
	struct ct_list list;
	const char *states[CT_JOB_STATE_COUNT];

	/* Owned by the thread that starts and stops. */
	pthread_t workers[CT_JOB_WORKERS_MAX];
	unsigned started;
	pthread_t keeper;
	bool has_keeper;

	struct ct_lock lock;
	struct ct_condition work;  /* idle workers wait for `look` */
	struct ct_condition pause; /* the keeper, a stop and a worker after an error wait here */
	/* Under lock. */
	struct ct_job_slot slots[CT_JOB_WORKERS_MAX];
	int64_t moved_at_ms; /* monotonic: a job was taken or ended */
	unsigned alive;	     /* workers that have not returned */
	bool look;	     /* something may be due: one worker claims */
	int64_t next_run_at; /* wall; when the next job may be due, or 0 */
	bool stopping;
	bool keeper_stopping;
};

const struct ct_job_kind *ct_jobs_find_kind(const struct ct_jobs *jobs, const char *name);

/* There may be work. */
void ct_jobs_look_locked(struct ct_jobs *jobs);

/* ---- jobs.c ---- */
/* In a worker: runs what ct_jobs_claim() gave, and writes its end. */
void ct_jobs_run_claimed(struct ct_jobs *jobs, const struct ct_job_row *row);

/* ---- running.c ---- */
struct ct_job_slot *ct_jobs_take_slot(struct ct_jobs *jobs, const struct ct_job_row *row);
/* With the slot taken: false if the job was canceled, or its lease lost, since the claim. */
bool ct_jobs_is_still_ours(struct ct_jobs *jobs, const struct ct_job_row *row);
/* From here on it can't be cut off; was it canceled? */
bool ct_jobs_mark_ending(struct ct_jobs *jobs, struct ct_job_slot *slot);
void ct_jobs_drop_slot(struct ct_jobs *jobs, struct ct_job_slot *slot);
/* Puts the progress that is known here into the row; its step, 0 when none is known. */
unsigned ct_jobs_overlay(struct ct_jobs *jobs, struct ct_job_row *row);
/* It was canceled: its run shall end. */
void ct_jobs_cut_off(struct ct_jobs *jobs, const char *id, int64_t token);
/* True when the worker is still at it: a job that has just ended also lost its lease. */
bool ct_jobs_mark_lost(struct ct_jobs *jobs, const char *id, int64_t token);

/* ---- page.c: a job as clients see it ---- */

struct ct_job_page {
	bool ended;
	char etag[40]; /* two numbers, a dot, quotes */
	char *text;    /* owned */
	size_t length;
};

/* With the progress that is known here. */
int ct_job_page_make(struct ct_jobs *jobs, struct ct_job_row *row, struct ct_job_page *ret_page);
/* A point read by key. CT_ERROR_NOT_FOUND, _GONE. */
int ct_job_page_read(struct ct_jobs *jobs, const char *id, struct ct_job_page *ret_page);
void ct_job_page_done(struct ct_job_page *page);
/* Does the client have it already (If-None-Match), and does it ask? */
bool ct_job_page_is_known(
    const struct ct_job_page *page, const struct ct_http_request *request, bool *ret_asked);
/* The problem if there is an error; `page` may be NULL then. `wait_s` > 0: was granted. */
struct ct_http_response *ct_job_page_answer(const struct ct_http_request *request, int status,
    int error, const struct ct_job_page *page, unsigned wait_s);

/* ---- control.c; BLOCKING ---- */

/* As DELETE /jobs/{id}. The row as it is then; CT_ERROR_JOB_ENDED, _NOT_FOUND, _GONE. */
int ct_jobs_cancel(struct ct_jobs *jobs, const char *id, struct ct_job_row *ret_row);
/* As POST /jobs/{id}/retry. CT_ERROR_JOB_NOT_FAILED, _NOT_FOUND, _GONE (also its image). */
int ct_jobs_retry(struct ct_jobs *jobs, const char *id, struct ct_job_row *ret_row);

/* ---- queue.c; all of them are transactions and block ---- */

/*
 * Takes a due job that can be run. CT_ERROR_NOT_FOUND: none is due, *ret_next_run_at says when.
 * A job without a kind, or with all its attempts used up, is ended on the way: -EAGAIN.
 */
int ct_jobs_claim(struct ct_jobs *jobs, struct ct_job_row *ret_row, int64_t *ret_next_run_at);

/* Writes how a run has ended: succeeded, failed, canceled, or queued again. CT_ERROR_LEASE_LOST. */
int ct_jobs_settle(struct ct_jobs *jobs, const struct ct_job_kind *kind,
    const struct ct_job_row *row, struct ct_job_outcome *outcome);

/* Inside a transaction. */
int ct_jobs_end_with_error(struct ct_metadata_view *view, const struct ct_job_row *row,
    enum ct_job_state state, const struct ct_job_outcome *outcome);

/* Counts an end for the metrics; CT_JOB_QUEUED: it is tried again. */
void ct_jobs_count_ended(enum ct_job_state state);

/* When the attempt after `attempts` runs, from now: doubled from minimum to maximum, and jitter. */
int64_t ct_jobs_backoff_ms(const struct ct_jobs *jobs, int attempts);

/* The problem (RFC 9457) of a failure, as a malloc'd string; NULL when out of memory. */
char *ct_job_problem_text(const struct ct_job_outcome *outcome, const char *request_id);

/* ---- keeper.c ---- */
void *ct_jobs_run_keeper(void *arg);

#endif
