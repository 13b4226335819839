#include "metadata/metadata_priv.h"
#include "metadata/uploads.h"

#include <assert.h>

static_assert(CT_UPLOAD_RECEIVING == 0 && CT_UPLOAD_FINISHING == 1 && CT_UPLOAD_DONE == 2 &&
		  CT_UPLOAD_PARTIAL == 1 && CT_UPLOAD_FINAL == 2,
    "the literals in the schema and in the queries");

#define COLUMNS                                                                                   \
	"id, state, length_bytes, offset_bytes, hash_state, type, filename, metadata, image_id, " \
	"job_id, refusal, refusal_detail, key_id, created_at, updated_at, expires_at, owner, "    \
	"lease_until, epoch, repr_digest, awaits_end, kind, concat"

static const char insert_sql[] =
    "INSERT INTO upload (" COLUMNS ") "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char get_sql[] = "SELECT " COLUMNS " FROM upload WHERE id = ?";
static const char claim_sql[] = "UPDATE upload SET owner = ?, lease_until = ?, epoch = epoch + 1 "
				"WHERE id = ? AND state IN (0, 1) RETURNING epoch";
static const char get_state_sql[] = "SELECT state FROM upload WHERE id = ?";
static const char get_fenced_state_sql[] = "SELECT state FROM upload WHERE id = ? AND epoch = ?";
static const char update_sql[] =
    "UPDATE upload SET state = ?, length_bytes = ?, offset_bytes = ?, hash_state = ?, type = ?, "
    "image_id = ?, job_id = ?, refusal = ?, refusal_detail = ?, updated_at = ?, expires_at = ?, "
    "awaits_end = ? WHERE id = ?";
static const char list_expired_sql[] =
    "SELECT " COLUMNS " FROM upload INDEXED BY upload_receiving "
    "WHERE state = 0 AND expires_at > 0 AND expires_at <= ? ORDER BY expires_at LIMIT ?";
static const char list_waiting_sql[] =
    "SELECT " COLUMNS " FROM upload INDEXED BY upload_waiting "
    "WHERE state = 0 AND kind = 2 AND id > ? ORDER BY id LIMIT ?";
static const char hasten_sql[] = "UPDATE upload SET expires_at = ?1 "
				 "WHERE id = ?2 AND state = 0 AND kind = 1 AND expires_at > ?1";
static const char list_finishing_sql[] =
    "SELECT " COLUMNS " FROM upload INDEXED BY upload_finishing "
    "WHERE state = 1 AND updated_at <= ? ORDER BY updated_at LIMIT ?";
static const char purge_sql[] =
    "DELETE FROM upload WHERE rowid IN (SELECT rowid FROM upload INDEXED BY upload_ended "
    "WHERE state >= 2 AND updated_at < ? ORDER BY updated_at LIMIT ?)";
static const char get_receiving_sql[] = "SELECT figure FROM tally WHERE name = 'upload_receiving'";

const char *ct_upload_state_name(enum ct_upload_state state)
{
	static const char *const names[CT_UPLOAD_STATE_COUNT] = {
		[CT_UPLOAD_RECEIVING] = "receiving",
		[CT_UPLOAD_FINISHING] = "finishing",
		[CT_UPLOAD_DONE] = "done",
		[CT_UPLOAD_REFUSED] = "refused",
		[CT_UPLOAD_EXPIRED] = "expired",
		[CT_UPLOAD_CANCELED] = "canceled",
	};
	CT_ASSERT((unsigned)state < CT_UPLOAD_STATE_COUNT);
	return names[state];
}

static void bind_length(struct ct_query *query, uint64_t length_bytes)
{
	if (length_bytes == CT_BLOB_LENGTH_UNKNOWN)
		ct_query_bind_null(query);
	else
		ct_query_bind_size(query, length_bytes);
}

static uint64_t read_length(struct ct_query *query)
{
	bool is_unknown = ct_query_is_null(query);
	uint64_t length_bytes = ct_query_size(query);
	return is_unknown ? CT_BLOB_LENGTH_UNKNOWN : length_bytes;
}

static void bind_digest(struct ct_query *query, const struct ct_upload_row *row)
{
	if (row->has_repr_digest)
		ct_query_bind_digest(query, &row->repr_digest);
	else
		ct_query_bind_null(query);
}

