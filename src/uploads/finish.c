/*
 * The last step of every upload, in this order (a crash after any line loses nothing):
 *   1. resumable: bytes durable, then the row in `finishing` at offset == length
 *   2. the blob published under its digest: bytes and name durable
 *   3. one transaction: blob, image, job, event, and the upload's row done
 *   4. the answer
 * After a crash or a failure between 1 and 3 the row is still `finishing`; the next open, or the
 * housekeeper, comes here again. Publishing the same bytes twice gives the same blob, and a staging
 * file that was already renamed away is found by its digest, which the saved hash state tells
 * (storage/writer.c).
 */
#include "uploads/session_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "calotype/error.h"
#include "imaging/process.h"
#include "jobs/jobs.h"
#include "metrics/metrics.h"
#include "metadata/blobs.h"
#include "metadata/events.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CT_DEFINE_CLEANUP(free_json, struct ct_json *, ct_json_free)

void ct_session_job(const struct ct_session *session, struct ct_job_row *ret_row)
{
	const struct ct_upload_row *row = &session->row;

	*ret_row = (struct ct_job_row){
		.kind = CT_PROCESS_IMAGE,
		.state = CT_JOB_QUEUED,
		.max_attempts = CT_JOB_MAX_ATTEMPTS,
		.version = 1,
		.run_at = row->updated_at,
		.created_at = row->updated_at,
	};
	memcpy(ret_row->id, row->job_id, sizeof(ret_row->id));
	memcpy(ret_row->upload_id, row->id, sizeof(ret_row->upload_id));
	memcpy(ret_row->image_id, row->image_id, sizeof(ret_row->image_id));
	memcpy(ret_row->request_id, session->request_id, sizeof(ret_row->request_id));
}

/* ---- the transaction ---- */

static int write_blob(struct ct_metadata_view *view, const struct ct_session *session)
{
	struct ct_blob_row blob = {
		.digest = session->committed.digest,
		.size_bytes = session->committed.size_bytes,
		.created_at = session->row.updated_at,
		.last_ref_at = session->row.updated_at,
	};

	memcpy(blob.type, session->row.type, sizeof(blob.type));
	return ct_blob_reference(view, &blob);
}

static int write_image(struct ct_metadata_view *view, const struct ct_session *session)
{
	const struct ct_upload_row *row = &session->row;
	struct ct_image_row image = {
		.state = CT_IMAGE_PENDING,
		.digest = session->committed.digest,
		.size_bytes = session->committed.size_bytes,
		.created_at = row->updated_at,
	};

	memcpy(image.id, row->image_id, sizeof(image.id));
	memcpy(image.job_id, row->job_id, sizeof(image.job_id));
	memcpy(image.type, row->type, sizeof(image.type));
	memcpy(image.filename, row->filename, sizeof(image.filename));
	memcpy(image.key_id, row->key_id, sizeof(image.key_id));
	return ct_image_insert(view, &image);
}

int ct_session_run_image(struct ct_metadata_view *view, void *arg)
{
	struct ct_session *session = arg;
	struct ct_job_row job;

	int r = write_blob(view, session);
	if (r < 0)
		return r;
	r = write_image(view, session);
	if (r < 0)
		return r;
	ct_session_job(session, &job);
	r = ct_job_insert(view, &job);
	if (r < 0)
		return r;
	r = ct_event_append(
	    view, "image.created", session->row.image_id, session->event, session->row.updated_at);
	if (r < 0)
		return r;
	if (session->row.kind == CT_UPLOAD_FINAL) {
		r = ct_session_hasten_parts(view, session);
		if (r < 0)
			return r;
	}
	return session->in_database ? ct_upload_update(view, &session->row)
				    : ct_upload_insert(view, &session->row);
}

void ct_session_note_image(struct ct_session *session)
{
	const struct ct_upload_row *row = &session->row;

	ct_metrics_add(CT_METRIC_UPLOADS_DONE, 1);
	ct_metrics_add(CT_METRIC_UPLOADS_DUPLICATE, session->committed.was_present);
	if (session->uploads->options.jobs != NULL)
		ct_jobs_wake(session->uploads->options.jobs);
	ct_log(CT_LOG_INFO, "upload.finished", CT_LOG_TEXT("request", session->request_id),
	    CT_LOG_TEXT("id", row->id), CT_LOG_NUMBER("size", row->length_bytes),
	    CT_LOG_TEXT("type", row->type), CT_LOG_TEXT("image", row->image_id),
	    CT_LOG_TEXT("job", row->job_id));
}

void ct_session_unfinish(struct ct_session *session, enum ct_upload_state state)
{
	session->row.state = state;
	session->row.image_id[0] = session->row.job_id[0] = '\0';
}

