#include "metadata/prints.h"
#include "metadata/sqlite_priv.h"

#define COLUMNS "source, operations, digest, size_bytes, width, height, type, created_at"

static const char put_sql[] =
    "INSERT OR REPLACE INTO print (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
static const char get_sql[] = "SELECT " COLUMNS " FROM print WHERE source = ? AND operations = ?";
static const char list_sql[] =
    "SELECT " COLUMNS " FROM print WHERE source = ? ORDER BY width, operations LIMIT ?";
static const char delete_orphans_sql[] =
    "DELETE FROM print WHERE source = ?1 AND operations IN "
    "(SELECT operations FROM print WHERE source = ?1 LIMIT ?2) "
    "AND NOT EXISTS (SELECT 1 FROM image WHERE image.digest = ?1) RETURNING " COLUMNS;
static const char is_used_sql[] = "SELECT EXISTS (SELECT 1 FROM print WHERE digest = ?)";

static int read_row(struct ct_query *query, struct ct_print_row *ret_row)
{
	struct ct_print_row row = { 0 };
	ct_query_digest(query, &row.source);
	ct_query_text(query, row.operations, sizeof(row.operations));
	ct_query_digest(query, &row.digest);
	row.size_bytes = ct_query_size(query);
	row.width = ct_query_int(query);
	row.height = ct_query_int(query);
	ct_query_text(query, row.type, sizeof(row.type));
	row.created_at = ct_query_number(query);
	int r = ct_query_end(query);
	if (r >= 0)
		*ret_row = row;
	return r;
}

/* To its end, so that a change is whole. */
static int list(struct ct_query *query, struct ct_print_row *ret_rows, int capacity)
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

int ct_print_put(struct ct_metadata_view *view, const struct ct_print_row *row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, put_sql);
	ct_query_bind_digest(&query, &row->source);
	ct_query_bind_text(&query, row->operations);
	ct_query_bind_digest(&query, &row->digest);
	ct_query_bind_size(&query, row->size_bytes);
	ct_query_bind_number(&query, row->width);
	ct_query_bind_number(&query, row->height);
	ct_query_bind_text(&query, row->type);
	ct_query_bind_number(&query, row->created_at);
	int r = ct_query_run(&query);
	return r < 0 ? r : 0;
}

int ct_print_get(struct ct_metadata_view *view, const struct ct_digest *source,
    const char *operations, struct ct_print_row *ret_row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_sql);
	ct_query_bind_digest(&query, source);
	ct_query_bind_text(&query, operations);
	int r = ct_query_one(&query);
	return r < 0 ? r : read_row(&query, ret_row);
}

int ct_print_list(struct ct_metadata_view *view, const struct ct_digest *source,
    struct ct_print_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, list_sql);
	ct_query_bind_digest(&query, source);
	ct_query_bind_number(&query, capacity);
	return list(&query, ret_rows, capacity);
}

int ct_print_delete_orphans(struct ct_metadata_view *view, const struct ct_digest *source,
    struct ct_print_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, delete_orphans_sql);
	ct_query_bind_digest(&query, source);
	ct_query_bind_number(&query, capacity);
	return list(&query, ret_rows, capacity);
}

int ct_print_is_used(struct ct_metadata_view *view, const struct ct_digest *digest, bool *ret_used)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, is_used_sql);
	ct_query_bind_digest(&query, digest);
	int r = ct_query_one(&query);
	if (r < 0)
		return r;
	*ret_used = ct_query_number(&query) != 0;
	return ct_query_end(&query);
}
