/*
 * The writer: one thread owns the one connection that writes. It takes all transactions that wait,
 * up to a limit, runs each in a savepoint of its own inside one SQL transaction, and commits them
 * together: while one fsync runs, the next group gathers. Only after the COMMIT has returned are
 * the results told, so what is told is durable.
 *
 * A COMMIT that fails (disk full, I/O error) fails the whole group, as does a statement whose
 * error makes SQLite roll everything back. The connection is then good for the next group: SQLite
 * writes the lost pages of the log anew, so no failed fsync is trusted later. As with any
 * database, a transaction that was reported as failed by an I/O error may still be found after a
 * power cut; none that was reported as done is missing.
 */
#include "metadata/metadata_priv.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct transaction {
	ct_transaction_fn run;
	ct_transaction_done_fn done;
	void *arg;
	int result;
};

struct ct_database_writer {
	/* Set once. */
	unsigned max_queued;
	unsigned max_group;
	bool has_thread;
	pthread_t thread;

	struct ct_lock lock;
	struct ct_condition changed;
	/* Under lock: a ring. */
	struct transaction *queue;
	unsigned first;
	unsigned queued;
	bool stopping;

	/* Owned by the thread. */
	struct ct_metadata_view *view;
	struct transaction *group;

	/* Any thread reads, the writer changes. */
	_Atomic int64_t receiving;
	_Atomic int64_t jobs_queued;
	_Atomic int64_t busy_since_ms; /* monotonic; 0: idle */
	_Atomic int64_t failed_at_ms;  /* monotonic; 0: the last commit succeeded */
	atomic_bool is_unsynced;       /* something was committed since it was last asked */
};

static int run_sql(struct ct_metadata_view *view, const char *sql)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, sql);
	return ct_query_step(&query);
}

/* An error here means that the SQL transaction is lost, and the group with it. */
static int roll_back_savepoint(struct ct_metadata_view *view, const struct ct_row_counts *before)
{
	view->change = *before;
	int r = run_sql(view, "ROLLBACK TO one");
	return r < 0 ? r : run_sql(view, "RELEASE one");
}

static int run_in_savepoint(struct ct_metadata_view *view, struct transaction *transaction)
{
	const struct ct_row_counts before = view->change;
	int r = run_sql(view, "SAVEPOINT one");
	if (r < 0)
		return r;
	transaction->result = transaction->run(view, transaction->arg);
	if (!ct_connection_is_in_transaction(view)) {
		/* SQLite rolled everything back, which it does for errors only. */
		return transaction->result < 0 ? transaction->result : CT_ERROR_DATABASE;
	}
	if (transaction->result < 0)
		return roll_back_savepoint(view, &before);
	return run_sql(view, "RELEASE one");
}

static int run_and_commit(struct ct_database_writer *writer, unsigned count)
{
	struct ct_metadata_view *view = writer->view;
	if (ct_connection_has_moved(view)) {
		ct_log(CT_LOG_ERROR, "database.moved",
		    CT_LOG_TEXT("detail", "its file was deleted or replaced; start again"));
		return CT_ERROR_DATABASE;
	}
	int r = run_sql(view, "BEGIN IMMEDIATE");
	for (unsigned i = 0; i < count && r >= 0; i++)
		r = run_in_savepoint(view, &writer->group[i]);
	return r < 0 ? r : run_sql(view, "COMMIT");
}

static void measure(struct ct_database_writer *writer, unsigned count, int result, int64_t began_us)
{
	int64_t now_us = ct_clock_monotonic_us();
	ct_metrics_add(CT_METRIC_DATABASE_COMMITS, 1);
	ct_metrics_add(CT_METRIC_DATABASE_TRANSACTIONS, count);
	ct_metrics_observe_us(CT_METRIC_DATABASE_TIME, now_us - began_us);
	if (result < 0)
		ct_metrics_add(CT_METRIC_DATABASE_FAILURES, 1);
	atomic_store(&writer->failed_at_ms, result < 0 ? now_us / 1000 : 0);
	if (result >= 0)
		atomic_store(&writer->is_unsynced, true);
	atomic_store(&writer->busy_since_ms, 0);
}

static void keep_count(struct ct_database_writer *writer, const struct ct_row_counts *change)
{
	(void)atomic_fetch_add(&writer->receiving, change->receiving);
	(void)atomic_fetch_add(&writer->jobs_queued, change->queued);
}

static void run_group(struct ct_database_writer *writer, unsigned count)
{
	struct ct_metadata_view *view = writer->view;
	int64_t began_us = ct_clock_monotonic_us();
	atomic_store(&writer->busy_since_ms, began_us / 1000);
	view->change = (struct ct_row_counts){ 0 };
	int r = run_and_commit(writer, count);
	measure(writer, count, r, began_us);
	if (r >= 0)
		keep_count(writer, &view->change);
	/* If this fails too, the next BEGIN fails and is reported; then the next try comes. */
	else if (ct_connection_is_in_transaction(view))
		(void)run_sql(view, "ROLLBACK");
	for (unsigned i = 0; i < count; i++) {
		struct transaction *transaction = &writer->group[i];
		if (transaction->done != NULL)
			transaction->done(transaction->arg, r < 0 ? r : transaction->result);
	}
	ct_connection_checkpoint(view);
}

