#include "metadata/jobs.h"
#include "metadata/metadata_priv.h"

#include <assert.h>
#include <stdlib.h>

static_assert(CT_JOB_QUEUED == 0 && CT_JOB_RUNNING == 1 && CT_JOB_SUCCEEDED == 2 &&
		  CT_JOB_FAILED == 3 && CT_JOB_CANCELED == 4,
    "the literals in the schema and in the queries");

#define TOMBSTONE_MS (30 * 24 * 3600 * INT64_C(1000))

#define COLUMNS                                                                              \
	"id, kind, state, progress, attempts, max_attempts, version, upload_id, image_id, "  \
	"response, error, run_at, created_at, started_at, finished_at, owner, lease_until, " \
	"token, "                                                                            \
	"request_id"

#define PAGE "(created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?"

static const char insert_sql[] = "INSERT INTO job (" COLUMNS ") "
				 "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char get_sql[] = "SELECT " COLUMNS " FROM job WHERE id = ?";
static const char get_state_sql[] = "SELECT state FROM job WHERE id = ?";
static const char get_tombstone_sql[] = "SELECT finished_at FROM job_tombstone WHERE id = ?";
static const char list_sql[] = "SELECT " COLUMNS " FROM job INDEXED BY job_by_time WHERE " PAGE;
static const char list_in_state_sql[] =
    "SELECT " COLUMNS " FROM job INDEXED BY job_by_state WHERE state = ? AND " PAGE;
/* Of equal times the one that came first: the index ends with the rowid. */
static const char claim_sql[] =
    "UPDATE job SET state = 1, owner = ?, lease_until = ?, started_at = ?, "
    "attempts = attempts + 1, token = token + 1, version = version + 1 "
    "WHERE rowid = (SELECT rowid FROM job INDEXED BY job_queued "
    "WHERE state = 0 AND run_at <= ? ORDER BY run_at, rowid LIMIT 1) RETURNING " COLUMNS;
static const char next_run_at_sql[] =
    "SELECT run_at FROM job INDEXED BY job_queued WHERE state = 0 AND run_at > ? "
    "ORDER BY run_at LIMIT 1";
static const char get_queued_sql[] = "SELECT figure FROM tally WHERE name = 'job_queued'";
static const char heartbeat_sql[] =
    "UPDATE job SET lease_until = ? WHERE id = ? AND token = ? AND state = 1";
static const char set_progress_sql[] =
    "UPDATE job SET progress = ?, version = version + 1 WHERE id = ? AND token = ? AND state = 1";
/* Only canceling needs no worker that runs it. */
static const char end_sql[] =
    "UPDATE job SET state = ?1, response = ?2, error = ?3, finished_at = ?4, "
    "progress = iif(?1 = 2, 1.0, progress), owner = '', lease_until = 0, version = version + 1 "
    "WHERE id = ?5 AND token = ?6 AND (state = 1 OR (state = 0 AND ?1 = 4))";
static const char requeue_sql[] =
    "UPDATE job SET state = 0, run_at = ?, error = ?, progress = 0.0, owner = '', "
    "lease_until = 0, version = version + 1 WHERE id = ? AND token = ? AND state = 1";
static const char postpone_sql[] =
    "UPDATE job SET state = 0, run_at = ?, error = ?, progress = 0.0, owner = '', "
    "lease_until = 0, attempts = attempts - 1, version = version + 1 "
    "WHERE id = ? AND token = ? AND state = 1";
static const char revive_sql[] =
    "UPDATE job SET state = 0, run_at = ?, attempts = 0, progress = 0.0, response = NULL, "
    "error = NULL, started_at = 0, finished_at = 0, version = version + 1 "
    "WHERE id = ? AND state IN (3, 4)";
static const char release_sql[] =
    "UPDATE job SET state = 0, run_at = ?1, progress = 0.0, owner = '', lease_until = 0, "
    "version = version + 1 WHERE rowid IN (SELECT rowid FROM job INDEXED BY job_by_state "
    "WHERE state = 1 AND (owner = ?2 OR lease_until < ?1))";
