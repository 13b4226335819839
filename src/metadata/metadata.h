/*
 * The database behind one header: rows as plain values, reads through a view, writes in
 * transactions that one writer thread runs and commits in groups (SQLite: WAL, synchronous=FULL).
 *
 * A view is a connection: a reader's, or the writer's inside a transaction. Row functions take
 * either; those that change something assert that it is the writer's. All wall times are ms since
 * 1970 UTC, 0 is "none". Ids are 32 hex digits. Rows own nothing unless they have a _done().
 *
 * Threads: any thread may submit, write or borrow a view. ct_metadata_write() blocks and is for
 * workers. An HTTP thread may borrow a view for point reads by primary key.
 * Errors: CT_ERROR_NOT_FOUND, CT_ERROR_DATABASE, CT_ERROR_INSUFFICIENT_SPACE (disk full),
 * CT_ERROR_LIMIT_REACHED (queue of the writer full), -EEXIST (unique key), -ENOMEM. What SQLite
 * said is logged where CT_ERROR_DATABASE comes from.
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

/* ---- limits of columns, in bytes without the NUL ---- */
#define CT_FILENAME_MAX 255
#define CT_TYPE_MAX 127
#define CT_UPLOAD_METADATA_MAX 4096
#define CT_BLURHASH_MAX 63
#define CT_EXIF_MAX 4096
#define CT_OPERATIONS_MAX 127
#define CT_NODE_MAX 63
#define CT_MESSAGE_MAX 511

/* ---- uploads ---- */
enum ct_upload_state {
	CT_UPLOAD_RECEIVING,
	CT_UPLOAD_FINISHING, /* all bytes are durable, the blob is being published */
	CT_UPLOAD_DONE,
	CT_UPLOAD_REFUSED,
	CT_UPLOAD_EXPIRED,
	CT_UPLOAD_CANCELED,
	CT_UPLOAD_STATE_COUNT
};
const char *ct_upload_state_name(enum ct_upload_state state);

struct ct_upload_row {
	char id[CT_ID_CHARS + 1];
	enum ct_upload_state state;
	uint64_t length_bytes;	      /* CT_BLOB_LENGTH_UNKNOWN while deferred */
	struct ct_blob_checkpoint at; /* durable offset and hash state */
	char type[CT_TYPE_MAX + 1];   /* sniffed; empty before */
	char filename[CT_FILENAME_MAX + 1];
	char metadata[CT_UPLOAD_METADATA_MAX + 1]; /* tus: as given */
	char image_id[CT_ID_CHARS + 1];		   /* when done */
	char job_id[CT_ID_CHARS + 1];
	int refusal; /* an error code, when refused */
	char refusal_detail[CT_MESSAGE_MAX + 1];
	char key_id[16]; /* of the API key that began it, or empty */
	int64_t created_at, updated_at, expires_at;
	char owner[CT_NODE_MAX + 1]; /* the lease: which node, until when; epoch fences */
	int64_t lease_until;
	int64_t epoch;
};

int ct_upload_insert(struct ct_metadata_view *view, const struct ct_upload_row *row);
int ct_upload_get(struct ct_metadata_view *view, const char *id, struct ct_upload_row *ret_row);
/*
 * Takes the lease, also from another owner: sets owner and lease_until, adds 1 to epoch. Only
 * while receiving or finishing; CT_ERROR_GONE once it has ended.
 */
int ct_upload_claim(struct ct_metadata_view *view, const char *id, const char *owner,
    int64_t lease_until, int64_t *ret_epoch);
/*
 * Writes state, at, length, type, image_id, job_id, refusal, refusal_detail, updated_at and
 * expires_at where id and epoch match; CT_ERROR_LEASE_LOST when they don't.
 */
int ct_upload_update(struct ct_metadata_view *view, const struct ct_upload_row *row);
/* Uploads in `receiving` whose expires_at is <= now, oldest first; returns the count. */
int ct_upload_list_expired(
    struct ct_metadata_view *view, int64_t now, struct ct_upload_row *ret_rows, int capacity);
/* Uploads in `finishing` since before `before`, oldest first: what a dead server left; count. */
int ct_upload_list_finishing(
    struct ct_metadata_view *view, int64_t before, struct ct_upload_row *ret_rows, int capacity);
/* Ended uploads (done, refused, expired, canceled) older than `before` are forgotten; count. */
int ct_upload_purge(struct ct_metadata_view *view, int64_t before, int limit);
/* Uploads that are receiving, counted at open and kept by the writer since: no scan. */
int64_t ct_upload_open_count(struct ct_metadata *metadata);

/* ---- blobs: originals ---- */
struct ct_blob_row {
	struct ct_digest digest;
	uint64_t size_bytes;
	char type[CT_TYPE_MAX + 1];
	bool deleting; /* the sweeper has begun; an upload of the same bytes revives it */
	int64_t created_at, last_ref_at;
};

/*
 * Inserts, or for a known digest sets last_ref_at and clears `deleting`. Who finds `deleting` set
 * (ct_blob_get before, in the same transaction) cannot know whether the bytes are still there.
 */
int ct_blob_reference(struct ct_metadata_view *view, const struct ct_blob_row *row);
int ct_blob_get(
    struct ct_metadata_view *view, const struct ct_digest *digest, struct ct_blob_row *ret_row);
