#include "metadata/api_keys.h"
#include "base/assert.h"
#include "metadata/sqlite_priv.h"

#define COLUMNS "id, secret, scopes, name, created_at, revoked_at, expires_at"

static const char insert_sql[] = "INSERT INTO api_key (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?)";
static const char get_sql[] = "SELECT " COLUMNS " FROM api_key WHERE id = ?";
static const char list_sql[] = "SELECT " COLUMNS " FROM api_key ORDER BY created_at LIMIT ?";
/* The first revocation counts. */
static const char revoke_sql[] =
    "UPDATE api_key SET revoked_at = iif(revoked_at = 0, ?, revoked_at) WHERE id = ?";
/* A revoked one counts: to revoke the last key must not open the server. */
static const char exists_sql[] = "SELECT EXISTS (SELECT 1 FROM api_key)";

const char *ct_scope_name(unsigned scopes)
{
	CT_ASSERT(scopes != 0);
	return scopes & CT_SCOPE_READ ? "read" : scopes & CT_SCOPE_WRITE ? "write" : "admin";
}

static int read_row(struct ct_query *query, struct ct_api_key_row *ret_row)
{
	struct ct_api_key_row row = { 0 };
	ct_query_text(query, row.id, sizeof(row.id));
	ct_query_digest(query, &row.secret);
	row.scopes = (unsigned)ct_query_int(query);
	ct_query_text(query, row.name, sizeof(row.name));
	row.created_at = ct_query_number(query);
	row.revoked_at = ct_query_number(query);
	row.expires_at = ct_query_number(query);
	int r = ct_query_end(query);
	if (r >= 0)
		*ret_row = row;
	return r;
}

int ct_api_key_insert(struct ct_metadata_view *view, const struct ct_api_key_row *row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, insert_sql);
	ct_query_bind_text(&query, row->id);
	ct_query_bind_digest(&query, &row->secret);
	ct_query_bind_number(&query, row->scopes);
	ct_query_bind_text(&query, row->name);
	ct_query_bind_number(&query, row->created_at);
	ct_query_bind_number(&query, row->revoked_at);
	ct_query_bind_number(&query, row->expires_at);
	int r = ct_query_run(&query);
	return r < 0 ? r : 0;
}

int ct_api_key_get(struct ct_metadata_view *view, const char *id, struct ct_api_key_row *ret_row)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, get_sql);
	ct_query_bind_text(&query, id);
	int r = ct_query_one(&query);
	return r < 0 ? r : read_row(&query, ret_row);
}

int ct_api_key_list(struct ct_metadata_view *view, struct ct_api_key_row *ret_rows, int capacity)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, list_sql);
	ct_query_bind_number(&query, capacity);
	int count = 0;
	int r = 0;
	while (count < capacity && (r = ct_query_step(&query)) > 0) {
		r = read_row(&query, &ret_rows[count]);
		if (r < 0)
			break;
		count++;
	}
	return r < 0 ? r : count;
}

int ct_api_key_revoke(struct ct_metadata_view *view, const char *id, int64_t now)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin_change(view, revoke_sql);
	ct_query_bind_number(&query, now);
	ct_query_bind_text(&query, id);
	return ct_query_run_one(&query);
}

int ct_api_key_exists(struct ct_metadata_view *view, bool *ret_exists)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, exists_sql);
	int r = ct_query_one(&query);
	if (r < 0)
		return r;
	*ret_exists = ct_query_number(&query) != 0;
	return ct_query_end(&query);
}
