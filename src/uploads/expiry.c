/*
 * What the housekeeper does about uploads. Blocking, in its own thread; it goes through the
 * registry like a request, and skips what a request holds.
 */
#include "uploads/session_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 16
#define MAX_BATCHES 64	  /* a call ends at most this many batches */
#define STRANDED_MS 60000 /* in `finishing` for so long: nobody is at it any more */
#define MAX_PURGED 1000
#define MAX_ORPHANS 1000
#define KEEP_ENDED_MS (7 * 24 * 3600 * 1000LL)

/* One row's way through a session, awaited. */
struct turn {
	struct ct_lock lock;
	struct ct_condition changed;
	bool is_over; /* under lock */
	int result;   /* under lock */
};

static void turn_over(void *arg, int result)
{
	struct turn *turn = arg;

	ct_lock_take(&turn->lock);
	turn->result = result;
	turn->is_over = true;
	ct_condition_broadcast(&turn->changed);
	ct_lock_release(&turn->lock);
}

static int await_turn(struct turn *turn)
{
	ct_lock_take(&turn->lock);
	while (!turn->is_over)
		ct_condition_wait(&turn->changed, &turn->lock);
	turn->is_over = false;
	int r = turn->result;
	ct_lock_release(&turn->lock);
	return r;
}

/* 0 also when a request holds it: it will be found again. */
static int expire(struct ct_uploads *uploads, const char *id)
{
	struct turn turn = { .is_over = false };
	struct ct_session *session;

	int r = ct_session_new(uploads, "housekeeper", NULL, NULL, &session);
	if (r < 0)
		return r;
	ct_lock_init(&turn.lock, CT_LOCK_LEAF);
	ct_condition_init(&turn.changed);
	r = ct_session_expire(session, id, turn_over, &turn);
	if (r == 0)
		r = await_turn(&turn);
	if (r == CT_ERROR_UPLOAD_BUSY || ct_session_is_ended(session))
		r = 0;
	ct_session_end(session);
	ct_condition_done(&turn.changed);
	ct_lock_done(&turn.lock);
	return r;
}

typedef int (*list_fn)(
    struct ct_metadata_view *view, int64_t before, struct ct_upload_row *ret_rows, int capacity);

static int list_rows(
    struct ct_uploads *uploads, list_fn list, int64_t before, struct ct_upload_row *rows)
{
	struct ct_metadata *metadata = uploads->options.metadata;
	struct ct_metadata_view *view;

	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = list(view, before, rows, BATCH);
	ct_metadata_give_back(metadata, view);
	return r;
}

static int expire_rows(struct ct_uploads *uploads, const struct ct_upload_row *rows, int count)
{
	int left = 0;

	for (int i = 0; i < count; i++) {
		int r = expire(uploads, rows[i].id);
		if (r == 0)
			continue;
		left++;
		ct_log(CT_LOG_WARNING, "upload.not_ended", CT_LOG_TEXT("id", rows[i].id),
		    CT_LOG_CODE(r));
	}
	return left;
}

/* Takes what `list` gives until there is no more; what fails is tried again at the next call. */
static int expire_all(struct ct_uploads *uploads, list_fn list, int64_t before)
{
	ct_cleanup(ct_free_pointer) struct ct_upload_row *rows = calloc(BATCH, sizeof(*rows));
	int count = BATCH;
	int left = 0;

	if (rows == NULL)
		return -ENOMEM;
	for (int i = 0; i < MAX_BATCHES && count == BATCH && left == 0; i++) {
		count = list_rows(uploads, list, before, rows);
		if (count < 0)
			return count;
		left = expire_rows(uploads, rows, count);
	}
	return 0;
}

/* Final uploads whose parts are complete by now; each call goes on where the last one ended. */
static int join_waiting(struct ct_uploads *uploads)
{
	struct ct_metadata *metadata = uploads->options.metadata;
	ct_cleanup(ct_free_pointer) struct ct_upload_row *rows = calloc(BATCH, sizeof(*rows));
	struct ct_metadata_view *view;
	int count = BATCH;

	if (rows == NULL)
		return -ENOMEM;
	for (int i = 0; i < MAX_BATCHES && count == BATCH; i++) {
		int r = ct_metadata_borrow(metadata, &view);
		if (r < 0)
			return r;
		count = ct_upload_list_waiting(view, uploads->joined_to, rows, BATCH);
		ct_metadata_give_back(metadata, view);
		if (count < 0)
			return count;
		(void)expire_rows(uploads, rows, count); /* it has logged what failed */
		if (count > 0)
			memcpy(uploads->joined_to, rows[count - 1].id, sizeof(rows[0].id));
	}
	if (count < BATCH)
		uploads->joined_to[0] = '\0';
	return 0;
}