/* The detail of an error may speak of the image; its title does not. */
static const char forget_image_sql[] =
    "UPDATE job SET response = iif(state = 2, "
    "json_object('image', json_object('id', image_id, 'state', 'deleted')), response), "
    "error = iif(state = 3, json_set(error, '$.detail', json_extract(error, '$.title')), error), "
    "version = version + 1 WHERE id = ? AND state IN (2, 3)";
static const char purge_sql[] =
    "DELETE FROM job WHERE rowid IN (SELECT rowid FROM job INDEXED BY job_ended "
    "WHERE state >= 2 AND finished_at < ? ORDER BY finished_at LIMIT ?)";
static const char purge_tombstones_sql[] =
    "DELETE FROM job_tombstone WHERE id IN (SELECT id FROM job_tombstone "
    "WHERE finished_at < ? ORDER BY finished_at LIMIT ?)";

const char *ct_job_state_name(enum ct_job_state state)
{
	static const char *const names[CT_JOB_STATE_COUNT] = {
		[CT_JOB_QUEUED] = "queued",
		[CT_JOB_RUNNING] = "running",
		[CT_JOB_SUCCEEDED] = "succeeded",
		[CT_JOB_FAILED] = "failed",
		[CT_JOB_CANCELED] = "canceled",
	};
	CT_ASSERT((unsigned)state < CT_JOB_STATE_COUNT);
	return names[state];
}

void ct_job_row_done(struct ct_job_row *row)
{
	free(row->response);
	free(row->error);
	row->response = NULL;
	row->error = NULL;
}

static int read_row(struct ct_query *query, struct ct_job_row *ret_row)
{
	ct_cleanup(ct_job_row_done) struct ct_job_row row = { 0 };
	ct_query_text(query, row.id, sizeof(row.id));
	ct_query_text(query, row.kind, sizeof(row.kind));
	row.state = (enum ct_job_state)ct_query_state(query, CT_JOB_STATE_COUNT);
	row.progress = ct_query_real(query);
	row.attempts = ct_query_int(query);
	row.max_attempts = ct_query_int(query);
	row.version = ct_query_number(query);
	ct_query_text(query, row.upload_id, sizeof(row.upload_id));
	ct_query_text(query, row.image_id, sizeof(row.image_id));
	row.response = ct_query_text_copy(query);
	row.error = ct_query_text_copy(query);
	row.run_at = ct_query_number(query);
	row.created_at = ct_query_number(query);
	row.started_at = ct_query_number(query);
	row.finished_at = ct_query_number(query);
	ct_query_text(query, row.owner, sizeof(row.owner));
	row.lease_until = ct_query_number(query);
	row.token = ct_query_number(query);
	ct_query_text(query, row.request_id, sizeof(row.request_id));
	int r = ct_query_end(query);
	if (r < 0)
		return r;
	*ret_row = row;
	row.response = NULL;
	row.error = NULL;
	return 0;
}

int ct_job_insert(struct ct_metadata_view *view, const struct ct_job_row *row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, insert_sql);
	ct_query_bind_text(&query, row->id);
	ct_query_bind_text(&query, row->kind);
	ct_query_bind_number(&query, row->state);
	ct_query_bind_real(&query, row->progress);
	ct_query_bind_number(&query, row->attempts);
	ct_query_bind_number(&query, row->max_attempts);
	ct_query_bind_number(&query, row->version);
	ct_query_bind_text(&query, row->upload_id);
	ct_query_bind_text(&query, row->image_id);
	ct_query_bind_text(&query, row->response);
	ct_query_bind_text(&query, row->error);
	ct_query_bind_number(&query, row->run_at);
	ct_query_bind_number(&query, row->created_at);
	ct_query_bind_number(&query, row->started_at);
	ct_query_bind_number(&query, row->finished_at);
	ct_query_bind_text(&query, row->owner);
	ct_query_bind_number(&query, row->lease_until);
	ct_query_bind_number(&query, row->token);
	ct_query_bind_text(&query, row->request_id);
	int r = ct_query_run(&query);
	if (r < 0)
		return r;
	view->change.queued += row->state == CT_JOB_QUEUED;
	return 0;
}

