#include "metadata/events.h"
#include "metadata/sqlite_priv.h"

static const char append_sql[] =
    "INSERT INTO event (type, image_id, data, created_at) VALUES (?, ?, ?, ?)";
/* Ids rise with time, so the old ones are the first; looking at `limit` rows bounds the work. */
static const char purge_sql[] =
    "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE id > 0 ORDER BY id LIMIT ?) "
    "AND created_at < ?";

int ct_event_append(struct ct_metadata_view *view, const char *type, const char *image_id,
    const char *data, int64_t now)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, append_sql);
	ct_query_bind_text(&query, type);
	ct_query_bind_text(&query, image_id);
	ct_query_bind_text(&query, data);
	ct_query_bind_number(&query, now);
	int r = ct_query_run(&query);
	return r < 0 ? r : 0;
}

int ct_event_purge(struct ct_metadata_view *view, int64_t before, int limit)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, purge_sql);
	ct_query_bind_number(&query, limit);
	ct_query_bind_number(&query, before);
	return ct_query_run(&query);
}
