/* The tally that a start reads instead of counting rows. */
#include "support.h"
#include "metadata/metadata_priv.h"

#include <stdlib.h>

#define ROUNDS 3000
#define JOBS 40

TestSuite(metadata_tally, .timeout = 60);

static int64_t read_number(struct ct_metadata_view *view, const char *sql)
{
	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, sql);
	cr_assert_eq(ct_query_one(&query), 0);
	return ct_query_number(&query);
}

static void check_agreement(struct ct_metadata_view *view)
{
	int64_t queued, receiving;
	cr_assert_eq(ct_job_get_queued(view, &queued), 0);
	cr_assert_eq(ct_upload_get_receiving(view, &receiving), 0);
	cr_assert_eq(queued,
	    read_number(view, "SELECT count(*) FROM job INDEXED BY job_queued WHERE state = 0"));
	cr_assert_eq(receiving,
	    read_number(
		view, "SELECT count(*) FROM upload INDEXED BY upload_receiving WHERE state = 0"));
}

/* What fails, as it does not fit the state, changes nothing. */
static void change_job(struct ct_metadata_view *view, int number, int64_t now)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = make_job(number, now);
	int64_t next;
	switch (random() % 5) {
	case 0: (void)ct_job_insert(view, &row); return;
	case 1:
		if (ct_job_claim(view, "me", now, now + 30, &row, &next) == 0)
			ct_job_row_done(&row);
		return;
	case 2: (void)ct_job_release(view, "me", now); return;
	case 3: (void)ct_job_purge(view, now - 100, 3); return;
	default:
		if (ct_job_get(view, id_of(number, id), &row) != 0)
			return;
		(void)ct_job_end(view, id, row.token, CT_JOB_CANCELED, NULL, NULL, now);
		if (random() % 2 == 0)
			(void)ct_job_revive(view, id, now);
		ct_job_row_done(&row);
	}
}

static void change_upload(struct ct_metadata_view *view, int number, int64_t now)
{
	struct ct_upload_row row = make_upload(number, now);
	if (random() % 2 == 0) {
		row.state = (enum ct_upload_state)(random() % CT_UPLOAD_STATE_COUNT);
		row.updated_at = now;
		(void)ct_upload_insert(view, &row);
	} else if (random() % 4 == 0) {
		(void)ct_upload_purge(view, now - 100, 3);
	} else if (ct_upload_get(view, row.id, &row) == 0) {
		row.state = (enum ct_upload_state)(random() % CT_UPLOAD_STATE_COUNT);
		row.updated_at = now;
		cr_assert_eq(ct_upload_update(view, &row), 0);
	}
}

RowsTest(metadata_tally, agrees_with_a_count_after_any_change)
{
	srandom(1);
	for (int i = 0; i < ROUNDS; i++) {
		change_job(fixture.view, (int)(random() % JOBS), 1000 + i);
		change_upload(fixture.view, (int)(random() % JOBS), 1000 + i);
		if (i % 100 == 0)
			check_agreement(fixture.view);
	}
	check_agreement(fixture.view);
	/* Whatever statement it is, also one that no function here has. */
	cr_assert_eq(ct_connection_execute(fixture.view,
			 "UPDATE job SET state = 0 WHERE rowid % 2; DELETE FROM upload "
			 "WHERE rowid % 3 = 0; UPDATE upload SET state = 0 WHERE rowid % 2; "
			 "DELETE FROM job WHERE rowid % 3 = 0"),
	    0);
	check_agreement(fixture.view);
	fixture.view->scanned_rows = 0; /* the counts' own */
}

/* 200,000 rows are not looked at: their wrong tally is believed. */
Test(metadata_tally, a_start_counts_nothing, .init = directory_setup, .fini = directory_teardown)
{
	struct ct_metadata_view *view = NULL;
	int64_t queued;
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	cr_assert_eq(ct_connection_migrate(view), 0);
	cr_assert_eq(ct_connection_execute(view,
			 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
			 "WHERE i < 200000) INSERT INTO job SELECT printf('%032x', i), 'image', 0, "
			 "0.0, 0, 10, 1, '', '', NULL, NULL, 0, i, 0, 0, '', 0, 0, '' FROM n"),
	    0);
	check_agreement(view);
	view->scanned_rows = 0;
	cr_assert_eq(ct_job_get_queued(view, &queued), 0);
	cr_expect_eq(queued, 200000);
	cr_expect_eq(view->scanned_rows, 0);
	cr_assert_eq(ct_connection_execute(view, "UPDATE tally SET figure = figure + 7"), 0);
	ct_connection_close(view);
	struct ct_metadata *metadata = open_metadata();
	cr_expect_eq(ct_job_queued_count(metadata), 200007);
	cr_expect_eq(ct_upload_open_count(metadata), 7);
	ct_metadata_close(metadata);
}

Test(metadata_tally, of_an_older_database_is_filled_once, .init = directory_setup,
    .fini = directory_teardown)
{
	struct ct_metadata_view *view = NULL;
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	cr_assert_eq(ct_connection_migrate(view), 0);
	for (int i = 0; i < 5; i++) {
		const struct ct_job_row job = make_job(i, 0);
		const struct ct_upload_row upload = make_upload(i, 0);
		cr_assert_eq(ct_connection_execute(view, "BEGIN IMMEDIATE"), 0);
		cr_assert_eq(ct_job_insert(view, &job), 0);
		cr_assert_eq(i < 3 ? ct_upload_insert(view, &upload) : 0, 0);
		cr_assert_eq(ct_connection_execute(view, "COMMIT"), 0);
	}
	ct_connection_close(view);
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &view), 0);
	cr_assert_eq(ct_connection_execute(view, UNTIL_FOURTH "PRAGMA user_version = 4;"), 0);
	ct_connection_close(view);
	struct ct_metadata *metadata = open_metadata();
	cr_expect_eq(ct_job_queued_count(metadata), 5);
	cr_expect_eq(ct_upload_open_count(metadata), 3);
	ct_metadata_close(metadata);
}
