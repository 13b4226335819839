/*
 * A program without a test framework, for ThreadSanitizer: many workers, jobs that fail at first,
 * someone who takes leases away while they run, and someone who cancels them and has them run
 * again. Each job must succeed, and take effect once: its effect is a row whose id can be written
 * only once.
 */
#include "jobs/jobs_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "calotype/error.h"
#include "metadata/jobs.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JOBS 200
#define WORKERS 8
#define ROBBERIES 40
#define MEDDLINGS 400

static struct ct_metadata *metadata;
static struct ct_jobs *jobs;
static _Atomic int runs;

static void sleep_ms(int ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000L };
	(void)nanosleep(&time, NULL); /* woken early is fine too */
}

static struct ct_job_row make_row(const char *kind, unsigned number)
{
	int64_t now = ct_clock_wall_ms();
	struct ct_job_row row = {
		.max_attempts = 1000,
		.version = 1,
		.run_at = now,
		.created_at = now,
	};
	(void)snprintf(row.id, sizeof(row.id), "%c%031x", kind[0] == 'e' ? 'e' : '0', number);
	(void)snprintf(row.kind, sizeof(row.kind), "%s", kind);
	return row;
}

static int insert_row(struct ct_metadata_view *view, void *arg)
{
	return ct_job_insert(view, arg);
}

static int take_effect(struct ct_metadata_view *view, struct ct_job_outcome *outcome)
{
	const unsigned *number = outcome->arg;
	struct ct_job_row row = make_row("effect", *number);
	row.run_at = INT64_MAX;
	return ct_job_insert(view, &row);
}

static void cut(void *arg)
{
	_Atomic bool *is_cut = arg;
	*is_cut = true;
}

static void run(struct ct_jobs *of, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	(void)of;
	(void)context;
	int count = atomic_fetch_add(&runs, 1);
	unsigned *number = malloc(sizeof(*number));
	CT_ASSERT(number != NULL);
	*number = (unsigned)strtoul(job->id, NULL, 16);
	ct_jobs_set_progress(jobs, job, 0.5);
	_Atomic bool is_cut = false;
	(void)ct_jobs_set_cut_off(jobs, job, cut, &is_cut); /* canceled or not, it runs on */
	for (int i = 0; i < count % 7 && !is_cut; i++)
		sleep_ms(1);
	(void)ct_jobs_set_cut_off(jobs, job, NULL, NULL);
	ret_outcome->error = job->attempts == 1 && count % 3 == 0 ? CT_ERROR_DATABASE : 0;
	ret_outcome->commit = take_effect;
	ret_outcome->release = free;
	ret_outcome->arg = number;
}

static int release_running(struct ct_metadata_view *view, void *arg)
{
	return ct_job_release(view, arg, ct_clock_wall_ms());
}

static void *rob(void *arg)
{
	for (int i = 0; i < ROBBERIES; i++) {
		sleep_ms(5);
		CT_ASSERT(ct_metadata_write(metadata, release_running, arg) >= 0);
		ct_jobs_wake(jobs);
	}
	return NULL;
}

/* What was canceled is queued again, so in the end all succeed. */
static void *meddle(void *arg)
{
	int *canceled = arg;
	for (unsigned i = 0; i < MEDDLINGS; i++) {
		char id[CT_ID_CHARS + 1];
		struct ct_job_row row = { 0 };
		struct ct_job_figures figures;
		(void)snprintf(id, sizeof(id), "%032x", i * 37 % JOBS);
		int r = ct_jobs_cancel(jobs, id, &row);
		ct_job_row_done(&row);
		CT_ASSERT(r == 0 || r == CT_ERROR_JOB_ENDED || r == CT_ERROR_NOT_FOUND);
		CT_ASSERT(ct_jobs_figures(jobs, &figures) == 0 && figures.queued >= 0);
		sleep_ms(1);
		if (r < 0)
			continue;
		CT_ASSERT(ct_jobs_retry(jobs, id, &row) == 0);
		ct_job_row_done(&row);
		(*canceled)++;
	}
	return NULL;
}

static int count_in_state(enum ct_job_state state, const char *kind)
{
	static struct ct_job_row rows[JOBS * 2 + 1];
	struct ct_metadata_view *view;
	int found = 0;
	CT_ASSERT(ct_metadata_borrow(metadata, &view) == 0);
	int count = ct_job_list(view, (int)state, 0, "", rows, JOBS * 2 + 1);
	ct_metadata_give_back(metadata, view);
	CT_ASSERT(count >= 0);
	for (int i = 0; i < count; i++) {
		found += strcmp(rows[i].kind, kind) == 0;
		ct_job_row_done(&rows[i]);
	}
	return found;
}

static void start(const char *directory)
{
	char path[96];
	static char owner[] = "here";
	static const struct ct_job_kind kind = { .name = "test", .run = run, .failed = NULL };
	(void)snprintf(path, sizeof(path), "%s/calotype.db", directory);
	const struct ct_metadata_options metadata_options = { .path = path };
	CT_ASSERT(ct_metadata_open(&metadata_options, &metadata) == 0);
	const struct ct_jobs_options options = {
		.metadata = metadata,
		.owner = owner,
		.kinds = &kind,
		.kind_count = 1,
		.workers = WORKERS,
		.lease_ms = 60, /* many beats */
		.backoff_min_ms = 5,
		.backoff_max_ms = 20,
	};
	CT_ASSERT(ct_jobs_new(&options, &jobs) == 0);
	CT_ASSERT(ct_jobs_start(jobs) == 0);
}

static void work(void)
{
	pthread_t robber;
	pthread_t meddler;
	int canceled = 0;
	static char owner[] = "here";
	CT_ASSERT(ct_thread_start("robber", rob, owner, &robber) == 0);
	CT_ASSERT(ct_thread_start("meddler", meddle, &canceled, &meddler) == 0);
	for (unsigned i = 0; i < JOBS; i++) {
		struct ct_job_row row = make_row("test", i);
		CT_ASSERT(ct_metadata_write(metadata, insert_row, &row) == 0);
		ct_jobs_wake(jobs);
	}
	CT_ASSERT(pthread_join(robber, NULL) == 0);
	CT_ASSERT(pthread_join(meddler, NULL) == 0);
	(void)printf("%d canceled and retried\n", canceled);
	for (int i = 0; i < 6000 && count_in_state(CT_JOB_SUCCEEDED, "test") < JOBS; i++)
		sleep_ms(10);
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(void)
{
	char directory[] = "/tmp/ct-jobs-stress-XXXXXX";
	ct_log_set_level(CT_LOG_ERROR);
	CT_ASSERT(mkdtemp(directory) != NULL);
	start(directory);
	work();
	CT_ASSERT(ct_jobs_stop(jobs, 10000) == 0);
	ct_jobs_free(jobs);
	int succeeded = count_in_state(CT_JOB_SUCCEEDED, "test");
	int effects = count_in_state(CT_JOB_QUEUED, "effect");
	(void)printf("%d jobs, %d runs, %d succeeded, %d effects\n", JOBS, atomic_load(&runs),
	    succeeded, effects);
	ct_metadata_close(metadata);
	CT_ASSERT(nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
	return succeeded == JOBS && effects == JOBS ? 0 : 1;
}
