/*
 * Final uploads: partial ones are joined to one file (tus 1.0.0, concatenation).
 *
 * A final one has no staging of its own while it waits for its parts. When all are complete their
 * bytes are read once, in a pool thread, and go through a nameless writer, as those of a whole
 * upload do: hashed, sniffed, published, and then one transaction. Until that one nothing of the
 * parts has changed, so after a crash or a failure all is as before, and whoever asks next begins
 * again. Why the bytes go through this process instead of copy_file_range(): they must be hashed,
 * so they are here anyway, and writing them from here is one copy less. Each part is hashed for
 * itself as well, and compared with what its client sent.
 *
 * While a part is read, its id is held in the registry like by a request; only one at a time, and
 * whoever holds a part never waits for a final one, so nothing can wait in a circle.
 *
 * Parts stay as they are and may be used again, but no longer than CT_SESSION_PART_GRACE_MS: they
 * take the space of the file a second time, and count as open uploads.
 */
#include "uploads/session_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/uploads.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ct_join {
	struct ct_parts parts;
	unsigned next;		   /* the part whose turn it is */
	struct ct_upload_row part; /* its row */
	struct ct_hold hold;	   /* of it */
	bool is_held;
};

/* ---- what the parts are ---- */

static int complain(struct ct_session *session, const char *id, int error, const char *what)
{
	(void)snprintf(session->row.refusal_detail, sizeof(session->row.refusal_detail),
	    "the part /uploads/%s %s", id, what);
	return error;
}

static int read_part(struct ct_session *session, const char *id)
{
	struct ct_metadata *metadata = session->uploads->options.metadata;
	struct ct_metadata_view *view;

	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = ct_upload_get(view, id, &session->join->part);
	ct_metadata_give_back(metadata, view);
	return r;
}

/* Reads its row into join->part. */
static int judge_part(struct ct_session *session, const char *id)
{
	const struct ct_upload_row *part = &session->join->part;

	int r = read_part(session, id);
	if (r == CT_ERROR_NOT_FOUND)
		return complain(session, id, r, "is not there");
	if (r < 0)
		return r;
	if (part->kind != CT_UPLOAD_PARTIAL)
		return complain(session, id, CT_ERROR_INVALID_HEADER, "is no partial upload");
	if (strcmp(part->key_id, session->row.key_id) != 0)
		return complain(session, id, CT_ERROR_FORBIDDEN, "belongs to another key");
	if (part->state != CT_UPLOAD_RECEIVING || part->expires_at <= ct_clock_wall_ms())
		return complain(session, id, CT_ERROR_GONE, "has ended");
	return 0;
}

static bool is_part_complete(const struct ct_upload_row *part)
{
	return part->at.offset == part->length_bytes;
}

static int check_total(struct ct_session *session, uint64_t total)
{
	uint64_t limit = session->uploads->options.max_file_bytes;

	if (total == 0)
		return CT_ERROR_EMPTY_BODY;
	if (total <= limit)
		return 0;
	(void)snprintf(session->row.refusal_detail, sizeof(session->row.refusal_detail),
	    "the parts together have %" PRIu64 " bytes; a file may have at most %" PRIu64, total,
	    limit);
	return CT_ERROR_TOO_LARGE;
}

/* 1: all parts are complete; 0: not yet. Sets the length when it is known. */
static int measure(struct ct_session *session)
{
	struct ct_join *join = session->join;
	uint64_t total = 0;
	bool is_known = true, is_complete = true;

	for (unsigned i = 0; i < join->parts.count; i++) {
		int r = judge_part(session, join->parts.ids[i]);
		if (r < 0)
			return r;
		uint64_t length = join->part.length_bytes;
		is_complete = is_complete && is_part_complete(&join->part);
		is_known = is_known && length != CT_BLOB_LENGTH_UNKNOWN;
		/* Saturated: each is at most INT64_MAX. */
		if (is_known)
			total = total > INT64_MAX ? total : total + length;
	}
	if (!is_known)
		return 0;
	session->row.length_bytes = total;
	int r = check_total(session, total);
	return r < 0 ? r : is_complete;
}

