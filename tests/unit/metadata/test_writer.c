#include "support.h"
#include "base/clock.h"
#include "metadata/events.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 8

TestSuite(metadata_writer, .init = directory_setup, .fini = directory_teardown, .timeout = 60);

static int insert_event(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	return ct_event_append(view, "test", "", "{}", 1);
}

static int insert_upload(struct ct_metadata_view *view, void *arg)
{
	return ct_upload_insert(view, arg);
}

static int update_upload(struct ct_metadata_view *view, void *arg)
{
	return ct_upload_update(view, arg);
}

static int64_t count_rows(struct ct_metadata *metadata, const char *sql)
{
	struct ct_metadata_view *view = NULL;
	cr_assert_eq(ct_metadata_borrow(metadata, &view), 0);
	struct ct_query query = ct_query_begin(view, sql);
	cr_assert_eq(ct_query_one(&query), 0);
	int64_t count = ct_query_number(&query);
	ct_query_done(&query);
	ct_metadata_give_back(metadata, view);
	return count;
}

static int64_t count_events(struct ct_metadata *metadata)
{
	return count_rows(metadata, "SELECT count(*) FROM event");
}

/* Holds the writer inside of a transaction, so that what is submitted meanwhile is one group. */
struct gate {
	_Atomic int is_reached;
	_Atomic int is_open;
};

static void sleep_ms(int ms)
{
	cr_assert_eq(usleep((useconds_t)ms * 1000), 0);
}

static int wait_at_gate(struct ct_metadata_view *view, void *arg)
{
	struct gate *gate = arg;
	(void)view;
	atomic_store(&gate->is_reached, 1);
	while (!atomic_load(&gate->is_open))
		sleep_ms(1);
	return 0;
}

static void close_gate(struct ct_metadata *metadata, struct gate *gate)
{
	cr_assert_eq(ct_metadata_submit(metadata, wait_at_gate, NULL, gate), 0);
	while (!atomic_load(&gate->is_reached))
		sleep_ms(1);
}

/* ---- results ---- */

#define MAX_RESULTS 64

struct results {
	_Atomic int count;
	_Atomic int result[MAX_RESULTS];
};

struct result_slot {
	struct results *results;
	struct ct_upload_row upload;
	int index;
	int returned;
};

static void keep_result(void *arg, int result)
{
	struct result_slot *slot = arg;
	atomic_store(&slot->results->result[slot->index], result);
	(void)atomic_fetch_add(&slot->results->count, 1);
}

static int insert_and_return(struct ct_metadata_view *view, void *arg)
{
	struct result_slot *slot = arg;
	int r = ct_upload_insert(view, &slot->upload);
	return r < 0 ? r : slot->returned;
}

static void wait_for(struct results *results, int count)
{
	while (atomic_load(&results->count) < count)
		sleep_ms(1);
}

static void submit_slot(struct ct_metadata *metadata, struct result_slot *slot)
{
	cr_assert_eq(ct_metadata_submit(metadata, insert_and_return, keep_result, slot), 0);
}

static void fill_slots(struct result_slot *slots, struct results *results, int count)
{
	for (int i = 0; i < count; i++) {
		slots[i] = (struct result_slot){ .results = results, .index = i };
		slots[i].upload = make_upload(i, 0);
	}
}

/* ---- group commit ---- */

static void *write_events(void *arg)
{
	struct ct_metadata *metadata = arg;
	for (int i = 0; i < 100; i++)
		cr_assert_eq(ct_metadata_write(metadata, insert_event, NULL), 0);
	return NULL;
}

Test(metadata_writer, many_threads_share_commits)
{
	struct ct_metadata *metadata = open_metadata();
	pthread_t threads[THREADS];
	const int before = atomic_load(&fdatasync_calls);
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, write_events, metadata), 0);
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	const int commits = atomic_load(&fdatasync_calls) - before;
	cr_expect_eq(count_events(metadata), 100 * THREADS);
	/* A thread waits for each of its commits, so at least as many as one thread wrote. */
	cr_expect_geq(commits, 100);
	cr_expect_lt(commits, 100 * THREADS / 2, "%d commits", commits);
	ct_metadata_close(metadata);
}

