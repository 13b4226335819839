/*
 * The state machine of an upload. Each step runs: HTTP thread -> commit pool (disk) -> the
 * database's thread (commit) -> `done`; the session is handed along and never shared. The registry
 * gives one session at a time the upload; the epoch of the lease fences off what an earlier process
 * may still write.
 */
#include "uploads/session_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "calotype/blob_upkeep.h"
#include "calotype/blob_writeout.h"
#include "calotype/error.h"
#include "metrics/metrics.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ct_session_new(struct ct_uploads *uploads, const char *request_id, void (*interrupt)(void *arg),
    void *interrupt_arg, struct ct_session **ret_session)
{
	struct ct_session *session = calloc(1, sizeof(*session));

	if (session == NULL)
		return -ENOMEM;
	session->magic = CT_SESSION_MAGIC;
	session->uploads = uploads;
	session->interrupt = interrupt;
	session->interrupt_arg = interrupt_arg;
	/* An id that is too long is only cut in the log. */
	(void)snprintf(session->request_id, sizeof(session->request_id), "%s", request_id);
	ct_registry_enter(&uploads->registry);
	*ret_session = session;
	return 0;
}

const struct ct_upload_row *ct_session_row(const struct ct_session *session)
{
	return &session->row;
}

uint64_t ct_session_offset(const struct ct_session *session)
{
	return session->writer != NULL ? ct_blob_writer_offset(session->writer)
				       : session->row.at.offset;
}

bool ct_session_is_complete(const struct ct_session *session)
{
	return session->row.state == CT_UPLOAD_RECEIVING && session->writer != NULL &&
	       !session->row.awaits_end && session->row.kind != CT_UPLOAD_PARTIAL &&
	       ct_session_offset(session) == session->row.length_bytes;
}

uint64_t ct_session_room(const struct ct_session *session)
{
	uint64_t offset = ct_session_offset(session);
	uint64_t limit = session->row.length_bytes;

	if (limit == CT_BLOB_LENGTH_UNKNOWN)
		limit = session->uploads->options.max_file_bytes;
	/* The limit may have been lowered since it was begun. */
	return limit > offset ? limit - offset : 0;
}

/* ---- steps ---- */

int ct_session_submit(struct ct_session *session, void (*run)(void *session))
{
	return ct_thread_pool_submit(session->uploads->options.commit_pool, run, session);
}

void ct_session_begin_step(struct ct_session *session, ct_session_done_fn done, void *arg)
{
	CT_ASSERT_MAGIC(session, CT_SESSION_MAGIC);
	CT_ASSERT(session->done == NULL && done != NULL);
	session->done = done;
	session->arg = arg;
	session->goes_on = false;
	if (session->is_held)
		ct_registry_set_interruptible(&session->uploads->registry, &session->hold, false);
}

int ct_session_cancel_step(struct ct_session *session, int error)
{
	session->done = NULL;
	return error;
}

int ct_session_submit_step(struct ct_session *session, void (*run)(void *session))
{
	int r = ct_session_submit(session, run);

	return r < 0 ? ct_session_cancel_step(session, r) : 0;
}

void ct_session_complete(struct ct_session *session, int result)
{
	CT_ASSERT_MAGIC(session, CT_SESSION_MAGIC);
	CT_ASSERT(session->done != NULL);
	ct_session_done_fn done = session->done;

	session->done = NULL;
	if (result < 0)
		session->broken = true;
	else if (session->goes_on && session->is_held)
		ct_registry_set_interruptible(&session->uploads->registry, &session->hold, true);
	done(session->arg, result);
}

static int run_update(struct ct_metadata_view *view, void *arg)
{
	struct ct_session *session = arg;

	return ct_upload_update(view, &session->row);
}

int ct_session_update(struct ct_session *session, ct_transaction_done_fn done)
{
	session->row.updated_at = ct_clock_wall_ms();
	return ct_metadata_submit(session->uploads->options.metadata, run_update, done, session);
}

