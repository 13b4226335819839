/*
 * The two halves behind metadata.c: one writer thread, and a pool of readers. Both have a lock of
 * rank CT_LOCK_DATABASE and never hold the two at once. Threads: any, but for new and free.
 */
#ifndef CT_METADATA_METADATA_PRIV_H
#define CT_METADATA_METADATA_PRIV_H

#include "metadata/sqlite_priv.h"

struct ct_database_writer;
struct ct_reader_pool;

/*
 * Takes over `view` also when it fails. `counts` are those of this time; limits as in
 * ct_metadata_options.
 */
int ct_database_writer_new(struct ct_metadata_view *view, unsigned max_queued, unsigned max_group,
    const struct ct_row_counts *counts, struct ct_database_writer **ret_writer);
/* Commits what is queued and ends the thread. NULL is allowed. */
void ct_database_writer_stop(struct ct_database_writer *writer);
/* Stops it and closes its connection. NULL is allowed. */
void ct_database_writer_free(struct ct_database_writer *writer);
int ct_database_writer_submit(struct ct_database_writer *writer, ct_transaction_fn run,
    ct_transaction_done_fn done, void *arg);
struct ct_row_counts ct_database_writer_counts(const struct ct_database_writer *writer);
void ct_database_writer_health(
    const struct ct_database_writer *writer, struct ct_metadata_health *ret_health);
/* Was anything committed since the last call? */
bool ct_database_writer_take_unsynced(struct ct_database_writer *writer);
/* As if a commit had failed. */
void ct_database_writer_note_failure(struct ct_database_writer *writer);
bool ct_database_writer_is_this_thread(const struct ct_database_writer *writer);

int ct_reader_pool_new(const char *path, unsigned max_readers, struct ct_reader_pool **ret_pool);
/* All views must have come back. NULL is allowed. */
void ct_reader_pool_free(struct ct_reader_pool *pool);
int ct_reader_pool_borrow(struct ct_reader_pool *pool, struct ct_metadata_view **ret_view);
void ct_reader_pool_give_back(struct ct_reader_pool *pool, struct ct_metadata_view *view);

/* How many uploads are receiving: the row of `tally` that the triggers keep, so no count. */
int ct_upload_get_receiving(struct ct_metadata_view *view, int64_t *ret_count);
/* Jobs that are queued, in the same way. */
int ct_job_get_queued(struct ct_metadata_view *view, int64_t *ret_count);

#endif
