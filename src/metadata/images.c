#include "metadata/images.h"
#include "metadata/sqlite_priv.h"

#include <assert.h>

static_assert(CT_IMAGE_PENDING == 0 && CT_IMAGE_READY == 1 && CT_IMAGE_FAILED == 2,
    "the literals in the schema and in the queries");

#define COLUMNS                                                                                    \
	"image.id, image.state, image.digest, blob.size_bytes, blob.type, image.filename, "        \
	"image.width, image.height, image.frames, image.orientation, image.blurhash, image.exif, " \
	"image.job_id, image.key_id, image.created_at"

/* CROSS JOIN: image first, whatever the planner thinks. */
#define JOINED " CROSS JOIN blob ON blob.digest = image.digest "

/* The index of one state gives the order, so a page costs what it shows, wherever it begins. */
#define LIST_SQL(state, index)                                                                \
	"SELECT " COLUMNS " FROM image INDEXED BY " index JOINED "WHERE image.state = " state \
	" AND (image.created_at, image.id) < (?, ?) "                                         \
	"ORDER BY image.created_at DESC, image.id DESC LIMIT ?"

static const char insert_sql[] =
    "INSERT INTO image (id, state, digest, filename, width, height, frames, orientation, "
    "blurhash, exif, job_id, key_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char get_sql[] = "SELECT " COLUMNS " FROM image" JOINED "WHERE image.id = ?";
static const char update_sql[] =
    "UPDATE image SET state = ?, width = ?, height = ?, frames = ?, orientation = ?, "
    "blurhash = ?, exif = ? WHERE id = ?";
static const char delete_sql[] = "DELETE FROM image WHERE id = ?";
static const char *const list_sql[CT_IMAGE_STATE_COUNT] = {
	[CT_IMAGE_PENDING] = LIST_SQL("0", "image_pending"),
	[CT_IMAGE_READY] = LIST_SQL("1", "image_ready"),
	[CT_IMAGE_FAILED] = LIST_SQL("2", "image_failed"),
};
static const char list_of_blob_sql[] =
    "SELECT " COLUMNS " FROM image INDEXED BY image_of_blob" JOINED
    "WHERE image.digest = ? LIMIT ?";

static const char find_ready_sql[] = "SELECT " COLUMNS " FROM image INDEXED BY image_of_blob" JOINED
				     "WHERE image.digest = ? AND image.state = 1 LIMIT 1";

const char *ct_image_state_name(enum ct_image_state state)
{
	static const char *const names[CT_IMAGE_STATE_COUNT] = {
		[CT_IMAGE_PENDING] = "pending",
		[CT_IMAGE_READY] = "ready",
		[CT_IMAGE_FAILED] = "failed",
	};
	CT_ASSERT((unsigned)state < CT_IMAGE_STATE_COUNT);
	return names[state];
}

static int read_row(struct ct_query *query, struct ct_image_row *ret_row)
{
	struct ct_image_row row = { 0 };
	ct_query_text(query, row.id, sizeof(row.id));
	row.state = (enum ct_image_state)ct_query_state(query, CT_IMAGE_STATE_COUNT);
	ct_query_digest(query, &row.digest);
	row.size_bytes = ct_query_size(query);
	ct_query_text(query, row.type, sizeof(row.type));
	ct_query_text(query, row.filename, sizeof(row.filename));
	row.width = ct_query_int(query);
	row.height = ct_query_int(query);
	row.frames = ct_query_int(query);
	row.orientation = ct_query_int(query);
	ct_query_text(query, row.blurhash, sizeof(row.blurhash));
	ct_query_text(query, row.exif, sizeof(row.exif));
	ct_query_text(query, row.job_id, sizeof(row.job_id));
	ct_query_text(query, row.key_id, sizeof(row.key_id));
	row.created_at = ct_query_number(query);
	int r = ct_query_end(query);
	if (r >= 0)
		*ret_row = row;
	return r;
}

static int list(struct ct_query *query, struct ct_image_row *ret_rows, int capacity)
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

int ct_image_insert(struct ct_metadata_view *view, const struct ct_image_row *row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, insert_sql);
	ct_query_bind_text(&query, row->id);
	ct_query_bind_number(&query, row->state);
	ct_query_bind_digest(&query, &row->digest);
	ct_query_bind_text(&query, row->filename);
	ct_query_bind_number(&query, row->width);
	ct_query_bind_number(&query, row->height);
	ct_query_bind_number(&query, row->frames);
	ct_query_bind_number(&query, row->orientation);
	ct_query_bind_text(&query, row->blurhash);
	ct_query_bind_text(&query, row->exif);
	ct_query_bind_text(&query, row->job_id);
	ct_query_bind_text(&query, row->key_id);
	ct_query_bind_number(&query, row->created_at);
	int r = ct_query_run(&query);
	return r < 0 ? r : 0;
}

int ct_image_get(struct ct_metadata_view *view, const char *id, struct ct_image_row *ret_row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_sql);
	ct_query_bind_text(&query, id);
	int r = ct_query_one(&query);
	return r < 0 ? r : read_row(&query, ret_row);
}

int ct_image_update(struct ct_metadata_view *view, const struct ct_image_row *row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, update_sql);
	ct_query_bind_number(&query, row->state);
	ct_query_bind_number(&query, row->width);
	ct_query_bind_number(&query, row->height);
	ct_query_bind_number(&query, row->frames);
	ct_query_bind_number(&query, row->orientation);
	ct_query_bind_text(&query, row->blurhash);
	ct_query_bind_text(&query, row->exif);
	ct_query_bind_text(&query, row->id);
	return ct_query_run_one(&query);
}

int ct_image_delete(struct ct_metadata_view *view, const char *id)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, delete_sql);
	ct_query_bind_text(&query, id);
	return ct_query_run_one(&query);
}

int ct_image_list(struct ct_metadata_view *view, enum ct_image_state state, int64_t before_at,
    const char *before_id, struct ct_image_row *ret_rows, int capacity)
{
	CT_ASSERT((unsigned)state < CT_IMAGE_STATE_COUNT);
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, list_sql[state]);
	ct_query_bind_page(&query, before_at, before_id);
	ct_query_bind_number(&query, capacity);
	return list(&query, ret_rows, capacity);
}

int ct_image_list_of_blob(struct ct_metadata_view *view, const struct ct_digest *digest,
    struct ct_image_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, list_of_blob_sql);
	ct_query_bind_digest(&query, digest);
	ct_query_bind_number(&query, capacity);
	return list(&query, ret_rows, capacity);
}

int ct_image_find_ready(
    struct ct_metadata_view *view, const struct ct_digest *digest, struct ct_image_row *ret_row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, find_ready_sql);
	ct_query_bind_digest(&query, digest);
	int r = ct_query_one(&query);
	return r < 0 ? r : read_row(&query, ret_row);
}