int ct_session_sync(struct ct_session *session)
{
	int r = ct_blob_writer_sync(session->writer, &session->row.at);

	if (r == 0)
		session->row.expires_at = ct_clock_wall_ms() + session->uploads->options.expiry_ms;
	return r;
}

/* ---- the end ---- */

static void destroy(void *arg)
{
	struct ct_session *session = arg;
	struct ct_registry *registry = &session->uploads->registry;

	/* The staging file is closed before another request may open it. */
	if (session->is_named && !session->in_database)
		ct_blob_writer_discard(session->writer);
	else
		ct_blob_writer_close(session->writer);
	if (session->is_held)
		ct_registry_release(registry, &session->hold);
	ct_session_free_join(session);
	free(session->event);
	session->magic = 0;
	free(session);
	ct_registry_leave(registry);
}

/* Closing touches the disk, so it is the pool's if the pool has room. */
static void destroy_elsewhere(struct ct_session *session)
{
	if (session->writer == NULL || ct_session_submit(session, destroy) < 0)
		destroy(session);
}

static void saved_at_end(void *arg, int result)
{
	struct ct_session *session = arg;

	ct_metrics_add(CT_METRIC_UPLOADS_BROKEN, 1);
	ct_log(result < 0 ? CT_LOG_WARNING : CT_LOG_INFO, "upload.broken",
	    CT_LOG_TEXT("request", session->request_id), CT_LOG_TEXT("id", session->row.id),
	    CT_LOG_NUMBER("offset", session->row.at.offset),
	    CT_LOG_TEXT("state", ct_upload_state_name(session->row.state)), CT_LOG_CODE(result));
	destroy_elsewhere(session);
}

static void run_checkpoint(void *arg);

static void run_end(void *arg)
{
	struct ct_session *session = arg;

	ct_session_begin_step(session, saved_at_end, session);
	if (ct_session_is_complete(session))
		ct_session_run_finish(session);
	else
		run_checkpoint(session);
}

static bool has_unsaved_bytes(const struct ct_session *session)
{
	return session->is_named && session->in_database && !session->broken &&
	       !session->is_on_trial && session->writer != NULL &&
	       session->row.state == CT_UPLOAD_RECEIVING &&
	       ct_blob_writer_offset(session->writer) > session->row.at.offset;
}

void ct_session_end(struct ct_session *session)
{
	if (session == NULL)
		return;
	CT_ASSERT_MAGIC(session, CT_SESSION_MAGIC);
	CT_ASSERT(session->done == NULL);
	if (session->is_held)
		ct_registry_set_interruptible(&session->uploads->registry, &session->hold, false);
	if (!has_unsaved_bytes(session) || ct_session_submit(session, run_end) < 0)
		destroy_elsewhere(session);
}

/* ---- beginning ---- */

int ct_session_fill_row(struct ct_session *session, const struct ct_session_start *start)
{
	struct ct_upload_row *row = &session->row;
	int64_t now = ct_clock_wall_ms();

	row->state = CT_UPLOAD_RECEIVING;
	row->kind = start->kind;
	row->length_bytes = start->length_bytes;
	row->created_at = row->updated_at = now;
	row->expires_at = now + session->uploads->options.expiry_ms;
	row->lease_until = now + CT_SESSION_LEASE_MS;
	row->epoch = 1;
	row->awaits_end = start->awaits_end;
	row->has_repr_digest = start->repr_digest != NULL;
	if (row->has_repr_digest)
		row->repr_digest = *start->repr_digest;
	session->may_adopt = start->may_adopt && row->has_repr_digest;
	const struct {
		const char *from;
		char *to;
		size_t capacity;
	} texts[] = {
		{ start->filename, row->filename, sizeof(row->filename) },
		{ start->metadata, row->metadata, sizeof(row->metadata) },
		{ start->concat, row->concat, sizeof(row->concat) },
		{ start->key_id, row->key_id, sizeof(row->key_id) },
		{ session->uploads->instance, row->owner, sizeof(row->owner) },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].from == NULL)
			continue;
		int r = ct_slice_copy(
		    ct_slice_from_string(texts[i].from), texts[i].to, texts[i].capacity);
		if (r < 0)
			return r;
	}
	return ct_id_generate(row->id);
}