/* ---- staging files without a row ---- */

struct orphans {
	struct ct_uploads *uploads;
	int64_t before;
	int count;
	char (*ids)[CT_STAGING_ID_CHARS + 1];
};

static int see_staging(const char *staging_id, int64_t modified_ms, void *arg)
{
	struct orphans *orphans = arg;

	if (modified_ms >= orphans->before)
		return 0;
	(void)snprintf(orphans->ids[orphans->count], sizeof(orphans->ids[0]), "%s", staging_id);
	orphans->count++;
	return orphans->count == MAX_ORPHANS;
}

static int is_orphan(struct ct_metadata_view *view, const char *id, struct ct_upload_row *row)
{
	int r = ct_upload_get(view, id, row);

	if (r == CT_ERROR_NOT_FOUND)
		return 1;
	if (r < 0)
		return r;
	return row->state != CT_UPLOAD_RECEIVING && row->state != CT_UPLOAD_FINISHING;
}

static int remove_if_orphan(struct ct_uploads *uploads, const char *id, struct ct_upload_row *row)
{
	struct ct_metadata_view *view;
	struct ct_hold hold = { .id = "" };

	(void)snprintf(hold.id, sizeof(hold.id), "%s", id);
	if (ct_registry_try(&uploads->registry, &hold) != 1)
		return 0;
	int r = ct_metadata_borrow(uploads->options.metadata, &view);
	if (r == 0) {
		r = is_orphan(view, id, row);
		ct_metadata_give_back(uploads->options.metadata, view);
	}
	if (r == 1) {
		r = ct_blob_staging_remove(uploads->options.store, id);
		ct_log(CT_LOG_INFO, "upload.orphan_removed", CT_LOG_TEXT("id", id),
		    CT_LOG_NUMBER("result", r));
	}
	ct_registry_release(&uploads->registry, &hold);
	return r;
}

static int sweep_orphans(struct ct_uploads *uploads)
{
	struct orphans orphans = {
		.uploads = uploads,
		.before = ct_clock_wall_ms() - uploads->options.expiry_ms,
	};
	ct_cleanup(ct_free_pointer) char(*ids)[CT_STAGING_ID_CHARS + 1] =
	    calloc(MAX_ORPHANS, sizeof(*ids));
	ct_cleanup(ct_free_pointer) struct ct_upload_row *row = calloc(1, sizeof(*row));
	if (ids == NULL || row == NULL)
		return -ENOMEM;

	/* First looked at, then removed: a folder is not changed while it is read. */
	orphans.ids = ids;
	int r = ct_blob_staging_visit(uploads->options.store, see_staging, &orphans);
	if (r < 0)
		return r;
	for (int i = 0; i < orphans.count; i++) {
		r = remove_if_orphan(uploads, ids[i], row);
		if (r < 0)
			return r;
	}
	return 0;
}

static int run_purge(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	return ct_upload_purge(view, ct_clock_wall_ms() - KEEP_ENDED_MS, MAX_PURGED);
}

int ct_uploads_tick(struct ct_uploads *uploads)
{
	int64_t now_ms = ct_clock_monotonic_ms();
	int64_t wall_ms = ct_clock_wall_ms();

	int first = expire_all(uploads, ct_upload_list_expired, wall_ms);
	int r = expire_all(uploads, ct_upload_list_finishing, wall_ms - STRANDED_MS);
	if (first == 0 && r < 0)
		first = r;
	r = join_waiting(uploads);
	if (first == 0 && r < 0)
		first = r;
	r = ct_metadata_write(uploads->options.metadata, run_purge, NULL);
	if (first == 0 && r < 0)
		first = r;
	if (now_ms - uploads->orphans_seen_ms >= uploads->options.orphan_sweep_ms) {
		uploads->orphans_seen_ms = now_ms;
		r = sweep_orphans(uploads);
		if (first == 0 && r < 0)
			first = r;
	}
	return first;
}