static int explain_missing(struct ct_metadata_view *view, const char *id)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_tombstone_sql);
	ct_query_bind_text(&query, id);
	int r = ct_query_one(&query);
	return r < 0 ? r : CT_ERROR_GONE;
}

int ct_job_get(struct ct_metadata_view *view, const char *id, struct ct_job_row *ret_row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_sql);
	ct_query_bind_text(&query, id);
	int r = ct_query_one(&query);
	if (r == CT_ERROR_NOT_FOUND)
		return explain_missing(view, id);
	return r < 0 ? r : read_row(&query, ret_row);
}

int ct_job_list(struct ct_metadata_view *view, int state, int64_t before_at, const char *before_id,
    struct ct_job_row *ret_rows, int capacity)
{
	CT_ASSERT(state < CT_JOB_STATE_COUNT);
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin(view, state < 0 ? list_sql : list_in_state_sql);
	if (state >= 0)
		ct_query_bind_number(&query, state);
	ct_query_bind_page(&query, before_at, before_id);
	ct_query_bind_number(&query, capacity);
	int count = 0;
	int r = 0;
	while (count < capacity && (r = ct_query_step(&query)) > 0) {
		r = read_row(&query, &ret_rows[count]);
		if (r < 0)
			break;
		count++;
	}
	if (r >= 0)
		return count;
	while (count > 0)
		ct_job_row_done(&ret_rows[--count]);
	return r;
}

static int get_next_run_at(struct ct_metadata_view *view, int64_t now, int64_t *ret_next_run_at)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, next_run_at_sql);
	ct_query_bind_number(&query, now);
	int r = ct_query_step(&query);
	if (r < 0)
		return r;
	*ret_next_run_at = r > 0 ? ct_query_number(&query) : 0;
	return 0;
}

int ct_job_get_first_run_at(struct ct_metadata_view *view, int64_t *ret_run_at)
{
	return get_next_run_at(view, INT64_MIN, ret_run_at);
}

int ct_job_get_queued(struct ct_metadata_view *view, int64_t *ret_count)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_queued_sql);
	int r = ct_query_one(&query);
	if (r < 0)
		return r;
	*ret_count = ct_query_number(&query);
	return ct_query_end(&query);
}

int ct_job_claim(struct ct_metadata_view *view, const char *owner, int64_t now, int64_t lease_until,
    struct ct_job_row *ret_row, int64_t *ret_next_run_at)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, claim_sql);
	ct_query_bind_text(&query, owner);
	ct_query_bind_number(&query, lease_until);
	ct_query_bind_number(&query, now);
	ct_query_bind_number(&query, now);
	int r = ct_query_one(&query);
	if (r == CT_ERROR_NOT_FOUND) {
		int error = get_next_run_at(view, now, ret_next_run_at);
		return error < 0 ? error : r;
	}
	if (r == 0)
		r = read_row(&query, ret_row);
	view->change.queued -= r == 0;
	return r;
}

/* Ends the query: whoever changes no row is not the one that runs the job. */
static int run_fenced(struct ct_query *query)
{
	int r = ct_query_run_one(query);
	return r == CT_ERROR_NOT_FOUND ? CT_ERROR_LEASE_LOST : r;
}

int ct_job_heartbeat(
    struct ct_metadata_view *view, const char *id, int64_t token, int64_t lease_until)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, heartbeat_sql);
	ct_query_bind_number(&query, lease_until);
	ct_query_bind_text(&query, id);
	ct_query_bind_number(&query, token);
	return run_fenced(&query);
}

