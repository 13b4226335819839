/*
 * One request's hold of one upload: the state machine. It knows no HTTP.
 *
 *   whole:      begin_whole -> append* -> finish -> end          nothing is left of a broken one
 *   resumable:  create | open -> append* [checkpoint] -> save | finish | cancel -> end
 *
 * A resumable one may begin without a length; an append tells it, once, and it is in the row before
 * the append begins.
 *
 * Rows go receiving -> finishing -> done, or from either to refused, and from receiving to expired
 * or canceled. `finishing` is durable before the bytes are published: whoever opens it next
 * finishes it, so that a crash between blob and row loses nothing (finish.c).
 *
 * Partial uploads (tus, concatenation) stay in `receiving` when they are complete; a final one is
 * made of them, at once or when they are complete (session_join.c), and is never appended to.
 *
 * Threads: a session belongs to one thread at a time. A function with `done` hands it over to the
 * commit pool and the database's thread and returns at once: 0, then `done` comes exactly once,
 * from another thread, perhaps before the return; or an error, and it does not come. `done` must
 * not block; it owns the session again.
 *
 * Errors: those of blob.h and metadata.h, and CT_ERROR_LIMIT_REACHED when a queue is full. After
 * one, only ct_session_row() and ct_session_end() are allowed.
 */
#ifndef CT_UPLOADS_SESSION_H
#define CT_UPLOADS_SESSION_H

#include "metadata/jobs.h"
#include "metadata/metadata.h"
#include "metadata/uploads.h"

#define CT_SESSION_CHECKPOINT_BYTES ((uint64_t)16 << 20) /* at most this is lost in a crash */

struct ct_session;
struct ct_uploads;

typedef void (*ct_session_done_fn)(void *arg, int result);

/* All is copied. */
struct ct_session_start {
	uint64_t length_bytes; /* or CT_BLOB_LENGTH_UNKNOWN */
	uint64_t most_bytes;   /* of an unknown length: no space is taken for more; 0: no bound */
	const char *filename;  /* cleaned */
	const char *metadata;  /* tus, as given; or NULL */
	const char *key_id;
	const struct ct_digest *repr_digest; /* what the whole must have; NULL: it may be any */
	/* Who asks may read blobs: with a repr_digest that a visible blob has, the upload is done
	 * when it is created, without a byte. */
	bool may_adopt;
	bool awaits_end; /* offset == length is not the end */
	enum ct_upload_kind kind;
	const char *concat; /* of a partial or a final one, as given; or NULL */
};

enum ct_session_purpose {
	CT_SESSION_READ,
	CT_SESSION_APPEND,
	CT_SESSION_CANCEL,
	CT_SESSION_EXPIRE /* ct_session_expire()'s own */
};

struct ct_session_open {
	const char *id; /* copied */
	enum ct_session_purpose purpose;
	uint64_t offset;     /* append: must be the upload's */
	uint64_t body_bytes; /* append: must fit; CT_BLOB_LENGTH_UNKNOWN is not checked */
	bool has_length;     /* append: `length_bytes` is the upload's, and becomes it if unknown */
	uint64_t length_bytes;
	bool awaits_end; /* offset == length is not the end, from now on; false: it is */
};

/* `interrupt` (NULL: never) is called while an append is open and another request wants it. */
int ct_session_new(struct ct_uploads *uploads, const char *request_id, void (*interrupt)(void *arg),
    void *interrupt_arg, struct ct_session **ret_session);

/*
 * The last call, from any step in which no `done` is awaited. What was appended to a resumable
 * one and not saved is saved now, in the pool; a whole one that is not finished leaves nothing.
 */
void ct_session_end(struct ct_session *session);

/* The upload as its row says, or will say; borrowed. */
const struct ct_upload_row *ct_session_row(const struct ct_session *session);
/* The job of a finished upload that this session finished; nothing in it is owned. */
void ct_session_job(const struct ct_session *session, struct ct_job_row *ret_row);
uint64_t ct_session_offset(const struct ct_session *session);
/* An append that has reached the length: ct_session_finish() is due. Never of a partial one. */
bool ct_session_is_complete(const struct ct_session *session);
/* Of all bytes that are there; CT_ERROR_NOT_FOUND: not known any more. */
int ct_session_digest(const struct ct_session *session, struct ct_digest *ret_digest);
/* done, refused, expired or canceled */
bool ct_session_is_ended(const struct ct_session *session);

int ct_session_begin_whole(struct ct_session *session, const struct ct_session_start *start);

/* Staging and row are durable when `done` comes. */
int ct_session_create(struct ct_session *session, const struct ct_session_start *start,
    ct_session_done_fn done, void *arg);

/*
 * Waits for the upload's holder, reads the row. 0 also for one that has ended: look at its state.
 * CT_ERROR_NOT_FOUND; CT_ERROR_GONE: expired; CT_ERROR_UPLOAD_BUSY; append:
 * CT_ERROR_OFFSET_CONFLICT, CT_ERROR_TOO_LARGE, CT_ERROR_STAGING_DAMAGED (it is refused then),
 * CT_ERROR_LENGTH_MISMATCH (another length than before, or one below the offset),
 * CT_ERROR_EMPTY_BODY (a length of 0), CT_ERROR_FINAL_UPLOAD,
 * CT_ERROR_PARTIAL_UPLOAD (one that is to be ended by its client).
 */
int ct_session_open(struct ct_session *session, const struct ct_session_open *open,
    ct_session_done_fn done, void *arg);

/*
 * Hashes and writes, in the caller's thread; sniffs once enough is there. CT_ERROR_TOO_LARGE: more
 * than its length, or than is allowed, nothing of `data` is taken. CT_ERROR_UNSUPPORTED_TYPE: the
 * reason is the row's refusal_detail; a resumable one must be refused.
 */
int ct_session_append(struct ct_session *session, const void *data, size_t length_bytes);

/*
 * What is appended from now on is on trial: neither sniffed nor checkpointed nor saved, and lost
 * when the session ends, until it is let go. Nothing may be unsaved before. While bytes are held
 * back only append and end are allowed.
 */
void ct_session_hold_back(struct ct_session *session);
/* They may be kept. CT_ERROR_UNSUPPORTED_TYPE: as ct_session_append(). */
int ct_session_let_go(struct ct_session *session);
/* What was appended since the last save is lost when the session ends, which comes next. */
void ct_session_drop(struct ct_session *session);

/* So much has come since the last checkpoint that one should be taken. */
bool ct_session_wants_checkpoint(const struct ct_session *session);
/* Makes what was appended durable, then the offset; appending may go on. */
int ct_session_checkpoint(struct ct_session *session, ct_session_done_fn done, void *arg);
/* The same, and nothing is appended any more. */
int ct_session_save(struct ct_session *session, ct_session_done_fn done, void *arg);

/*
 * All bytes are there. CT_ERROR_UNSUPPORTED_TYPE as above, CT_ERROR_REPR_DIGEST_MISMATCH; a
 * resumable one is refused already.
 */
int ct_session_finish(struct ct_session *session, ct_session_done_fn done, void *arg);

/* Ends a resumable one: the row first, then its staging. `error` is the refusal. */
int ct_session_refuse(struct ct_session *session, int error, ct_session_done_fn done, void *arg);
/* Also for one that is done: then only the handle goes. */
int ct_session_cancel(struct ct_session *session, ct_session_done_fn done, void *arg);

#endif
