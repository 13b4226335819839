#include "support.h"
#include "metadata/api_keys.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIGRATIONS 6

TestSuite(metadata_open, .init = directory_setup, .fini = directory_teardown);

static int insert_upload(struct ct_metadata_view *view, void *arg)
{
	const struct ct_upload_row *row = arg;
	return ct_upload_insert(view, row);
}

static int64_t read_pragma(struct ct_metadata_view *view, const char *sql)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, sql);
	cr_assert_eq(ct_query_one(&query), 0);
	return ct_query_number(&query);
}

Test(metadata_open, a_new_database_is_migrated_and_opens_again)
{
	struct ct_upload_row row = make_upload(1, 0);
	for (int round = 0; round < 3; round++) {
		struct ct_metadata *metadata = open_metadata();
		struct ct_metadata_view *view = NULL;
		cr_expect_eq(
		    ct_metadata_write(metadata, insert_upload, &row), round == 0 ? 0 : -EEXIST);
		cr_expect_eq(ct_upload_open_count(metadata), 1);
		cr_assert_eq(ct_metadata_borrow(metadata, &view), 0);
		cr_expect_eq(ct_upload_get(view, row.id, &row), 0);
		cr_expect_eq(read_pragma(view, "PRAGMA user_version"), MIGRATIONS);
		ct_metadata_give_back(metadata, view);
		ct_metadata_close(metadata);
	}
}

Test(metadata_open, commits_are_durable_and_keys_are_checked)
{
	struct ct_metadata_view *view = NULL;
	char mode[8];
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	cr_expect_eq(read_pragma(view, "PRAGMA synchronous"), 2);
	cr_expect_eq(read_pragma(view, "PRAGMA foreign_keys"), 1);
	struct ct_query query = ct_query_begin(view, "PRAGMA journal_mode");
	cr_assert_eq(ct_query_one(&query), 0);
	ct_query_text(&query, mode, sizeof(mode));
	ct_query_done(&query);
	cr_expect_str_eq(mode, "wal");
	ct_connection_close(view);
}

Test(metadata_open, the_names_of_the_files_are_made_durable)
{
	const int before = atomic_load(&fsync_calls);
	ct_metadata_close(open_metadata());
	cr_expect_gt(atomic_load(&fsync_calls), before);
}

Test(metadata_open, only_the_owner_may_read_the_file)
{
	struct stat stat_of_file;
	ct_metadata_close(open_metadata());
	cr_assert_eq(stat(fixture.path, &stat_of_file), 0);
	cr_expect_eq(stat_of_file.st_mode & 0777, 0600);
}

Test(metadata_open, a_missing_directory_is_an_error)
{
	const struct ct_metadata_options options = { .path = "/tmp/ct-metadata-none/x.db" };
	struct ct_metadata *metadata = NULL;
	cr_expect_eq(ct_metadata_open(&options, &metadata), -ENOENT);
	cr_expect_null(metadata);
	ct_metadata_close(NULL);
}

Test(metadata_open, a_file_that_is_no_database_is_an_error)
{
	FILE *file = fopen(fixture.path, "w");
	cr_assert_not_null(file);
	for (int i = 0; i < 1000; i++)
		cr_assert_gt(fprintf(file, "this is not a database "), 0);
	cr_assert_eq(fclose(file), 0);
	const struct ct_metadata_options options = { .path = fixture.path };
	struct ct_metadata *metadata = NULL;
	cr_expect_eq(ct_metadata_open(&options, &metadata), CT_ERROR_DATABASE);
}

Test(metadata_open, a_database_of_a_later_version_is_refused)
{
	struct ct_metadata_view *view = NULL;
	ct_metadata_close(open_metadata());
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	cr_assert_eq(ct_connection_execute(view, "PRAGMA user_version = 1000"), 0);
	ct_connection_close(view);
	const struct ct_metadata_options options = { .path = fixture.path };
	struct ct_metadata *metadata = NULL;
	cr_expect_eq(ct_metadata_open(&options, &metadata), -EPROTONOSUPPORT);
}