int ct_job_set_progress(
    struct ct_metadata_view *view, const char *id, int64_t token, double progress)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, set_progress_sql);
	ct_query_bind_real(&query, progress);
	ct_query_bind_text(&query, id);
	ct_query_bind_number(&query, token);
	return run_fenced(&query);
}

static int get_state(struct ct_metadata_view *view, const char *id, enum ct_job_state *ret_state)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_state_sql);
	ct_query_bind_text(&query, id);
	int r = ct_query_one(&query);
	if (r < 0)
		return r == CT_ERROR_NOT_FOUND ? CT_ERROR_LEASE_LOST : r;
	*ret_state = (enum ct_job_state)ct_query_state(&query, CT_JOB_STATE_COUNT);
	return ct_query_end(&query);
}

int ct_job_end(struct ct_metadata_view *view, const char *id, int64_t token,
    enum ct_job_state state, const char *response, const char *error, int64_t now)
{
	enum ct_job_state before = CT_JOB_RUNNING;
	CT_ASSERT(state >= CT_JOB_SUCCEEDED && state < CT_JOB_STATE_COUNT);
	int r = state == CT_JOB_CANCELED ? get_state(view, id, &before) : 0;
	if (r < 0)
		return r;
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, end_sql);
	ct_query_bind_number(&query, state);
	ct_query_bind_text(&query, response);
	ct_query_bind_text(&query, error);
	ct_query_bind_number(&query, now);
	ct_query_bind_text(&query, id);
	ct_query_bind_number(&query, token);
	r = run_fenced(&query);
	view->change.queued -= r == 0 && before == CT_JOB_QUEUED;
	return r;
}

static int queue_again(struct ct_metadata_view *view, const char *sql, const char *id,
    int64_t token, int64_t run_at, const char *error)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, sql);
	ct_query_bind_number(&query, run_at);
	ct_query_bind_text(&query, error);
	ct_query_bind_text(&query, id);
	ct_query_bind_number(&query, token);
	int r = run_fenced(&query);
	view->change.queued += r == 0;
	return r;
}

int ct_job_requeue(
    struct ct_metadata_view *view, const char *id, int64_t token, int64_t run_at, const char *error)
{
	return queue_again(view, requeue_sql, id, token, run_at, error);
}

int ct_job_postpone(
    struct ct_metadata_view *view, const char *id, int64_t token, int64_t run_at, const char *error)
{
	return queue_again(view, postpone_sql, id, token, run_at, error);
}

int ct_job_forget_image(struct ct_metadata_view *view, const char *id)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, forget_image_sql);
	ct_query_bind_text(&query, id);
	return ct_query_step(&query);
}

int ct_job_revive(struct ct_metadata_view *view, const char *id, int64_t now)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, revive_sql);
	ct_query_bind_number(&query, now);
	ct_query_bind_text(&query, id);
	int r = ct_query_run_one(&query);
	view->change.queued += r == 0;
	return r;
}

int ct_job_release(struct ct_metadata_view *view, const char *owner, int64_t now)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, release_sql);
	ct_query_bind_number(&query, now);
	ct_query_bind_text(&query, owner);
	int r = ct_query_run(&query);
	view->change.queued += r > 0 ? r : 0;
	return r;
}

static int purge_tombstones(struct ct_metadata_view *view, int64_t before, int limit)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, purge_tombstones_sql);
	ct_query_bind_number(&query, before);
	ct_query_bind_number(&query, limit);
	return ct_query_run(&query);
}

int ct_job_purge(struct ct_metadata_view *view, int64_t before, int limit)
{
	int r = purge_tombstones(view, before - TOMBSTONE_MS, limit);
	if (r < 0)
		return r;
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, purge_sql);
	ct_query_bind_number(&query, before);
	ct_query_bind_number(&query, limit);
	return ct_query_run(&query);
}
