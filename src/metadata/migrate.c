/*
 * PRAGMA user_version is the number of the last migration that was applied. A migration and its
 * number are one transaction, so a crash leaves either all of it or nothing. Migrations that were
 * released are never changed: a change is a new one.
 */
#include "metadata/sqlite_priv.h"

#include <errno.h>
#include <stdio.h>

static const char *const migrations[] = {
#include "0001_first.inc"
	,
#include "0002_key_expiry.inc"
	,
#include "0003_upload_end.inc"
	,
#include "0004_upload_parts.inc"
	,
#include "0005_tally.inc"
	,
#include "0006_directory.inc"
	,
};

#define MIGRATION_COUNT ((int64_t)(sizeof(migrations) / sizeof(migrations[0])))

static int read_version(struct ct_metadata_view *view, int64_t *ret_version)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin(view, "PRAGMA user_version");
	int r = ct_query_one(&query);
	if (r < 0)
		return r;
	*ret_version = ct_query_number(&query);
	return ct_query_end(&query);
}

static int apply_in_transaction(struct ct_metadata_view *view, int64_t number)
{
	int64_t version;
	int r = read_version(view, &version);
	if (r < 0 || version >= number)
		return r;
	r = ct_connection_execute(view, migrations[number - 1]);
	if (r < 0)
		return r;
	char script[64];
	int length = snprintf(script, sizeof(script), "PRAGMA user_version = %d", (int)number);
	CT_ASSERT(length > 0 && (size_t)length < sizeof(script));
	return ct_connection_execute(view, script);
}

static int apply(struct ct_metadata_view *view, int64_t number)
{
	int r = ct_connection_execute(view, "BEGIN IMMEDIATE");
	if (r < 0)
		return r;
	r = apply_in_transaction(view, number);
	if (r >= 0)
		r = ct_connection_execute(view, "COMMIT");
	/* Some errors have rolled back already; if this fails, closing does it. */
	if (r < 0 && ct_connection_is_in_transaction(view))
		(void)ct_connection_execute(view, "ROLLBACK");
	return r;
}

int ct_connection_migrate(struct ct_metadata_view *view)
{
	int64_t version;
	int r = read_version(view, &version);
	if (r < 0)
		return r;
	if (version > MIGRATION_COUNT)
		return -EPROTONOSUPPORT;
	for (int64_t number = version + 1; number <= MIGRATION_COUNT; number++) {
		r = apply(view, number);
		if (r < 0)
			return r;
	}
	return 0;
}
