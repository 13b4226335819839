/*
 * The inside of a session, for session.c, session_open.c, finish.c and expiry.c.
 */
#ifndef CT_UPLOADS_SESSION_PRIV_H
#define CT_UPLOADS_SESSION_PRIV_H

#include "uploads/session.h"
#include "uploads/session_join.h"
#include "uploads/uploads_priv.h"
#include "metadata/uploads.h"

#define CT_SESSION_MAGIC 0x5e551017u
#define CT_SESSION_LEASE_MS 60000
#define CT_SESSION_PART_GRACE_MS \
	(10 * 60 * 1000LL) /* of the parts, once their final one is there */

struct ct_session {
	uint32_t magic;
	struct ct_uploads *uploads;		/* set once */
	char request_id[CT_REQUEST_ID_MAX + 1]; /* set once */
	void (*interrupt)(void *arg);		/* set once */
	void *interrupt_arg;

	/* Whoever owns the session at the moment. */
	struct ct_upload_row row;
	struct ct_blob_writer *writer;
	bool is_named; /* resumable: it has a row while it lasts */
	bool in_database;
	bool broken;	  /* the writer stands at no known place any more */
	bool awaits_end;  /* who has opened it says so */
	bool is_on_trial; /* what was appended since the last save may not be kept yet */
	bool may_adopt;
	uint64_t declared_bytes; /* while it tries to */
	bool goes_on;		 /* after the step that runs now, more may be appended */
	enum ct_session_purpose purpose;
	uint64_t wanted_offset, body_bytes;
	bool has_length; /* the append says `wanted_length` */
	uint64_t wanted_length;

	struct ct_hold hold;
	bool is_held;
	struct ct_join *join; /* owned; of a final one that is being joined */

	/* The step that runs now. */
	ct_session_done_fn done;
	void *arg;
	int result;
	char *event;		 /* JSON of image.created */
	int64_t finish_began_us; /* monotonic */
	struct ct_blob_committed committed;
};

/* Hands the session to the commit pool. */
int ct_session_submit(struct ct_session *session, void (*run)(void *session));
/* The same for the first thing of a step, which ends when it fails. */
int ct_session_submit_step(struct ct_session *session, void (*run)(void *session));
/* The step did not begin; returns `error`. */
int ct_session_cancel_step(struct ct_session *session, int error);
/* The step is over. */
void ct_session_complete(struct ct_session *session, int result);
void ct_session_begin_step(struct ct_session *session, ct_session_done_fn done, void *arg);
int ct_session_update(struct ct_session *session, ct_transaction_done_fn done);
int ct_session_sync(struct ct_session *session);
struct ct_blob_writer_options ct_session_writer_options(const struct ct_session *session);
/* How many bytes it may still take. */
uint64_t ct_session_room(const struct ct_session *session);
/* Of row.id; when it is granted, the row is read and the step goes on. */
void ct_session_prepare_hold(struct ct_session *session);

/* Completes the step with `result` when row and staging are ended. BLOCKING not. */
void ct_session_end_as(struct ct_session *session, enum ct_upload_state state, int result);

/* Looks at `data`, sets row.type, or refuses: CT_ERROR_UNSUPPORTED_TYPE. */
int ct_session_sniff(struct ct_session *session, const void *data, size_t length);
/* The same with what the writer has, if nobody has looked yet; CT_ERROR_EMPTY_BODY. */
int ct_session_sniff_written(struct ct_session *session);

/* Has the whole the digest it must have? Else CT_ERROR_REPR_DIGEST_MISMATCH, told in the row. */
int ct_session_judge_digest(struct ct_session *session);

/* In the pool: begins the staging, then writes the row. */
void ct_session_run_create(void *session);
/*
 * In the pool, instead: an image of a blob that is there already. False: there is none, nothing has
 * happened. If it vanishes in between, ct_session_run_create() follows.
 */
bool ct_session_adopt(struct ct_session *session);

/* The last transaction, of `committed` and the row; finish.c. */
int ct_session_run_image(struct ct_metadata_view *view, void *session);
/* Fills the row in and submits `run`, which ends in ct_session_run_image(). */
int ct_session_submit_image(struct ct_session *session,
    int (*run)(struct ct_metadata_view *view, void *session), ct_transaction_done_fn done);
void ct_session_unfinish(struct ct_session *session, enum ct_upload_state state);
/* It is committed: counts, logs, wakes the jobs. */
void ct_session_note_image(struct ct_session *session);
/*
 * The housekeeper's open: ends one that has expired, finishes one that is complete, and leaves any
 * other as it is. CT_ERROR_UPLOAD_BUSY: a request holds it.
 */
int ct_session_expire(
    struct ct_session *session, const char *id, ct_session_done_fn done, void *arg);

int ct_session_fill_row(struct ct_session *session, const struct ct_session_start *start);
/* At the first touch by this process: takes the lease. BLOCKING. */
int ct_session_claim(struct ct_session *session);
/* Writes, hashes and sniffs what comes next. */
int ct_session_take(struct ct_session *session, const void *data, size_t length);

/* ---- session_join.c ---- */

/* In the pool: a final one that waits; joins it, or completes with 0 if its parts don't let it. */
void ct_session_join_waiting(struct ct_session *session);
/* In the last transaction: the parts of a final upload need not stay for long. */
int ct_session_hasten_parts(struct ct_metadata_view *view, const struct ct_session *session);
void ct_session_free_join(struct ct_session *session);

/* In the pool: takes the step to its end, from any point a crash may have left. */
void ct_session_run_finish(void *session);

#endif
