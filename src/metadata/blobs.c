#include "metadata/blobs.h"
#include "metadata/images.h"
#include "metadata/sqlite_priv.h"

#include <assert.h>

static_assert(CT_IMAGE_READY == 1, "the literal in the query");

#define COLUMNS "digest, size_bytes, type, deleting, created_at, last_ref_at"

/* Size and type of a known digest stay: they follow from the bytes. */
static const char reference_sql[] =
    "INSERT INTO blob (" COLUMNS ") VALUES (?, ?, ?, 0, ?, ?) "
    "ON CONFLICT (digest) DO UPDATE SET deleting = 0, last_ref_at = excluded.last_ref_at";
static const char get_sql[] = "SELECT " COLUMNS " FROM blob WHERE digest = ?";
static const char touch_sql[] = "UPDATE blob SET last_ref_at = ? WHERE digest = ?";
static const char list_sql[] =
    "SELECT " COLUMNS " FROM blob WHERE digest > ? ORDER BY digest LIMIT ?";
static const char is_visible_sql[] =
    "SELECT EXISTS (SELECT 1 FROM image WHERE digest = ? AND state = 1)";
static const char begin_sweep_sql[] =
    "UPDATE blob SET deleting = 1 WHERE digest IN "
    "(SELECT digest FROM blob INDEXED BY blob_unreferenced "
    "WHERE images = 0 AND last_ref_at < ? ORDER BY last_ref_at LIMIT ?) RETURNING " COLUMNS;
static const char end_sweep_sql[] =
    "DELETE FROM blob WHERE digest = ? AND deleting = 1 AND images = 0";

static int read_row(struct ct_query *query, struct ct_blob_row *ret_row)
{
	struct ct_blob_row row = { 0 };
	ct_query_digest(query, &row.digest);
	row.size_bytes = ct_query_size(query);
	ct_query_text(query, row.type, sizeof(row.type));
	row.deleting = ct_query_number(query) != 0;
	row.created_at = ct_query_number(query);
	row.last_ref_at = ct_query_number(query);
	int r = ct_query_end(query);
	if (r >= 0)
		*ret_row = row;
	return r;
}

int ct_blob_reference(struct ct_metadata_view *view, const struct ct_blob_row *row)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, reference_sql);
	ct_query_bind_digest(&query, &row->digest);
	ct_query_bind_size(&query, row->size_bytes);
	ct_query_bind_text(&query, row->type);
	ct_query_bind_number(&query, row->created_at);
	ct_query_bind_number(&query, row->last_ref_at);
	int r = ct_query_run(&query);
	return r < 0 ? r : 0;
}

int ct_blob_get(
    struct ct_metadata_view *view, const struct ct_digest *digest, struct ct_blob_row *ret_row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_sql);
	ct_query_bind_digest(&query, digest);
	int r = ct_query_one(&query);
	return r < 0 ? r : read_row(&query, ret_row);
}

int ct_blob_is_visible(
    struct ct_metadata_view *view, const struct ct_digest *digest, bool *ret_visible)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, is_visible_sql);
	ct_query_bind_digest(&query, digest);
	int r = ct_query_one(&query);
	if (r < 0)
		return r;
	*ret_visible = ct_query_number(&query) != 0;
	return ct_query_end(&query);
}

int ct_blob_touch(struct ct_metadata_view *view, const struct ct_digest *digest, int64_t at)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, touch_sql);
	ct_query_bind_number(&query, at);
	ct_query_bind_digest(&query, digest);
	return ct_query_run_one(&query);
}

static int read_rows(struct ct_query *query, struct ct_blob_row *ret_rows, int capacity)
{
	int count = 0;
	int r;
	while ((r = ct_query_step(query)) > 0) {
		CT_ASSERT(count < capacity);
		r = read_row(query, &ret_rows[count]);
		if (r < 0)
			break;
		count++;
	}
	return r < 0 ? r : count;
}

int ct_blob_list(struct ct_metadata_view *view, const struct ct_digest *after,
    struct ct_blob_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, list_sql);
	/* No bytes at all come before every digest. */
	ct_query_bind_bytes(&query, after != NULL ? (const void *)after->bytes : "",
	    after != NULL ? CT_DIGEST_BYTES : 0);
	ct_query_bind_number(&query, capacity);
	return read_rows(&query, ret_rows, capacity);
}

int ct_blob_begin_sweep(
    struct ct_metadata_view *view, int64_t before, struct ct_blob_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, begin_sweep_sql);
	ct_query_bind_number(&query, before);
	ct_query_bind_number(&query, capacity);
	return read_rows(&query, ret_rows, capacity);
}

int ct_blob_end_sweep(struct ct_metadata_view *view, const struct ct_digest *digest)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, end_sweep_sql);
	ct_query_bind_digest(&query, digest);
	return ct_query_run_one(&query);
}