/* Is there an image in state ready on it? */
int ct_blob_is_visible(
    struct ct_metadata_view *view, const struct ct_digest *digest, bool *ret_visible);
/*
 * Marks blobs without images and last_ref_at < before as deleting, and lists them, also those
 * that an interrupted sweep had marked; count. By index: costs what it finds.
 */
int ct_blob_begin_sweep(
    struct ct_metadata_view *view, int64_t before, struct ct_blob_row *ret_rows, int capacity);
/* Deletes the row if it is still `deleting` and unreferenced; CT_ERROR_NOT_FOUND if revived. */
int ct_blob_end_sweep(struct ct_metadata_view *view, const struct ct_digest *digest);

/* ---- images ---- */
enum ct_image_state { CT_IMAGE_PENDING, CT_IMAGE_READY, CT_IMAGE_FAILED, CT_IMAGE_STATE_COUNT };
const char *ct_image_state_name(enum ct_image_state state);

struct ct_image_row {
	char id[CT_ID_CHARS + 1];
	enum ct_image_state state;
	struct ct_digest digest;
	uint64_t size_bytes;	    /* joined from blob */
	char type[CT_TYPE_MAX + 1]; /* joined from blob */
	char filename[CT_FILENAME_MAX + 1];
	int width, height, frames, orientation; /* 0: not known, or not an image */
	char blurhash[CT_BLURHASH_MAX + 1];
	char exif[CT_EXIF_MAX + 1]; /* JSON object without private fields, or empty */
	char job_id[CT_ID_CHARS + 1];
	char key_id[16];
	int64_t created_at;
};

/* Its blob must have been referenced before. */
int ct_image_insert(struct ct_metadata_view *view, const struct ct_image_row *row);
int ct_image_get(struct ct_metadata_view *view, const char *id, struct ct_image_row *ret_row);
/* Writes state, width, height, frames, orientation, blurhash, exif. NOT_FOUND if deleted. */
int ct_image_update(struct ct_metadata_view *view, const struct ct_image_row *row);
int ct_image_delete(struct ct_metadata_view *view, const char *id);
/* Newest first; after the row (before_at, before_id) when before_id is not empty; count. */
int ct_image_list(struct ct_metadata_view *view, enum ct_image_state state, int64_t before_at,
    const char *before_id, struct ct_image_row *ret_rows, int capacity);
/* Images of a blob, up to `capacity`; count. */
int ct_image_list_of_blob(struct ct_metadata_view *view, const struct ct_digest *digest,
    struct ct_image_row *ret_rows, int capacity);

/* ---- prints: keyed on (source, operations), shared by the images of one blob ---- */
struct ct_print_row {
	struct ct_digest source;
	char operations[CT_OPERATIONS_MAX + 1]; /* canonical, imaging/plan.h */
	struct ct_digest digest;		/* of the print's bytes: its name in the store */
	uint64_t size_bytes;
	int width, height;
	char type[CT_TYPE_MAX + 1];
	int64_t created_at;
};

int ct_print_put(struct ct_metadata_view *view, const struct ct_print_row *row); /* or replace */
int ct_print_get(struct ct_metadata_view *view, const struct ct_digest *source,
    const char *operations, struct ct_print_row *ret_row);
/* Of one source, by rising width; count. */
int ct_print_list(struct ct_metadata_view *view, const struct ct_digest *source,
    struct ct_print_row *ret_rows, int capacity);
/* Deletes the rows of a source that no image has any more; lists what was deleted; count. */
int ct_print_delete_orphans(struct ct_metadata_view *view, const struct ct_digest *source,
    struct ct_print_row *ret_rows, int capacity);
/* Does any print row name these bytes? */
int ct_print_is_used(struct ct_metadata_view *view, const struct ct_digest *digest, bool *ret_used);

/* ---- jobs ---- */
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
	int64_t token; /* fencing: rises with each claim */
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

/* ---- events ---- */
/* `data` is a JSON object. Written in the transaction that makes it true. */
int ct_event_append(struct ct_metadata_view *view, const char *type, const char *image_id,
    const char *data, int64_t now);
/* Of the `limit` oldest events those from before `before` are forgotten; count. */
int ct_event_purge(struct ct_metadata_view *view, int64_t before, int limit);

/* ---- API keys: calo_<8>_<43>; only the SHA-256 of the whole key is kept ---- */
#define CT_SCOPE_READ 1u
#define CT_SCOPE_WRITE 2u
#define CT_SCOPE_ADMIN 4u

struct ct_api_key_row {
	char id[16]; /* the eight characters */
	struct ct_digest secret;
	unsigned scopes;
	char name[64];
	int64_t created_at, revoked_at;
};

int ct_api_key_insert(struct ct_metadata_view *view, const struct ct_api_key_row *row);
int ct_api_key_get(struct ct_metadata_view *view, const char *id, struct ct_api_key_row *ret_row);
/* Oldest first, revoked ones too; count. */
int ct_api_key_list(struct ct_metadata_view *view, struct ct_api_key_row *ret_rows, int capacity);
/* Again is fine: the first time counts. */
int ct_api_key_revoke(struct ct_metadata_view *view, const char *id, int64_t now);
/* Is there any key that is not revoked? */
int ct_api_key_exists(struct ct_metadata_view *view, bool *ret_exists);

#endif