/* A final upload's bytes are those of its parts until it is done. */
static bool has_staging_name(const struct ct_session *session)
{
	return session->is_named && session->row.kind != CT_UPLOAD_FINAL;
}

struct ct_blob_writer_options ct_session_writer_options(const struct ct_session *session)
{
	return (struct ct_blob_writer_options){
		.class = CT_BLOB_ORIGINAL,
		.staging_id = has_staging_name(session) ? session->row.id : NULL,
		.declared_bytes = session->row.length_bytes,
		.most_bytes = session->uploads->options.max_file_bytes,
	};
}

int ct_session_begin_whole(struct ct_session *session, const struct ct_session_start *start)
{
	int r = ct_session_fill_row(session, start);
	if (r < 0)
		return r;
	struct ct_blob_writer_options options = ct_session_writer_options(session);
	if (start->most_bytes > 0 && start->most_bytes < options.most_bytes)
		options.most_bytes = start->most_bytes;
	return ct_blob_writer_begin(session->uploads->options.store, &options, &session->writer);
}

static int run_insert(struct ct_metadata_view *view, void *arg)
{
	struct ct_session *session = arg;

	return ct_upload_insert(view, &session->row);
}

static void created(struct ct_session *session, int result)
{
	atomic_fetch_sub(&session->uploads->creating, 1);
	if (result == 0)
		ct_log(CT_LOG_INFO, "upload.created", CT_LOG_TEXT("request", session->request_id),
		    CT_LOG_TEXT("id", session->row.id),
		    CT_LOG_NUMBER("size", session->row.length_bytes));
	ct_session_complete(session, result);
}

static void inserted(void *arg, int result)
{
	struct ct_session *session = arg;

	session->in_database = result == 0;
	session->goes_on = true;
	created(session, result);
}

void ct_session_run_create(void *arg)
{
	struct ct_session *session = arg;
	const struct ct_uploads_options *options = &session->uploads->options;
	struct ct_blob_writer_options writing = ct_session_writer_options(session);

	if (session->may_adopt && ct_session_adopt(session))
		return;
	int r = ct_blob_writer_begin(options->store, &writing, &session->writer);
	if (r == 0)
		r = ct_metadata_submit(options->metadata, run_insert, inserted, session);
	if (r < 0)
		created(session, r);
}

int ct_session_create(struct ct_session *session, const struct ct_session_start *start,
    ct_session_done_fn done, void *arg)
{
	session->is_named = true;
	int r = ct_session_fill_row(session, start);
	if (r < 0)
		return r;
	ct_session_prepare_hold(session);
	r = ct_registry_acquire(&session->uploads->registry, &session->hold);
	if (r < 0)
		return r;
	CT_ASSERT(r == 1); /* nobody can know an id that was just made */
	session->is_held = true;
	ct_session_begin_step(session, done, arg);
	atomic_fetch_add(&session->uploads->creating, 1);
	r = ct_session_submit_step(session, ct_session_run_create);
	if (r < 0)
		atomic_fetch_sub(&session->uploads->creating, 1);
	return r;
}

/* ---- appending ---- */

int ct_session_sniff(struct ct_session *session, const void *data, size_t length)
{
	struct ct_upload_row *row = &session->row;
	const struct ct_accept *accept = session->uploads->accept;

	/* Whatever is wrong with libmagic, it is not the client's 404. */
	if (ct_sniff(session->uploads->sniffer, data, length, row->type, sizeof(row->type)) < 0)
		return CT_ERROR_INTERNAL;
	if (ct_accept_matches(accept, row->type))
		return 0;
	row->refusal = CT_ERROR_UNSUPPORTED_TYPE;
	(void)snprintf(row->refusal_detail, sizeof(row->refusal_detail),
	    "the bytes are %s; accepted are: %s", row->type, ct_accept_list(accept));
	return CT_ERROR_UNSUPPORTED_TYPE;
}

