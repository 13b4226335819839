/*
 * The database: rows as plain values, reads through a view, writes in transactions that one writer
 * thread runs and commits in groups (SQLite: WAL, synchronous=FULL, or NORMAL when async: a power
 * cut may then take the last commits, but each whole and in order). The rows of each table have a
 * header of their own beside this one.
 *
 * A view is a connection: a reader's, or the writer's inside a transaction. Row functions take
 * either; those that change something assert that it is the writer's. All wall times are ms since
 * 1970 UTC, 0 is "none". Ids are 32 hex digits. Rows own nothing unless they have a _done().
 *
 * Threads: any thread may submit, write or borrow a view. ct_metadata_write() blocks and is for
 * workers. An HTTP thread may borrow a view for point reads by primary key.
 * Errors: CT_ERROR_NOT_FOUND, CT_ERROR_DATABASE, CT_ERROR_DATABASE_BUSY (another process has held
 * the write lock for busy_ms: nothing was done), CT_ERROR_INSUFFICIENT_SPACE (disk full),
 * CT_ERROR_LIMIT_REACHED (queue of the writer full), -EEXIST (unique key), -ENOMEM. What SQLite
 * said is logged where CT_ERROR_DATABASE or CT_ERROR_DATABASE_BUSY comes from.
 */
#ifndef CT_METADATA_H
#define CT_METADATA_H

#include "base/text.h"
#include "calotype/blob.h"
#include <stdbool.h>
#include <stdint.h>

struct ct_metadata;
struct ct_metadata_view;

struct ct_metadata_options {
	const char *path;     /* of the database file; made when missing, then migrated */
	unsigned max_readers; /* [16] */
	unsigned max_queued;  /* transactions waiting for the writer [4096] */
	unsigned max_group;   /* transactions in one commit [256] */
	bool is_async;	      /* a commit does not wait for the disk (synchronous=NORMAL) */
	unsigned busy_ms;     /* longest wait for the write lock of another process [10 s] */
};

/*
 * Opens, migrates, starts the writer thread. BLOCKING. Does no work that grows with the rows.
 * -EPROTONOSUPPORT: a later version has migrated it; -errno of the file: -ENOENT, -EACCES.
 */
int ct_metadata_open(const struct ct_metadata_options *options, struct ct_metadata **ret_metadata);
/* Commits what is queued, ends the thread, frees. NULL is allowed. */
void ct_metadata_close(struct ct_metadata *metadata);

/* ---- transactions ---- */

/*
 * In the writer thread, inside a savepoint: a negative result rolls this transaction alone back.
 * The pages it changes are held in memory until its end, about 4 KiB a row and index: what sweeps
 * or purges takes a hundred rows at a time.
 */
typedef int (*ct_transaction_fn)(struct ct_metadata_view *view, void *arg);
/*
 * In the writer thread, after the COMMIT is durable or has failed; then the whole group gets its
 * error, and `run` may not have been called. Must not block. NULL: nobody waits.
 */
typedef void (*ct_transaction_done_fn)(void *arg, int result);

/* Never waits. When it fails (also CT_ERROR_SHUTTING_DOWN), neither function is called. */
int ct_metadata_submit(
    struct ct_metadata *metadata, ct_transaction_fn run, ct_transaction_done_fn done, void *arg);
/* Submits and waits; the result of `run` or of the commit. BLOCKING; not in the writer thread. */
int ct_metadata_write(struct ct_metadata *metadata, ct_transaction_fn run, void *arg);

/* A read view from the pool; waits only while max_readers are out. Give it back soon. */
int ct_metadata_borrow(struct ct_metadata *metadata, struct ct_metadata_view **ret_view);
void ct_metadata_give_back(struct ct_metadata *metadata, struct ct_metadata_view *view);

/*
 * Async only, else nothing: has the disk take what was committed so far, with everything else on
 * the database's file system (syncfs). A failure counts as that of a commit. BLOCKING.
 */
int ct_metadata_flush(struct ct_metadata *metadata);

/* ---- health ---- */

struct ct_metadata_health {
	int64_t busy_ms;       /* how long the commit that runs now has taken; 0: none runs */
	int64_t failed_ms_ago; /* when the last commit failed; -1: it succeeded, or none was yet */
};
/* Any thread, never waits. */
void ct_metadata_health(const struct ct_metadata *metadata, struct ct_metadata_health *ret_health);

/* ---- limits of columns, in bytes without the NUL ---- */
#define CT_FILENAME_MAX 255
#define CT_TYPE_MAX 127
#define CT_UPLOAD_METADATA_MAX 4096
#define CT_UPLOAD_CONCAT_MAX 4096
#define CT_BLURHASH_MAX 63
#define CT_EXIF_MAX 4096
#define CT_OPERATIONS_MAX 127
#define CT_NODE_MAX 63
#define CT_MESSAGE_MAX 511
#define CT_REQUEST_ID_MAX 63

#endif