static void committed(void *arg, int result)
{
	struct ct_session *session = arg;

	/* Until now the writer has kept the blob from being swept: its row is there, or will be. */
	ct_blob_writer_close(ct_steal(session->writer));
	if (result < 0) {
		ct_session_unfinish(session, CT_UPLOAD_FINISHING);
	} else {
		ct_metrics_observe_us(CT_METRIC_UPLOAD_COMMIT_TIME,
		    ct_clock_monotonic_us() - session->finish_began_us);
		ct_session_note_image(session);
	}
	ct_session_complete(session, result);
}

static char *describe(const struct ct_session *session)
{
	const struct ct_upload_row *row = &session->row;
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_cleanup(free_json) struct ct_json *event = ct_json_object();

	ct_digest_to_hex(&session->committed.digest, hex);
	ct_json_set_text(event, "image", row->image_id);
	ct_json_set_text(event, "job", row->job_id);
	ct_json_set_text(event, "upload", row->id);
	ct_json_set_text(event, "sha256", hex);
	ct_json_set_number(event, "size", (int64_t)session->committed.size_bytes);
	ct_json_set_text(event, "type", row->type);
	return ct_json_to_text(event);
}

int ct_session_submit_image(struct ct_session *session,
    int (*run)(struct ct_metadata_view *view, void *session), ct_transaction_done_fn done)
{
	struct ct_upload_row *row = &session->row;

	int r = ct_id_generate(row->image_id);
	if (r == 0)
		r = ct_id_generate(row->job_id);
	if (r < 0)
		return r;
	row->state = CT_UPLOAD_DONE;
	row->length_bytes = row->at.offset = session->committed.size_bytes;
	row->updated_at = ct_clock_wall_ms();
	free(session->event);
	session->event = describe(session);
	if (session->event == NULL)
		return -ENOMEM;
	return ct_metadata_submit(session->uploads->options.metadata, run, done, session);
}

/* ---- the steps; a final upload takes them like a whole one, as its parts are still there ---- */

static void run_publish(void *arg)
{
	struct ct_session *session = arg;

	int r = ct_blob_writer_commit(session->writer, &session->committed);
	if (r == 0)
		r = ct_session_submit_image(session, ct_session_run_image, committed);
	if (r < 0) {
		ct_session_unfinish(session, CT_UPLOAD_FINISHING);
		ct_session_complete(session, r);
	}
}

static void end_is_durable(void *arg, int result)
{
	struct ct_session *session = arg;

	if (result == 0)
		result = ct_session_submit(session, run_publish);
	if (result < 0)
		ct_session_complete(session, result);
}

static int record_end(struct ct_session *session)
{
	int r = ct_session_sync(session);

	session->row.state = CT_UPLOAD_FINISHING;
	return r < 0 ? r : ct_session_update(session, end_is_durable);
}

void ct_session_run_finish(void *arg)
{
	struct ct_session *session = arg;
	const struct ct_upload_row *row = &session->row;

	session->finish_began_us = ct_clock_monotonic_us();
	/* Of unknown length, or complete since before a crash: nobody may have looked yet. */
	int r = row->state == CT_UPLOAD_FINISHING ? 0 : ct_session_sniff_written(session);
	if (r == 0 && row->state != CT_UPLOAD_FINISHING)
		r = ct_session_judge_digest(session);
	if (session->is_named && session->in_database &&
	    (r == CT_ERROR_UNSUPPORTED_TYPE || r == CT_ERROR_REPR_DIGEST_MISMATCH)) {
		ct_session_end_as(session, CT_UPLOAD_REFUSED, r);
	} else if (r < 0) {
		ct_session_complete(session, r);
	} else if (session->is_named && row->kind != CT_UPLOAD_FINAL &&
		   row->state != CT_UPLOAD_FINISHING) {
		r = record_end(session);
		if (r < 0)
			ct_session_complete(session, r);
	} else {
		run_publish(session);
	}
}

int ct_session_finish(struct ct_session *session, ct_session_done_fn done, void *arg)
{
	CT_ASSERT(session->writer != NULL && !session->broken && !session->is_on_trial);
	/* Its end was told before its length. */
	if (session->is_named && session->row.length_bytes == CT_BLOB_LENGTH_UNKNOWN)
		session->row.length_bytes = ct_session_offset(session);
	CT_ASSERT(!session->is_named || ct_session_offset(session) == session->row.length_bytes);
	ct_session_begin_step(session, done, arg);
	int r = ct_session_submit(session, ct_session_run_finish);
	if (r < 0)
		session->done = NULL;
	return r;
}
