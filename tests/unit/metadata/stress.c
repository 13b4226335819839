/*
 * Many threads on one database, as a plain program that also runs under TSan: writes that wait,
 * writes that do not, readers beside them, jobs claimed by all.
 */
#include "base/assert.h"
#include "calotype/error.h"
#include "metadata/events.h"
#include "metadata/jobs.h"
#include "metadata/metadata.h"
#include "metadata/uploads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 50

struct worker {
	struct ct_metadata *metadata;
	int number;
	int round;
	int claimed;
	struct ct_job_row job;
};

static _Atomic int told;

static void tell(void *arg, int result)
{
	(void)arg;
	CT_ASSERT(result == 0);
	(void)atomic_fetch_add(&told, 1);
}

static int append_event(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	return ct_event_append(view, "test", "", "{}", 1);
}

static int insert_rows(struct ct_metadata_view *view, void *arg)
{
	const struct worker *worker = arg;
	struct ct_upload_row upload = { .length_bytes = 1 };
	struct ct_job_row job = { .kind = "test", .run_at = 1 };
	(void)snprintf(upload.id, sizeof(upload.id), "%016x%016x", (unsigned)worker->number,
	    (unsigned)worker->round);
	(void)snprintf(job.id, sizeof(job.id), "%s", upload.id);
	int r = ct_upload_insert(view, &upload);
	return r < 0 ? r : ct_job_insert(view, &job);
}

static int claim_and_end(struct ct_metadata_view *view, void *arg)
{
	struct worker *worker = arg;
	int64_t next_run_at;
	int r = ct_job_claim(view, "me", 2, 1000, &worker->job, &next_run_at);
	if (r < 0)
		return r;
	r = ct_job_end(view, worker->job.id, worker->job.token, CT_JOB_SUCCEEDED, "{}", NULL, 3);
	ct_job_row_done(&worker->job);
	return r;
}

static void read_rows(struct worker *worker)
{
	struct ct_metadata_view *view = NULL;
	static _Thread_local struct ct_upload_row row;
	char id[CT_ID_CHARS + 1];
	CT_ASSERT(ct_metadata_borrow(worker->metadata, &view) == 0);
	(void)snprintf(
	    id, sizeof(id), "%016x%016x", (unsigned)worker->number, (unsigned)worker->round);
	CT_ASSERT(ct_upload_get(view, id, &row) == 0);
	ct_metadata_give_back(worker->metadata, view);
	CT_ASSERT(ct_upload_open_count(worker->metadata) > 0);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	for (worker->round = 0; worker->round < ROUNDS; worker->round++) {
		CT_ASSERT(ct_metadata_write(worker->metadata, insert_rows, worker) == 0);
		while (ct_metadata_submit(worker->metadata, append_event, tell, NULL) != 0)
			(void)sched_yield();
		read_rows(worker);
		int r = ct_metadata_write(worker->metadata, claim_and_end, worker);
		CT_ASSERT(r == 0 || r == CT_ERROR_NOT_FOUND);
		worker->claimed += r == 0;
	}
	return NULL;
}

int main(void)
{
	char directory[] = "/tmp/ct-metadata-XXXXXX";
	char path[64];
	CT_ASSERT(mkdtemp(directory) != NULL);
	(void)snprintf(path, sizeof(path), "%s/db", directory);
	const struct ct_metadata_options options = { .path = path, .max_readers = 3 };
	struct ct_metadata *metadata = NULL;
	CT_ASSERT(ct_metadata_open(&options, &metadata) == 0);

	static struct worker workers[THREADS];
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .metadata = metadata, .number = i };
		CT_ASSERT(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
	}
	int claimed = 0;
	for (int i = 0; i < THREADS; i++) {
		CT_ASSERT(pthread_join(threads[i], NULL) == 0);
		claimed += workers[i].claimed;
	}
	CT_ASSERT(ct_upload_open_count(metadata) == THREADS * ROUNDS);
	ct_metadata_close(metadata);
	CT_ASSERT(claimed == THREADS * ROUNDS);
	CT_ASSERT(atomic_load(&told) == THREADS * ROUNDS);
	CT_ASSERT(unlink(path) == 0 && rmdir(directory) == 0);
	return 0;
}