/* Waits; 0 when the writer stops and nothing is left. */
static unsigned take_group(struct ct_database_writer *writer)
{
	ct_lock_take(&writer->lock);
	while (writer->queued == 0 && !writer->stopping)
		ct_condition_wait(&writer->changed, &writer->lock);
	unsigned count = writer->queued < writer->max_group ? writer->queued : writer->max_group;
	for (unsigned i = 0; i < count; i++) {
		writer->group[i] = writer->queue[writer->first];
		writer->first = (writer->first + 1) % writer->max_queued;
	}
	writer->queued -= count;
	ct_lock_release(&writer->lock);
	return count;
}

static void *run_writer(void *arg)
{
	struct ct_database_writer *writer = arg;
	unsigned count;
	while ((count = take_group(writer)) > 0)
		run_group(writer, count);
	return NULL;
}

CT_DEFINE_CLEANUP(writer_cleanup, struct ct_database_writer *, ct_database_writer_free)

int ct_database_writer_new(struct ct_metadata_view *view, unsigned max_queued, unsigned max_group,
    const struct ct_row_counts *counts, struct ct_database_writer **ret_writer)
{
	CT_ASSERT(max_queued >= 1 && max_group >= 1);
	ct_cleanup(writer_cleanup) struct ct_database_writer *writer = calloc(1, sizeof(*writer));
	if (writer == NULL) {
		ct_connection_close(view);
		return -ENOMEM;
	}
	ct_lock_init(&writer->lock, CT_LOCK_DATABASE);
	ct_condition_init(&writer->changed);
	writer->view = view;
	writer->max_queued = max_queued;
	writer->max_group = max_group;
	atomic_init(&writer->receiving, counts->receiving);
	atomic_init(&writer->jobs_queued, counts->queued);
	writer->queue = calloc(max_queued, sizeof(*writer->queue));
	writer->group = calloc(max_group, sizeof(*writer->group));
	if (writer->queue == NULL || writer->group == NULL)
		return -ENOMEM;
	int r = ct_thread_start("database", run_writer, writer, &writer->thread);
	if (r < 0)
		return r;
	writer->has_thread = true;
	*ret_writer = ct_steal(writer);
	return 0;
}

void ct_database_writer_stop(struct ct_database_writer *writer)
{
	if (writer == NULL || !writer->has_thread)
		return;
	ct_lock_take(&writer->lock);
	writer->stopping = true;
	ct_condition_signal(&writer->changed);
	ct_lock_release(&writer->lock);
	CT_ASSERT(pthread_join(writer->thread, NULL) == 0);
	writer->has_thread = false;
}

void ct_database_writer_free(struct ct_database_writer *writer)
{
	if (writer == NULL)
		return;
	ct_database_writer_stop(writer);
	CT_ASSERT(writer->queued == 0);
	ct_connection_close(writer->view);
	ct_condition_done(&writer->changed);
	ct_lock_done(&writer->lock);
	free(writer->queue);
	free(writer->group);
	free(writer);
}

static int submit_locked(struct ct_database_writer *writer, const struct transaction *transaction)
{
	ct_lock_assert_held(&writer->lock);
	if (writer->stopping)
		return CT_ERROR_SHUTTING_DOWN;
	if (writer->queued == writer->max_queued)
		return CT_ERROR_LIMIT_REACHED;
	writer->queue[(writer->first + writer->queued) % writer->max_queued] = *transaction;
	writer->queued++;
	ct_condition_signal(&writer->changed);
	return 0;
}

int ct_database_writer_submit(struct ct_database_writer *writer, ct_transaction_fn run,
    ct_transaction_done_fn done, void *arg)
{
	const struct transaction transaction = { .run = run, .done = done, .arg = arg };
	ct_lock_take(&writer->lock);
	int r = submit_locked(writer, &transaction);
	ct_lock_release(&writer->lock);
	return r;
}

struct ct_row_counts ct_database_writer_counts(const struct ct_database_writer *writer)
{
	return (struct ct_row_counts){
		.receiving = atomic_load(&writer->receiving),
		.queued = atomic_load(&writer->jobs_queued),
	};
}

void ct_database_writer_health(
    const struct ct_database_writer *writer, struct ct_metadata_health *ret_health)
{
	int64_t now_ms = ct_clock_monotonic_ms();
	int64_t busy_since_ms = atomic_load(&writer->busy_since_ms);
	int64_t failed_at_ms = atomic_load(&writer->failed_at_ms);
	ret_health->busy_ms = busy_since_ms == 0 ? 0 : now_ms - busy_since_ms;
	ret_health->failed_ms_ago = failed_at_ms == 0 ? -1 : now_ms - failed_at_ms;
}

bool ct_database_writer_is_this_thread(const struct ct_database_writer *writer)
{
	return pthread_equal(writer->thread, pthread_self()) != 0;
}

bool ct_database_writer_take_unsynced(struct ct_database_writer *writer)
{
	return atomic_exchange(&writer->is_unsynced, false);
}

void ct_database_writer_note_failure(struct ct_database_writer *writer)
{
	atomic_store(&writer->failed_at_ms, ct_clock_monotonic_ms());
}