Test(metadata_writer, what_waits_is_one_commit)
{
	struct ct_metadata *metadata = open_metadata();
	struct results results = { 0 };
	static struct result_slot slots[MAX_RESULTS];
	struct gate gate = { 0 };
	fill_slots(slots, &results, MAX_RESULTS);
	/* The first commit also makes the header of the log durable. */
	cr_assert_eq(ct_metadata_write(metadata, insert_event, NULL), 0);
	close_gate(metadata, &gate);
	const int before = atomic_load(&fdatasync_calls);
	for (int i = 0; i < MAX_RESULTS; i++)
		submit_slot(metadata, &slots[i]);
	atomic_store(&gate.is_open, 1);
	wait_for(&results, MAX_RESULTS);
	/* The gate's own commit wrote nothing. */
	cr_expect_eq(atomic_load(&fdatasync_calls) - before, 1);
	cr_expect_eq(ct_upload_open_count(metadata), MAX_RESULTS);
	ct_metadata_close(metadata);
}

Test(metadata_writer, a_group_has_a_maximum)
{
	const struct ct_metadata_options options = { .path = fixture.path, .max_group = 8 };
	struct ct_metadata *metadata = NULL;
	struct results results = { 0 };
	static struct result_slot slots[MAX_RESULTS];
	struct gate gate = { 0 };
	cr_assert_eq(ct_metadata_open(&options, &metadata), 0);
	fill_slots(slots, &results, MAX_RESULTS);
	cr_assert_eq(ct_metadata_write(metadata, insert_event, NULL), 0);
	close_gate(metadata, &gate);
	const int before = atomic_load(&fdatasync_calls);
	for (int i = 0; i < MAX_RESULTS; i++)
		submit_slot(metadata, &slots[i]);
	atomic_store(&gate.is_open, 1);
	wait_for(&results, MAX_RESULTS);
	cr_expect_eq(atomic_load(&fdatasync_calls) - before, MAX_RESULTS / 8);
	ct_metadata_close(metadata);
}

/* ---- failures ---- */

Test(metadata_writer, a_failing_transaction_leaves_the_others_of_its_group)
{
	struct ct_metadata *metadata = open_metadata();
	struct results results = { 0 };
	static struct result_slot slots[5];
	struct gate gate = { 0 };
	fill_slots(slots, &results, 5);
	slots[1].returned = CT_ERROR_LEASE_LOST; /* after its insert, which must go */
	slots[3].upload = slots[0].upload;	 /* the same key twice */
	slots[4].returned = 7;
	close_gate(metadata, &gate);
	for (int i = 0; i < 5; i++)
		submit_slot(metadata, &slots[i]);
	atomic_store(&gate.is_open, 1);
	wait_for(&results, 5);
	cr_expect_eq(results.result[0], 0);
	cr_expect_eq(results.result[1], CT_ERROR_LEASE_LOST);
	cr_expect_eq(results.result[2], 0);
	cr_expect_eq(results.result[3], -EEXIST);
	cr_expect_eq(results.result[4], 7);
	cr_expect_eq(count_rows(metadata, "SELECT count(*) FROM upload"), 3);
	cr_expect_eq(ct_upload_open_count(metadata), 3);
	ct_metadata_close(metadata);
}

/* All of a group get the error of its commit, nothing of it is there, and the next one works. */
static void check_failing_group(int expected)
{
	struct ct_metadata *metadata = open_metadata();
	struct results results = { 0 };
	static struct result_slot slots[10];
	struct gate gate = { 0 };
	fill_slots(slots, &results, 10);
	cr_assert_eq(ct_metadata_write(metadata, insert_event, NULL), 0);
	close_gate(metadata, &gate);
	for (int i = 0; i < 10; i++)
		submit_slot(metadata, &slots[i]);
	if (expected == CT_ERROR_INSUFFICIENT_SPACE)
		atomic_store(&write_errno, ENOSPC);
	else
		atomic_store(&failing_syncs, 1);
	atomic_store(&gate.is_open, 1);
	wait_for(&results, 10);
	atomic_store(&write_errno, 0);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(results.result[i], expected);
	cr_expect_eq(count_rows(metadata, "SELECT count(*) FROM upload"), 0);
	cr_expect_eq(ct_upload_open_count(metadata), 0);

	atomic_store(&results.count, 0);
	for (int i = 0; i < 10; i++)
		submit_slot(metadata, &slots[i]);
	wait_for(&results, 10);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(results.result[i], 0);
	ct_metadata_close(metadata);
	metadata = open_metadata();
	cr_expect_eq(ct_upload_open_count(metadata), 10);
	ct_metadata_close(metadata);
}