Test(metadata_open, a_migration_that_fails_leaves_nothing)
{
	struct ct_metadata_view *view = NULL;
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	/* In the way of the last statements of the first migration. */
	cr_assert_eq(ct_connection_execute(view, "CREATE TABLE api_key (id)"), 0);
	cr_expect_lt(ct_connection_migrate(view), 0);
	cr_expect_not(ct_connection_is_in_transaction(view));
	cr_expect_eq(read_pragma(view, "PRAGMA user_version"), 0);
	cr_expect_eq(read_pragma(view, "SELECT count(*) FROM sqlite_schema"), 1);
	cr_assert_eq(ct_connection_execute(view, "DROP TABLE api_key"), 0);
	cr_expect_eq(ct_connection_migrate(view), 0);
	cr_expect_eq(read_pragma(view, "PRAGMA user_version"), MIGRATIONS);
	ct_connection_close(view);
}

Test(metadata_open, keys_of_the_first_version_never_expire)
{
	struct ct_metadata_view *view = NULL;
	struct ct_api_key_row row = { .expires_at = 1 };
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	cr_assert_eq(ct_connection_migrate(view), 0);
	cr_assert_eq(ct_connection_execute(view, "DROP INDEX upload_waiting;"
						 "ALTER TABLE upload DROP COLUMN concat;"
						 "ALTER TABLE upload DROP COLUMN kind"),
	    0);
	cr_assert_eq(ct_connection_execute(view, UNTIL_FOURTH
			 "ALTER TABLE api_key DROP COLUMN expires_at;"
			 "ALTER TABLE upload DROP COLUMN repr_digest;"
			 "ALTER TABLE upload DROP COLUMN awaits_end; PRAGMA user_version = 1;"
			 "INSERT INTO api_key VALUES ('reader00', zeroblob(32), 1, 'x', 2, 0)"),
	    0);
	cr_assert_eq(ct_connection_migrate(view), 0);
	cr_assert_eq(ct_api_key_get(view, "reader00", &row), 0);
	cr_expect_eq(row.expires_at, 0);
	cr_expect_eq(row.created_at, 2);
	ct_connection_close(view);
}

Test(metadata_open, damaged_columns_are_errors)
{
	struct ct_metadata_view *view = NULL;
	struct ct_upload_row row = make_upload(1, 0);
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	cr_assert_eq(ct_connection_migrate(view), 0);
	cr_assert_eq(ct_connection_execute(view, "BEGIN IMMEDIATE"), 0);
	cr_assert_eq(ct_upload_insert(view, &row), 0);
	cr_assert_eq(ct_connection_execute(view, "UPDATE upload SET hash_state = x'00'"), 0);
	cr_expect_eq(ct_upload_get(view, row.id, &row), CT_ERROR_DATABASE);
	cr_assert_eq(
	    ct_connection_execute(
		view, "UPDATE upload SET hash_state = zeroblob(112), key_id = hex(zeroblob(99))"),
	    0);
	cr_expect_eq(ct_upload_get(view, row.id, &row), CT_ERROR_DATABASE);
	cr_assert_eq(ct_connection_execute(view, "UPDATE upload SET key_id = ''"), 0);
	cr_expect_eq(ct_upload_get(view, row.id, &row), 0);
	cr_assert_eq(ct_connection_execute(view, "COMMIT"), 0);
	ct_connection_close(view);
}

Test(metadata_open, readers_cannot_write)
{
	struct ct_metadata *metadata = open_metadata();
	struct ct_metadata_view *view = NULL;
	cr_assert_eq(ct_metadata_borrow(metadata, &view), 0);
	cr_expect_eq(ct_connection_execute(view, "DELETE FROM image"), CT_ERROR_DATABASE);
	ct_metadata_give_back(metadata, view);
	ct_metadata_close(metadata);
}

/* What one commits the other sees, and both are numbered by the same file. */
Test(metadata_open, another_process_may_write_beside)
{
	struct ct_metadata *first = open_metadata();
	struct ct_metadata *second = open_metadata();
	struct ct_upload_row row = make_upload(1, 0);
	struct ct_metadata_view *view = NULL;
	cr_expect_eq(ct_metadata_write(second, insert_upload, &row), 0);
	cr_assert_eq(ct_metadata_borrow(first, &view), 0);
	cr_expect_eq(ct_upload_get(view, row.id, &row), 0);
	ct_metadata_give_back(first, view);
	ct_metadata_close(first);
	ct_metadata_close(second);
}