/* How many bytes must be there before they are looked at. */
static size_t sniffed_bytes(const struct ct_session *session)
{
	uint64_t length = session->row.length_bytes;

	return length < CT_SNIFF_BYTES ? (size_t)length : CT_SNIFF_BYTES;
}

int ct_session_sniff_written(struct ct_session *session)
{
	size_t length = sniffed_bytes(session);

	if (session->row.type[0] != '\0')
		return 0;
	if (ct_session_offset(session) == 0)
		return CT_ERROR_EMPTY_BODY;
	if (length > ct_session_offset(session))
		length = (size_t)ct_session_offset(session);
	ct_cleanup(ct_free_pointer) char *data = malloc(length);
	if (data == NULL)
		return -ENOMEM;
	int r = ct_blob_writer_read(session->writer, 0, data, length);
	return r < 0 ? r : ct_session_sniff(session, data, length);
}

static bool wants_sniff(const struct ct_session *session)
{
	return !session->is_on_trial && session->row.kind != CT_UPLOAD_PARTIAL &&
	       session->row.type[0] == '\0';
}

int ct_session_take(struct ct_session *session, const void *data, size_t length)
{
	size_t needed = sniffed_bytes(session);
	bool is_first = ct_blob_writer_offset(session->writer) == 0 && length >= needed;
	int r = 0;

	/* Before writing, if it is all there: what is refused needs no disk. */
	if (is_first && wants_sniff(session) && length > 0)
		r = ct_session_sniff(session, data, needed);
	if (r == 0)
		r = ct_blob_writer_append(session->writer, data, length);
	if (r == 0 && wants_sniff(session) && ct_session_offset(session) >= needed && length > 0)
		r = ct_session_sniff_written(session);
	return r;
}

static void run_writeout(void *arg)
{
	ct_blob_writeout_run(arg);
}

/* The disk begins while more comes in; the sync at the end then waits for less. */
static void write_ahead(struct ct_session *session)
{
	struct ct_blob_writeout *piece;

	if (ct_blob_writer_writeout(session->writer, &piece) &&
	    ct_thread_pool_submit(session->uploads->options.commit_pool, run_writeout, piece) < 0)
		ct_blob_writeout_drop(piece);
}

int ct_session_append(struct ct_session *session, const void *data, size_t length_bytes)
{
	CT_ASSERT_MAGIC(session, CT_SESSION_MAGIC);
	CT_ASSERT(session->done == NULL && session->writer != NULL && !session->broken);
	if (length_bytes > ct_session_room(session))
		return CT_ERROR_TOO_LARGE;
	int r = ct_session_take(session, data, length_bytes);
	/* A full disk has taken nothing of `data`: ct_session_end() saves what came before. */
	session->broken = r < 0 && r != CT_ERROR_INSUFFICIENT_SPACE;
	if (r == 0)
		write_ahead(session);
	return r;
}

void ct_session_hold_back(struct ct_session *session)
{
	CT_ASSERT(ct_session_offset(session) == session->row.at.offset);
	session->is_on_trial = true;
}

int ct_session_let_go(struct ct_session *session)
{
	CT_ASSERT(session->is_on_trial && !session->broken);
	session->is_on_trial = false;
	if (!wants_sniff(session) || ct_session_offset(session) == 0 ||
	    ct_session_offset(session) < sniffed_bytes(session))
		return 0;
	int r = ct_session_sniff_written(session);
	session->broken = r < 0;
	return r;
}

void ct_session_drop(struct ct_session *session)
{
	session->broken = true;
}