Test(metadata_writer, a_full_disk_fails_the_group_and_passes)
{
	check_failing_group(CT_ERROR_INSUFFICIENT_SPACE);
}

Test(metadata_writer, a_failing_fsync_fails_the_group_and_passes)
{
	check_failing_group(CT_ERROR_DATABASE);
}

static int insert_many(struct ct_metadata_view *view, void *arg)
{
	int r = 0;
	for (int i = 0; i < 20000 && r >= 0; i++)
		r = insert_event(view, arg);
	return r;
}

/* More than the cache holds: the error comes in the middle, and SQLite rolls back by itself. */
Test(metadata_writer, a_full_disk_in_the_middle_of_a_transaction)
{
	struct ct_metadata *metadata = open_metadata();
	cr_assert_eq(ct_metadata_write(metadata, insert_event, NULL), 0);
	atomic_store(&write_errno, ENOSPC);
	cr_expect_eq(ct_metadata_write(metadata, insert_many, NULL), CT_ERROR_INSUFFICIENT_SPACE);
	atomic_store(&write_errno, 0);
	cr_expect_eq(count_events(metadata), 1);
	cr_expect_eq(ct_metadata_write(metadata, insert_many, NULL), 0);
	cr_expect_eq(count_events(metadata), 20001);
	ct_metadata_close(metadata);
}

Test(metadata_writer, the_database_has_reached_its_maximum)
{
	struct ct_metadata_view *view = NULL;
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	cr_assert_eq(ct_connection_migrate(view), 0);
	cr_assert_eq(ct_connection_execute(view, "PRAGMA max_page_count = 1"), 0);
	cr_assert_eq(ct_connection_execute(view, "BEGIN IMMEDIATE"), 0);
	cr_expect_eq(insert_many(view, NULL), CT_ERROR_INSUFFICIENT_SPACE);
	if (ct_connection_is_in_transaction(view))
		cr_assert_eq(ct_connection_execute(view, "ROLLBACK"), 0);
	ct_connection_close(view);
}

static int insert_image_without_blob(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	const struct ct_image_row row = make_image(1, CT_IMAGE_PENDING, 1, 1);
	int r = ct_connection_execute(view, "PRAGMA defer_foreign_keys = ON");
	return r < 0 ? r : ct_image_insert(view, &row);
}

/* This COMMIT fails and leaves its transaction open. */
Test(metadata_writer, a_refused_commit_is_rolled_back)
{
	struct ct_metadata *metadata = open_metadata();
	cr_expect_eq(
	    ct_metadata_write(metadata, insert_image_without_blob, NULL), CT_ERROR_DATABASE);
	cr_expect_eq(ct_metadata_write(metadata, insert_event, NULL), 0);
	cr_expect_eq(count_rows(metadata, "SELECT count(*) FROM image"), 0);
	cr_expect_eq(count_events(metadata), 1);
	ct_metadata_close(metadata);
}

Test(metadata_writer, a_lock_that_another_process_holds_too_long)
{
	const struct ct_metadata_options options = { .path = fixture.path, .busy_ms = 50 };
	struct ct_metadata *metadata = NULL;
	struct ct_metadata_view *other = NULL;
	cr_assert_eq(ct_metadata_open(&options, &metadata), 0);
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &other), 0);
	cr_assert_eq(ct_connection_execute(other, "BEGIN IMMEDIATE"), 0);
	cr_expect_eq(ct_metadata_write(metadata, insert_event, NULL), CT_ERROR_DATABASE_BUSY);
	cr_assert_eq(ct_connection_execute(other, "ROLLBACK"), 0);
	ct_connection_close(other);
	cr_expect_eq(ct_metadata_write(metadata, insert_event, NULL), 0);
	cr_expect_eq(count_events(metadata), 1);
	ct_metadata_close(metadata);
}

