/*
 * How a session gets an upload that is there already: it waits for the holder, reads the row, takes
 * the lease at the first touch by this process, and resumes, finishes or ends what it finds.
 */
#include "uploads/session_priv.h"

#include "base/assert.h"
#include "base/clock.h"
#include "calotype/error.h"
#include "metadata/uploads.h"

#include <stdio.h>
#include <string.h>

static int read_row(struct ct_session *session)
{
	struct ct_metadata *metadata = session->uploads->options.metadata;
	struct ct_metadata_view *view;

	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = ct_upload_get(view, session->hold.id, &session->row);
	ct_metadata_give_back(metadata, view);
	session->in_database = r == 0;
	return r;
}

static int run_claim(struct ct_metadata_view *view, void *arg)
{
	struct ct_session *session = arg;

	return ct_upload_claim(view, session->row.id, session->uploads->instance,
	    ct_clock_wall_ms() + CT_SESSION_LEASE_MS, &session->row.epoch);
}

/* At the first touch by this process. One process has the staging: what is claimed may be taken. */
int ct_session_claim(struct ct_session *session)
{
	if (strcmp(session->row.owner, session->uploads->instance) == 0)
		return 0;
	int r = ct_metadata_write(session->uploads->options.metadata, run_claim, session);
	if (r == 0)
		(void)snprintf(session->row.owner, sizeof(session->row.owner), "%s",
		    session->uploads->instance);
	return r;
}

static int resume(struct ct_session *session)
{
	struct ct_blob_writer_options options = ct_session_writer_options(session);

	return ct_blob_writer_resume(
	    session->uploads->options.store, &options, &session->row.at, &session->writer);
}

bool ct_session_is_ended(const struct ct_session *session)
{
	return session->row.state != CT_UPLOAD_RECEIVING &&
	       session->row.state != CT_UPLOAD_FINISHING;
}

static bool tells_length(const struct ct_session *session)
{
	return session->has_length && session->row.length_bytes == CT_BLOB_LENGTH_UNKNOWN;
}

static int judge_length(const struct ct_session *session)
{
	const struct ct_upload_row *row = &session->row;

	if (!session->has_length || session->wanted_length == row->length_bytes)
		return 0;
	if (!tells_length(session) || session->wanted_length < row->at.offset)
		return CT_ERROR_LENGTH_MISMATCH;
	if (session->wanted_length == 0 && session->row.kind == CT_UPLOAD_PLAIN)
		return CT_ERROR_EMPTY_BODY;
	return session->wanted_length > session->uploads->options.max_file_bytes
		   ? CT_ERROR_TOO_LARGE
		   : 0;
}

static int judge_append(const struct ct_session *session)
{
	uint64_t room = ct_session_room(session);

	if (session->row.kind == CT_UPLOAD_PARTIAL && session->awaits_end)
		return CT_ERROR_PARTIAL_UPLOAD;
	if (session->wanted_offset != session->row.at.offset)
		return CT_ERROR_OFFSET_CONFLICT;
	int r = judge_length(session);
	if (r < 0)
		return r;
	if (tells_length(session))
		room = session->wanted_length - session->row.at.offset;
	if (session->body_bytes != CT_BLOB_LENGTH_UNKNOWN && session->body_bytes > room)
		return CT_ERROR_TOO_LARGE;
	return 0;
}

static void refuse_damaged(struct ct_session *session)
{
	session->row.refusal = CT_ERROR_STAGING_DAMAGED;
	(void)snprintf(session->row.refusal_detail, sizeof(session->row.refusal_detail), "%s",
	    ct_error_text(CT_ERROR_STAGING_DAMAGED));
	ct_session_end_as(session, CT_UPLOAD_REFUSED, CT_ERROR_STAGING_DAMAGED);
}

/* All bytes are durable, but a crash or a failure came before the image: done now, whoever asks. */
static void finish_now(struct ct_session *session)
{
	int r = ct_session_claim(session);

	if (r == 0)
		r = resume(session);
	if (r == 0)
		ct_session_run_finish(session);
	else if (r == CT_ERROR_STAGING_DAMAGED)
		refuse_damaged(session);
	else
		ct_session_complete(session, r);
}

static void run_resume(void *arg)
{
	struct ct_session *session = arg;

	int r = resume(session);
	if (r == CT_ERROR_STAGING_DAMAGED) {
		refuse_damaged(session);
	} else {
		session->goes_on = true;
		ct_session_complete(session, r);
	}
}

static void length_recorded(void *arg, int result)
{
	struct ct_session *session = arg;

	if (result == 0)
		result = ct_session_submit(session, run_resume);
	if (result < 0)
		ct_session_complete(session, result);
}

/* Before a byte is taken: an append that breaks off must not leave the length open again. */
static int record_length(struct ct_session *session)
{
	session->row.length_bytes = session->wanted_length;
	return ct_session_update(session, length_recorded);
}