bool ct_session_wants_checkpoint(const struct ct_session *session)
{
	return session->is_named && !session->is_on_trial &&
	       session->row.length_bytes > ct_session_offset(session) &&
	       ct_session_offset(session) - session->row.at.offset >= CT_SESSION_CHECKPOINT_BYTES;
}

static void checkpointed(void *arg, int result)
{
	ct_session_complete(arg, result);
}

static void run_checkpoint(void *arg)
{
	struct ct_session *session = arg;

	int r = ct_session_sync(session);
	if (r == 0)
		r = ct_session_update(session, checkpointed);
	if (r < 0)
		ct_session_complete(session, r);
}

int ct_session_checkpoint(struct ct_session *session, ct_session_done_fn done, void *arg)
{
	CT_ASSERT(session->is_named && session->writer != NULL);
	ct_session_begin_step(session, done, arg);
	session->goes_on = true;
	return ct_session_submit_step(session, run_checkpoint);
}

int ct_session_save(struct ct_session *session, ct_session_done_fn done, void *arg)
{
	CT_ASSERT(session->is_named && session->writer != NULL && !session->is_on_trial);
	ct_session_begin_step(session, done, arg);
	return ct_session_submit_step(session, run_checkpoint);
}

/* ---- ending a resumable one without an image ---- */

static void run_remove(void *arg)
{
	struct ct_session *session = arg;
	struct ct_blob_store *store = session->uploads->options.store;
	int r = 0;

	if (session->writer != NULL)
		ct_blob_writer_discard(ct_steal(session->writer));
	else
		r = ct_blob_staging_remove(store, session->row.id);
	if (r < 0)
		ct_log(CT_LOG_WARNING, "upload.not_removed", CT_LOG_TEXT("id", session->row.id),
		    CT_LOG_CODE(r));
	/* What is left is swept later. */
	ct_session_complete(session, session->result);
}

static void count_end(enum ct_upload_state state)
{
	if (state == CT_UPLOAD_REFUSED)
		ct_metrics_add(CT_METRIC_UPLOADS_REFUSED, 1);
	else if (state == CT_UPLOAD_CANCELED)
		ct_metrics_add(CT_METRIC_UPLOADS_CANCELED, 1);
	else
		ct_metrics_add(CT_METRIC_UPLOADS_EXPIRED, 1);
}

static void ended(void *arg, int result)
{
	struct ct_session *session = arg;

	if (result < 0) {
		ct_session_complete(session, result);
		return;
	}
	count_end(session->row.state);
	ct_log(CT_LOG_INFO, "upload.ended", CT_LOG_TEXT("request", session->request_id),
	    CT_LOG_TEXT("id", session->row.id),
	    CT_LOG_TEXT("state", ct_upload_state_name(session->row.state)),
	    CT_LOG_TEXT("detail", session->row.refusal_detail));
	if (ct_session_submit(session, run_remove) < 0)
		ct_session_complete(session, session->result);
}

static int begin_end(struct ct_session *session, enum ct_upload_state state, int result)
{
	session->row.state = state;
	session->result = result;
	return ct_session_update(session, ended);
}

void ct_session_end_as(struct ct_session *session, enum ct_upload_state state, int result)
{
	int r = begin_end(session, state, result);

	if (r < 0)
		ct_session_complete(session, r);
}

int ct_session_refuse(struct ct_session *session, int error, ct_session_done_fn done, void *arg)
{
	CT_ASSERT(session->is_named && error < 0);
	session->row.refusal = error;
	ct_session_begin_step(session, done, arg);
	int r = begin_end(session, CT_UPLOAD_REFUSED, 0);
	return r < 0 ? ct_session_cancel_step(session, r) : 0;
}

int ct_session_cancel(struct ct_session *session, ct_session_done_fn done, void *arg)
{
	CT_ASSERT(session->is_named && session->is_held);
	ct_session_begin_step(session, done, arg);
	int r = begin_end(session, CT_UPLOAD_CANCELED, 0);
	return r < 0 ? ct_session_cancel_step(session, r) : 0;
}