/* ---- joining; in the pool, but where a part's holder lets go ---- */

static bool is_final_error(int error)
{
	switch (error) {
	case CT_ERROR_NOT_FOUND:
	case CT_ERROR_GONE:
	case CT_ERROR_FORBIDDEN:
	case CT_ERROR_INVALID_HEADER:
	case CT_ERROR_TOO_LARGE:
	case CT_ERROR_EMPTY_BODY:
	case CT_ERROR_STAGING_DAMAGED:
	case CT_ERROR_UNSUPPORTED_TYPE: return true;
	default: return false;
	}
}

static void release_part(struct ct_session *session)
{
	struct ct_join *join = session->join;

	if (join->is_held)
		ct_registry_release(&session->uploads->registry, &join->hold);
	join->is_held = false;
}

/* One that waits is refused for good when its parts can't be joined any more. */
static void fail(struct ct_session *session, int error)
{
	release_part(session);
	if (session->in_database && is_final_error(error)) {
		session->row.refusal = error == CT_ERROR_NOT_FOUND ? CT_ERROR_GONE : error;
		ct_session_end_as(session, CT_UPLOAD_REFUSED, session->row.refusal);
	} else {
		ct_session_complete(session, error);
	}
}

static int take(const void *data, size_t length, void *arg)
{
	return ct_session_take(arg, data, length);
}

static int run_refuse_part(struct ct_metadata_view *view, void *arg)
{
	return ct_upload_update(view, arg);
}

/* Or its client would go on to believe in it. While it is held, nobody else changes its row. */
static void refuse_damaged_part(struct ct_session *session)
{
	const struct ct_uploads_options *options = &session->uploads->options;
	struct ct_upload_row *part = &session->join->part;

	part->state = CT_UPLOAD_REFUSED;
	part->refusal = CT_ERROR_STAGING_DAMAGED;
	part->updated_at = ct_clock_wall_ms();
	(void)snprintf(part->refusal_detail, sizeof(part->refusal_detail), "%s",
	    ct_error_text(CT_ERROR_STAGING_DAMAGED));
	int r = ct_metadata_write(options->metadata, run_refuse_part, part);
	if (r == 0) {
		ct_metrics_add(CT_METRIC_UPLOADS_REFUSED, 1);
		/* A file that stays is swept later. */
		(void)ct_blob_staging_remove(options->store, part->id);
	}
	ct_log(CT_LOG_WARNING, "upload.damaged", CT_LOG_TEXT("request", session->request_id),
	    CT_LOG_TEXT("id", part->id), CT_LOG_CODE(r));
}

static int append_part(struct ct_session *session)
{
	struct ct_join *join = session->join;
	const char *id = join->parts.ids[join->next];

	int r = judge_part(session, id);
	if (r < 0)
		return r;
	if (!is_part_complete(&join->part))
		return complain(session, id, CT_ERROR_GONE, "is not complete any more");
	r = ct_blob_staged_read(session->uploads->options.store, id, &join->part.at, take, session);
	if (r != CT_ERROR_STAGING_DAMAGED)
		return r;
	refuse_damaged_part(session);
	return complain(session, id, r, "is damaged; send it again as another one");
}

static void part_granted(void *arg, int result);

/* 1: held; 0: part_granted() comes. */
static int acquire_part(struct ct_session *session)
{
	struct ct_join *join = session->join;

	join->hold = (struct ct_hold){ .granted = part_granted, .arg = session };
	memcpy(join->hold.id, join->parts.ids[join->next], sizeof(join->hold.id));
	int r = ct_registry_acquire(&session->uploads->registry, &join->hold);
	return r;
}

static void run_parts(void *arg)
{
	struct ct_session *session = arg;
	struct ct_join *join = session->join;

	while (join->next < join->parts.count) {
		int r = join->is_held ? 1 : acquire_part(session);
		if (r == 0)
			return;
		if (r == 1) {
			join->is_held = true;
			r = append_part(session);
		}
		if (r < 0) {
			fail(session, r);
			return;
		}
		release_part(session);
		join->next++;
	}
	ct_session_run_finish(session);
}