/* Reads past the column also when it is NULL. */
static void read_digest(struct ct_query *query, struct ct_upload_row *ret_row)
{
	ret_row->has_repr_digest = !ct_query_is_null(query);
	if (ret_row->has_repr_digest)
		ct_query_digest(query, &ret_row->repr_digest);
	else
		(void)ct_query_number(query);
}

static int read_row(struct ct_query *query, struct ct_upload_row *ret_row)
{
	struct ct_upload_row row = { 0 };
	ct_query_text(query, row.id, sizeof(row.id));
	row.state = (enum ct_upload_state)ct_query_state(query, CT_UPLOAD_STATE_COUNT);
	row.length_bytes = read_length(query);
	row.at.offset = ct_query_size(query);
	ct_query_bytes(query, row.at.hash_state, sizeof(row.at.hash_state));
	ct_query_text(query, row.type, sizeof(row.type));
	ct_query_text(query, row.filename, sizeof(row.filename));
	ct_query_text(query, row.metadata, sizeof(row.metadata));
	ct_query_text(query, row.image_id, sizeof(row.image_id));
	ct_query_text(query, row.job_id, sizeof(row.job_id));
	row.refusal = ct_query_int(query);
	ct_query_text(query, row.refusal_detail, sizeof(row.refusal_detail));
	ct_query_text(query, row.key_id, sizeof(row.key_id));
	row.created_at = ct_query_number(query);
	row.updated_at = ct_query_number(query);
	row.expires_at = ct_query_number(query);
	ct_query_text(query, row.owner, sizeof(row.owner));
	row.lease_until = ct_query_number(query);
	row.epoch = ct_query_number(query);
	read_digest(query, &row);
	row.awaits_end = ct_query_number(query) != 0;
	row.kind = (enum ct_upload_kind)ct_query_state(query, CT_UPLOAD_KIND_COUNT);
	ct_query_text(query, row.concat, sizeof(row.concat));
	int r = ct_query_end(query);
	if (r >= 0)
		*ret_row = row;
	return r;
}

static int list(struct ct_query *query, struct ct_upload_row *ret_rows, int capacity)
{
	int count = 0;
	int r = 0;
	while (count < capacity && (r = ct_query_step(query)) > 0) {
		r = read_row(query, &ret_rows[count]);
		if (r < 0)
			break;
		count++;
	}
	return r < 0 ? r : count;
}

int ct_upload_insert(struct ct_metadata_view *view, const struct ct_upload_row *row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, insert_sql);
	ct_query_bind_text(&query, row->id);
	ct_query_bind_number(&query, row->state);
	bind_length(&query, row->length_bytes);
	ct_query_bind_size(&query, row->at.offset);
	ct_query_bind_bytes(&query, row->at.hash_state, sizeof(row->at.hash_state));
	ct_query_bind_text(&query, row->type);
	ct_query_bind_text(&query, row->filename);
	ct_query_bind_text(&query, row->metadata);
	ct_query_bind_text(&query, row->image_id);
	ct_query_bind_text(&query, row->job_id);
	ct_query_bind_number(&query, row->refusal);
	ct_query_bind_text(&query, row->refusal_detail);
	ct_query_bind_text(&query, row->key_id);
	ct_query_bind_number(&query, row->created_at);
	ct_query_bind_number(&query, row->updated_at);
	ct_query_bind_number(&query, row->expires_at);
	ct_query_bind_text(&query, row->owner);
	ct_query_bind_number(&query, row->lease_until);
	ct_query_bind_number(&query, row->epoch);
	bind_digest(&query, row);
	ct_query_bind_number(&query, row->awaits_end);
	ct_query_bind_number(&query, row->kind);
	ct_query_bind_text(&query, row->concat);
	int r = ct_query_run(&query);
	if (r < 0)
		return r;
	if (row->state == CT_UPLOAD_RECEIVING)
		view->change.receiving++;
	return 0;
}

int ct_upload_get(struct ct_metadata_view *view, const char *id, struct ct_upload_row *ret_row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_sql);
	ct_query_bind_text(&query, id);
	int r = ct_query_one(&query);
	return r < 0 ? r : read_row(&query, ret_row);
}