static void open_append(struct ct_session *session)
{
	int r = judge_append(session);

	session->row.awaits_end = session->awaits_end; /* in the row with the next change */

	if (r == 0)
		r = ct_session_claim(session);
	if (r == 0 && tells_length(session))
		r = record_length(session);
	else if (r == 0)
		run_resume(session);
	if (r < 0)
		ct_session_complete(session, r);
}

static void open_expire(struct ct_session *session, bool is_expired)
{
	int r = is_expired ? ct_session_claim(session) : 0;

	if (is_expired && r == 0)
		ct_session_end_as(session, CT_UPLOAD_EXPIRED, 0);
	else
		ct_session_complete(session, r);
}

static void open_receiving(struct ct_session *session)
{
	bool is_expired = session->row.expires_at <= ct_clock_wall_ms();

	if (session->purpose == CT_SESSION_EXPIRE)
		open_expire(session, is_expired);
	else if (is_expired)
		ct_session_complete(session, CT_ERROR_GONE);
	else if (session->purpose == CT_SESSION_APPEND)
		open_append(session);
	else
		ct_session_complete(
		    session, session->purpose == CT_SESSION_CANCEL ? ct_session_claim(session) : 0);
}

static void open_final(struct ct_session *session)
{
	bool is_expired = session->row.expires_at <= ct_clock_wall_ms();

	if (is_expired || session->purpose == CT_SESSION_CANCEL)
		open_receiving(session);
	else
		ct_session_join_waiting(session);
}

/* The part of the protocol that says 403 means one that is there. */
static bool is_append_to_final(const struct ct_session *session)
{
	const struct ct_upload_row *row = &session->row;

	return row->kind == CT_UPLOAD_FINAL && session->purpose == CT_SESSION_APPEND &&
	       (!ct_session_is_ended(session) || row->state == CT_UPLOAD_DONE);
}

static void run_open(void *arg)
{
	struct ct_session *session = arg;
	const struct ct_upload_row *row = &session->row;

	int r = read_row(session);
	if (r == 0 && is_append_to_final(session))
		r = CT_ERROR_FINAL_UPLOAD;
	if (r < 0 || ct_session_is_ended(session))
		ct_session_complete(session, r);
	else if (row->state == CT_UPLOAD_FINISHING ||
		 (row->kind == CT_UPLOAD_PLAIN && row->at.offset == row->length_bytes &&
		     !(row->awaits_end && session->awaits_end)))
		finish_now(session);
	else if (row->kind == CT_UPLOAD_FINAL)
		open_final(session);
	else
		open_receiving(session);
}

static void granted(void *arg, int result)
{
	struct ct_session *session = arg;

	session->is_held = result == 0;
	if (result == 0)
		result = ct_session_submit(session, run_open);
	if (result < 0)
		ct_session_complete(session, result);
}

static void interrupted(void *arg)
{
	struct ct_session *session = arg;

	if (session->interrupt != NULL)
		session->interrupt(session->interrupt_arg);
}

void ct_session_prepare_hold(struct ct_session *session)
{
	struct ct_hold *hold = &session->hold;

	memcpy(hold->id, session->row.id, sizeof(hold->id));
	hold->interrupt = interrupted;
	hold->granted = granted;
	hold->arg = session;
}

static int acquire(struct ct_session *session)
{
	ct_session_prepare_hold(session);
	return ct_registry_acquire(&session->uploads->registry, &session->hold);
}

int ct_session_open(struct ct_session *session, const struct ct_session_open *open,
    ct_session_done_fn done, void *arg)
{
	if (!ct_id_is_valid(ct_slice_from_string(open->id)))
		return CT_ERROR_NOT_FOUND;
	session->is_named = true;
	session->purpose = open->purpose;
	session->wanted_offset = open->offset;
	session->body_bytes = open->body_bytes;
	session->awaits_end = open->awaits_end;
	session->has_length = open->has_length;
	session->wanted_length = open->length_bytes;
	memcpy(session->row.id, open->id, sizeof(session->row.id));
	session->in_database = true; /* until its row is read: nothing of it may be discarded */
	ct_session_begin_step(session, done, arg);
	int r = acquire(session);
	if (r < 0)
		return ct_session_cancel_step(session, r);
	if (r == 0)
		return 0;
	session->is_held = true;
	return ct_session_submit_step(session, run_open);
}

int ct_session_expire(
    struct ct_session *session, const char *id, ct_session_done_fn done, void *arg)
{
	session->is_named = session->in_database = true;
	session->purpose = CT_SESSION_EXPIRE;
	session->awaits_end = true; /* it ends nothing that its client may still end */
	(void)snprintf(session->row.id, sizeof(session->row.id), "%s", id);
	ct_session_prepare_hold(session);
	int r = ct_registry_try(&session->uploads->registry, &session->hold);
	if (r < 0)
		return r;
	session->is_held = true;
	ct_session_begin_step(session, done, arg);
	return ct_session_submit_step(session, run_open);
}
