#include "metadata/directory.h"
#include "metadata/sqlite_priv.h"

int ct_directory_get(struct ct_metadata_view *view, char ret_id[CT_ID_CHARS + 1])
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin(view, "SELECT id FROM data_directory");
	int r = ct_query_one(&query);
	if (r < 0)
		return r;
	ct_query_text(&query, ret_id, CT_ID_CHARS + 1);
	return ct_query_end(&query);
}

int ct_directory_put(struct ct_metadata_view *view, const char *id)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin_change(view, "INSERT INTO data_directory (number, id) VALUES (1, ?)");
	ct_query_bind_text(&query, id);
	int r = ct_query_run(&query);
	return r < 0 ? r : 0;
}