static void part_granted(void *arg, int result)
{
	struct ct_session *session = arg;

	session->join->is_held = result == 0;
	if (result == 0)
		result = ct_session_submit(session, run_parts);
	if (result < 0)
		fail(session, result);
}

static void begin_joining(struct ct_session *session)
{
	struct ct_blob_writer_options options = ct_session_writer_options(session);

	int r = ct_blob_writer_begin(session->uploads->options.store, &options, &session->writer);
	if (r < 0)
		fail(session, r);
	else
		run_parts(session);
}

static int prepare(struct ct_session *session, const struct ct_parts *parts)
{
	CT_ASSERT(session->join == NULL && parts->kind == CT_UPLOAD_FINAL);
	session->join = calloc(1, sizeof(*session->join));
	if (session->join == NULL)
		return -ENOMEM;
	session->join->parts = *parts;
	return 0;
}

void ct_session_free_join(struct ct_session *session)
{
	CT_ASSERT(session->join == NULL || !session->join->is_held);
	free(session->join);
}

/* ---- one that waits ---- */

void ct_session_join_waiting(struct ct_session *session)
{
	struct ct_parts parts;

	/* It was parsed before it was stored. */
	int r = ct_parts_parse(ct_slice_from_string(session->row.concat), &parts) < 0
		    ? CT_ERROR_INTERNAL
		    : prepare(session, &parts);
	if (r < 0) {
		ct_session_complete(session, r);
		return;
	}
	int ready = measure(session);
	r = ready != 0 ? ct_session_claim(session) : 0;
	if (r < 0 || ready == 0)
		ct_session_complete(session, r);
	else if (ready < 0)
		fail(session, ready);
	else
		begin_joining(session);
}

/* ---- a new one ---- */

static int run_insert(struct ct_metadata_view *view, void *arg)
{
	struct ct_session *session = arg;

	return ct_upload_insert(view, &session->row);
}

static void inserted(void *arg, int result)
{
	struct ct_session *session = arg;

	session->in_database = result == 0;
	if (result == 0)
		ct_log(CT_LOG_INFO, "upload.waits_for_parts",
		    CT_LOG_TEXT("request", session->request_id), CT_LOG_TEXT("id", session->row.id),
		    CT_LOG_NUMBER("parts", session->join->parts.count));
	ct_session_complete(session, result);
}

static void run_new(void *arg)
{
	struct ct_session *session = arg;

	int r = measure(session);
	if (r == 1) {
		begin_joining(session);
		return;
	}
	if (r == 0 && ct_uploads_is_full(session->uploads))
		r = CT_ERROR_TOO_MANY_UPLOADS;
	if (r == 0)
		r = ct_metadata_submit(
		    session->uploads->options.metadata, run_insert, inserted, session);
	if (r < 0)
		ct_session_complete(session, r);
}

int ct_session_join(struct ct_session *session, const struct ct_session_start *start,
    const struct ct_parts *parts, ct_session_done_fn done, void *arg)
{
	CT_ASSERT(start->kind == CT_UPLOAD_FINAL);
	session->is_named = true;
	int r = ct_session_fill_row(session, start);
	if (r == 0)
		r = prepare(session, parts);
	if (r < 0)
		return r;
	ct_session_prepare_hold(session);
	r = ct_registry_acquire(&session->uploads->registry, &session->hold);
	if (r < 0)
		return r;
	CT_ASSERT(r == 1); /* nobody can know an id that was just made */
	session->is_held = true;
	ct_session_begin_step(session, done, arg);
	return ct_session_submit_step(session, run_new);
}

/* ---- afterwards, in the transaction that makes it true ---- */

int ct_session_hasten_parts(struct ct_metadata_view *view, const struct ct_session *session)
{
	const struct ct_parts *parts = &session->join->parts;
	int64_t end = session->row.updated_at + CT_SESSION_PART_GRACE_MS;

	for (unsigned i = 0; i < parts->count; i++) {
		int r = ct_upload_hasten(view, parts->ids[i], end);
		if (r < 0)
			return r;
	}
	return 0;
}
