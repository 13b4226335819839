/*
 * The durable queue: jobs are rows (metadata.h), worker threads claim them under a lease with a
 * fencing token, a keeper thread beats the heart of what runs here and frees what died elsewhere.
 *
 * A job is inserted with ct_job_insert() in the transaction that needs it; ct_jobs_wake() after
 * the commit only saves waiting. A job may run twice (a lost lease, a kill -9), but ends once:
 * what it changes is written in the transaction that ends it, under its token. Attempts are
 * counted at the claim, so that a job that kills the server ends as failed and not in a loop; one
 * that found the disk full, the store unhealthy or the server stopping gets its attempt back.
 *
 * Layers above register kinds; jobs knows none.
 */
#ifndef CT_JOBS_H
#define CT_JOBS_H

#include "base/json.h"
#include "metadata/jobs.h"
#include "metadata/metadata.h"

struct ct_jobs;
struct ct_http_server;
struct ct_thread_pool;

#define CT_JOB_MAX_ATTEMPTS 10
#define CT_JOB_WORKERS_MAX 64
#define CT_JOB_WAIT_MAX_S 50 /* of a long poll: less than the 60 s after which proxies give up */
#define CT_JOB_LEASE_MS 30000
#define CT_JOB_KEEP_MS (7 * 24 * 3600 * 1000LL)

struct ct_job_outcome {
	int error;  /* 0: succeeded; ct_error_is_retryable() decides on retry */
	bool final; /* not tried again, though the error is retryable */
	char detail[CT_MESSAGE_MAX + 1]; /* for the problem: what was wrong */
	uint64_t limit, value;		 /* that was passed, and by what; 0: not known */
	struct ct_json *response;	 /* when succeeded; taken over. `commit` makes it anew */
	/*
	 * When succeeded: runs in the transaction that ends the job, may set `response` to what the
	 * rows say by then, and may run again when the transaction failed. CT_ERROR_NOT_FOUND ends
	 * the job as canceled (its image was deleted meanwhile). Then `release` in any case, if
	 * set.
	 */
	int (*commit)(struct ct_metadata_view *view, struct ct_job_outcome *outcome);
	void (*release)(void *arg);
	void *arg;
	/* Before `release`, when nothing of the outcome was written: the lease was lost, or the job
	 * canceled. May be NULL. */
	void (*discard)(void *arg);
};

struct ct_job_kind {
	const char *name;
	/* In a worker thread; may block; `*ret_outcome` comes zeroed. */
	void (*run)(struct ct_jobs *jobs, const struct ct_job_row *job,
	    struct ct_job_outcome *ret_outcome, void *context);
	/*
	 * In the transaction that ends a job as failed or canceled. CT_ERROR_NOT_FOUND, before it
	 * has changed anything: as in commit. May be NULL.
	 */
	int (*failed)(
	    struct ct_metadata_view *view, const struct ct_job_row *job, int error, void *context);
	/* In the transaction that queues such a job again. CT_ERROR_NOT_FOUND: there is nothing to
	 * do it for. May be NULL. */
	int (*retried)(struct ct_metadata_view *view, const struct ct_job_row *job, void *context);
	void *context;
};

struct ct_jobs_options {
	struct ct_metadata *metadata;
	struct ct_thread_pool *readers; /* answers lists; outlives the server. NULL: no routes */
	const char *owner;		/* this server's name; what it held is freed at the start */
	const char *public_url; /* before the path in links; outlives the server. NULL: relative */
	const struct ct_job_kind *kinds;
	size_t kind_count;
	unsigned workers;	/* threads [2], at most CT_JOB_WORKERS_MAX */
	int64_t lease_ms;	/* [CT_JOB_LEASE_MS]; beats come at a third of it */
	int64_t backoff_min_ms; /* [1 s], doubled to: */
	int64_t backoff_max_ms; /* [30 s]; with jitter */
};

int ct_jobs_new(const struct ct_jobs_options *options, struct ct_jobs **ret_jobs);
/* Frees what this owner held when it died, starts the threads. BLOCKING. */
int ct_jobs_start(struct ct_jobs *jobs);
/*
 * Claims nothing more, waits for what runs. -ETIMEDOUT after `timeout_ms`: something still runs and
 * uses the database; end the process without freeing anything, the next start runs it again.
 */
int ct_jobs_stop(struct ct_jobs *jobs, int64_t timeout_ms);
/* Answers the clients that wait for jobs, and lets none wait any more: before the server stops. */
void ct_jobs_drain(struct ct_jobs *jobs);
/* Waits for all that still runs. NULL is allowed. */
void ct_jobs_free(struct ct_jobs *jobs);

/* A job was committed: look now. Any thread, never blocks. */
void ct_jobs_wake(struct ct_jobs *jobs);

/*
 * From inside of `run`: how far it has come, 0 to 1, rising. Cheap: kept in memory, and taken along
 * by the next heartbeat. Each change is a new ETag of the job.
 */
void ct_jobs_set_progress(struct ct_jobs *jobs, const struct ct_job_row *job, double progress);
/*
 * From inside of `run`: how to cut it short when the job is canceled, or its lease lost. `cut_off`
 * is called at most once, in any thread, under the lock of jobs: it must not wait, and may take
 * locks of later ranks only. NULL takes it away; it is also gone when `run` returns. False: the job
 * was canceled before, nothing will come of it.
 */
bool ct_jobs_set_cut_off(
    struct ct_jobs *jobs, const struct ct_job_row *job, void (*cut_off)(void *arg), void *arg);

struct ct_job_figures {
	int64_t queued;	       /* in the database */
	unsigned running;      /* here */
	int64_t oldest_due_ms; /* how long the first of them has been due; 0: none is */
	int64_t idle_ms;       /* since a worker here last took or ended one, or the start */
};

/* For metrics and health; reads one entry of an index. What has ended is in the counters. */
int ct_jobs_figures(struct ct_jobs *jobs, struct ct_job_figures *ret_figures);

/* GET /jobs, GET and DELETE /jobs/{id}, POST /jobs/{id}/retry. Once; `jobs` outlives the server. */
int ct_jobs_add_routes(struct ct_jobs *jobs, struct ct_http_server *server);

bool ct_job_is_ended(enum ct_job_state state);
/* The job as decisions has it; NULL when out of memory. */
struct ct_json *ct_job_to_json(const struct ct_job_row *row);

/* Keyset cursors, shared by all lists: "<created_at>-<id>"; -EINVAL on anything else. */
int ct_cursor_parse(const char *text, int64_t *ret_at, char ret_id[CT_ID_CHARS + 1]);
void ct_cursor_format(int64_t at, const char *id, char ret_text[64]);

#endif