/* Why a change that needs a living upload found none. */
static int explain_unclaimed(struct ct_metadata_view *view, const char *id)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_state_sql);
	ct_query_bind_text(&query, id);
	int r = ct_query_one(&query);
	return r < 0 ? r : CT_ERROR_GONE;
}

int ct_upload_claim(struct ct_metadata_view *view, const char *id, const char *owner,
    int64_t lease_until, int64_t *ret_epoch)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, claim_sql);
	ct_query_bind_text(&query, owner);
	ct_query_bind_number(&query, lease_until);
	ct_query_bind_text(&query, id);
	int r = ct_query_one(&query);
	if (r == CT_ERROR_NOT_FOUND)
		return explain_unclaimed(view, id);
	if (r < 0)
		return r;
	*ret_epoch = ct_query_number(&query);
	return ct_query_end(&query);
}

static int get_fenced_state(
    struct ct_metadata_view *view, const struct ct_upload_row *row, enum ct_upload_state *ret_state)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin(view, get_fenced_state_sql);
	ct_query_bind_text(&query, row->id);
	ct_query_bind_number(&query, row->epoch);
	int r = ct_query_one(&query);
	if (r < 0)
		return r == CT_ERROR_NOT_FOUND ? CT_ERROR_LEASE_LOST : r;
	*ret_state = (enum ct_upload_state)ct_query_state(&query, CT_UPLOAD_STATE_COUNT);
	return ct_query_end(&query);
}

int ct_upload_update(struct ct_metadata_view *view, const struct ct_upload_row *row)
{
	enum ct_upload_state before;
	int r = get_fenced_state(view, row, &before);
	if (r < 0)
		return r;
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, update_sql);
	ct_query_bind_number(&query, row->state);
	bind_length(&query, row->length_bytes);
	ct_query_bind_size(&query, row->at.offset);
	ct_query_bind_bytes(&query, row->at.hash_state, sizeof(row->at.hash_state));
	ct_query_bind_text(&query, row->type);
	ct_query_bind_text(&query, row->image_id);
	ct_query_bind_text(&query, row->job_id);
	ct_query_bind_number(&query, row->refusal);
	ct_query_bind_text(&query, row->refusal_detail);
	ct_query_bind_number(&query, row->updated_at);
	ct_query_bind_number(&query, row->expires_at);
	ct_query_bind_number(&query, row->awaits_end);
	ct_query_bind_text(&query, row->id);
	r = ct_query_run(&query);
	if (r < 0)
		return r;
	view->change.receiving +=
	    (row->state == CT_UPLOAD_RECEIVING) - (before == CT_UPLOAD_RECEIVING);
	return 0;
}

int ct_upload_list_expired(
    struct ct_metadata_view *view, int64_t now, struct ct_upload_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, list_expired_sql);
	ct_query_bind_number(&query, now);
	ct_query_bind_number(&query, capacity);
	return list(&query, ret_rows, capacity);
}

int ct_upload_list_waiting(struct ct_metadata_view *view, const char *after_id,
    struct ct_upload_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, list_waiting_sql);
	ct_query_bind_text(&query, after_id);
	ct_query_bind_number(&query, capacity);
	return list(&query, ret_rows, capacity);
}

int ct_upload_hasten(struct ct_metadata_view *view, const char *id, int64_t expires_at)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, hasten_sql);
	ct_query_bind_number(&query, expires_at);
	ct_query_bind_text(&query, id);
	int r = ct_query_run(&query);
	return r < 0 ? r : 0;
}

int ct_upload_list_finishing(
    struct ct_metadata_view *view, int64_t before, struct ct_upload_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, list_finishing_sql);
	ct_query_bind_number(&query, before);
	ct_query_bind_number(&query, capacity);
	return list(&query, ret_rows, capacity);
}

int ct_upload_purge(struct ct_metadata_view *view, int64_t before, int limit)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, purge_sql);
	ct_query_bind_number(&query, before);
	ct_query_bind_number(&query, limit);
	return ct_query_run(&query);
}

int ct_upload_get_receiving(struct ct_metadata_view *view, int64_t *ret_count)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_receiving_sql);
	int r = ct_query_one(&query);
	if (r < 0)
		return r;
	*ret_count = ct_query_number(&query);
	return ct_query_end(&query);
}