/* ---- limits ---- */

Test(metadata_writer, a_full_queue_refuses)
{
	const struct ct_metadata_options options = { .path = fixture.path, .max_queued = 4 };
	struct ct_metadata *metadata = NULL;
	struct gate gate = { 0 };
	cr_assert_eq(ct_metadata_open(&options, &metadata), 0);
	close_gate(metadata, &gate);
	for (int i = 0; i < 4; i++)
		cr_expect_eq(ct_metadata_submit(metadata, insert_event, NULL, NULL), 0);
	const int64_t start = ct_clock_monotonic_ms();
	cr_expect_eq(
	    ct_metadata_submit(metadata, insert_event, NULL, NULL), CT_ERROR_LIMIT_REACHED);
	cr_expect_eq(ct_metadata_write(metadata, insert_event, NULL), CT_ERROR_LIMIT_REACHED);
	cr_expect_lt(ct_clock_monotonic_ms() - start, 1000);
	atomic_store(&gate.is_open, 1);
	ct_metadata_close(metadata);
	metadata = open_metadata();
	cr_expect_eq(count_events(metadata), 4);
	ct_metadata_close(metadata);
}

struct borrower {
	struct ct_metadata *metadata;
	_Atomic int has_view;
};

static void *borrow_one(void *arg)
{
	struct borrower *borrower = arg;
	struct ct_metadata_view *view = NULL;
	cr_assert_eq(ct_metadata_borrow(borrower->metadata, &view), 0);
	atomic_store(&borrower->has_view, 1);
	ct_metadata_give_back(borrower->metadata, view);
	return NULL;
}

Test(metadata_writer, a_borrower_waits_while_all_readers_are_out)
{
	const struct ct_metadata_options options = { .path = fixture.path, .max_readers = 2 };
	struct borrower borrower = { 0 };
	struct ct_metadata_view *views[2] = { 0 };
	pthread_t thread;
	cr_assert_eq(ct_metadata_open(&options, &borrower.metadata), 0);
	cr_assert_eq(ct_metadata_borrow(borrower.metadata, &views[0]), 0);
	cr_assert_eq(ct_metadata_borrow(borrower.metadata, &views[1]), 0);
	cr_expect_neq(views[0], views[1]);
	cr_assert_eq(pthread_create(&thread, NULL, borrow_one, &borrower), 0);
	sleep_ms(50);
	cr_expect_not(atomic_load(&borrower.has_view));
	ct_metadata_give_back(borrower.metadata, views[0]);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_expect(atomic_load(&borrower.has_view));
	ct_metadata_give_back(borrower.metadata, views[1]);
	ct_metadata_close(borrower.metadata);
}

static int insert_many_and_wait(struct ct_metadata_view *view, void *arg)
{
	int r = insert_many(view, NULL);
	return r < 0 ? r : wait_at_gate(view, arg);
}

/* A reader sees what is committed, and does not wait for the writer. */
Test(metadata_writer, readers_see_only_what_is_committed)
{
	struct ct_metadata *metadata = open_metadata();
	struct gate gate = { 0 };
	cr_assert_eq(ct_metadata_submit(metadata, insert_many_and_wait, NULL, &gate), 0);
	while (!atomic_load(&gate.is_reached))
		sleep_ms(1);
	cr_expect_eq(count_events(metadata), 0);
	atomic_store(&gate.is_open, 1);
	cr_assert_eq(ct_metadata_write(metadata, insert_event, NULL), 0);
	cr_expect_eq(count_events(metadata), 20001);
	ct_metadata_close(metadata);
}

Test(metadata_writer, the_log_does_not_grow_for_ever)
{
	struct ct_metadata *metadata = open_metadata();
	for (int i = 0; i < 40; i++)
		cr_assert_eq(ct_metadata_write(metadata, insert_many, NULL), 0);
	char path[128];
	(void)snprintf(path, sizeof(path), "%s-wal", fixture.path);
	struct stat stat_of_log;
	cr_assert_eq(stat(path, &stat_of_log), 0);
	cr_expect_lt(stat_of_log.st_size, 8 << 20);
	ct_metadata_close(metadata);
}

/* ---- open uploads ---- */

Test(metadata_writer, open_uploads_are_counted_as_they_come_and_go)
{
	struct ct_metadata *metadata = open_metadata();
	struct ct_upload_row rows[3];
	for (int i = 0; i < 3; i++) {
		rows[i] = make_upload(i, 0);
		cr_assert_eq(ct_metadata_write(metadata, insert_upload, &rows[i]), 0);
	}
	rows[0].at.offset = 10;
	cr_assert_eq(ct_metadata_write(metadata, update_upload, &rows[0]), 0);
	cr_expect_eq(ct_upload_open_count(metadata), 3);
	rows[0].state = CT_UPLOAD_FINISHING;
	cr_assert_eq(ct_metadata_write(metadata, update_upload, &rows[0]), 0);
	cr_expect_eq(ct_upload_open_count(metadata), 2);
	rows[0].state = CT_UPLOAD_DONE;
	cr_assert_eq(ct_metadata_write(metadata, update_upload, &rows[0]), 0);
	cr_expect_eq(ct_upload_open_count(metadata), 2);
	rows[1].epoch = 5;
	rows[1].state = CT_UPLOAD_CANCELED;
	cr_expect_eq(ct_metadata_write(metadata, update_upload, &rows[1]), CT_ERROR_LEASE_LOST);
	cr_expect_eq(ct_upload_open_count(metadata), 2);
	ct_metadata_close(metadata);
	metadata = open_metadata();
	cr_expect_eq(ct_upload_open_count(metadata), 2);
	ct_metadata_close(metadata);
}

/* ---- claims ---- */

#define JOBS 400

struct claimer {
	struct ct_metadata *metadata;
	_Atomic int *times_claimed; /* of each job */
};

struct claim {
	struct ct_job_row row;
	int64_t next_run_at;
};

static int insert_jobs(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	for (int i = 0; i < JOBS; i++) {
		const struct ct_job_row row = make_job(i, 1);
		int r = ct_job_insert(view, &row);
		if (r < 0)
			return r;
	}
	return 0;
}

static int claim_job(struct ct_metadata_view *view, void *arg)
{
	struct claim *claim = arg;
	return ct_job_claim(view, "me", 10, 1000, &claim->row, &claim->next_run_at);
}

static int end_job(struct ct_metadata_view *view, void *arg)
{
	const struct claim *claim = arg;
	return ct_job_end(view, claim->row.id, claim->row.token, CT_JOB_SUCCEEDED, "{}", NULL, 20);
}

static void *claim_jobs(void *arg)
{
	const struct claimer *claimer = arg;
	struct claim claim = { 0 };
	int r;
	while ((r = ct_metadata_write(claimer->metadata, claim_job, &claim)) == 0) {
		unsigned number;
		cr_assert_eq(sscanf(claim.row.id, "%x", &number), 1);
		(void)atomic_fetch_add(&claimer->times_claimed[number], 1);
		cr_expect_eq(ct_metadata_write(claimer->metadata, end_job, &claim), 0);
		ct_job_row_done(&claim.row);
	}
	cr_expect_eq(r, CT_ERROR_NOT_FOUND);
	return NULL;
}

Test(metadata_writer, eight_threads_claim_each_job_once)
{
	static _Atomic int times_claimed[JOBS];
	struct claimer claimer = { open_metadata(), times_claimed };
	pthread_t threads[THREADS];
	cr_assert_eq(ct_metadata_write(claimer.metadata, insert_jobs, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, claim_jobs, &claimer), 0);
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < JOBS; i++)
		cr_expect_eq(atomic_load(&times_claimed[i]), 1);
	cr_expect_eq(
	    count_rows(claimer.metadata, "SELECT count(*) FROM job WHERE state = 2"), JOBS);
	ct_metadata_close(claimer.metadata);
}
