/* What the housekeeper does, with a shifted clock. */
#include "support.h"

#include "base/clock.h"
#include "calotype/error.h"
#include "metadata/uploads.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#define CAPACITY ((uint64_t)64 << 20)
#define DAY_MS (24 * 3600 * 1000LL)

Test(expiry, ends_what_nobody_continued)
{
	struct fixture fixture;
	struct ct_uploads_options options = { 0 };
	char *data = make_png(1000, 1);
	char ids[40][CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	for (int i = 0; i < 40; i++)
		break_off(&fixture, data, 1000, 10, ids[i]);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(count_staging(&fixture), 40);

	ct_clock_shift_wall_ms(DAY_MS + 1);
	cr_expect_eq(continue_to_end(&fixture, ids[0], data, 1000, 10), CT_ERROR_GONE);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(count_staging(&fixture), 0);
	cr_expect_eq(ct_upload_open_count(fixture.metadata), 0);
	for (int i = 0; i < 40; i++)
		cr_expect_eq(row_of(&fixture, ids[i]).state, CT_UPLOAD_EXPIRED);

	ct_clock_shift_wall_ms(9 * DAY_MS);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(row_of(&fixture, ids[0]).state, CT_UPLOAD_STATE_COUNT, "forgotten");
	fixture_close(&fixture);
	free(data);
}

Test(expiry, each_byte_puts_it_off)
{
	struct fixture fixture;
	struct ct_uploads_options options = { 0 };
	char *data = make_png(1000, 1);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	break_off(&fixture, data, 1000, 10, id);
	ct_clock_shift_wall_ms(DAY_MS - 60000);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, 10, 1), 0);
	cr_assert_eq(ct_session_append(session, data + 10, 1), 0);
	cr_assert_eq(save(session), 0);
	end(&fixture, session);
	ct_clock_shift_wall_ms(DAY_MS + 60000);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_RECEIVING);
	cr_assert_eq(continue_to_end(&fixture, id, data, 1000, 11), 0);
	fixture_close(&fixture);
	free(data);
}

Test(expiry, skips_what_a_request_holds)
{
	struct fixture fixture;
	struct ct_uploads_options options = { 0 };
	char *data = make_png(1000, 1);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	break_off(&fixture, data, 1000, 10, id);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, 10, 990), 0);
	ct_clock_shift_wall_ms(DAY_MS + 1);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_RECEIVING);
	cr_assert_eq(ct_session_append(session, data + 10, 990), 0);
	cr_assert_eq(finish(session), 0);
	end(&fixture, session);
	fixture_close(&fixture);
	free(data);
}

/* Puts the end of a row off by ten days, so that its file looks older than it is. */
static int put_off(struct ct_metadata_view *view, void *arg)
{
	struct ct_upload_row row;

	int r = ct_upload_get(view, arg, &row);
	if (r < 0)
		return r;
	row.expires_at += 10 * DAY_MS;
	return ct_upload_update(view, &row);
}

static void pause_shortly(void)
{
	const struct timespec pause = { 0, 5000000 };

	(void)nanosleep(&pause, NULL);
}

Test(expiry, removes_staging_without_a_row)
{
	struct fixture fixture;
	struct ct_uploads_options options = { .orphan_sweep_ms = 1 };
	struct ct_blob_writer *writer;
	char *data = make_png(1000, 1);
	char id[CT_ID_CHARS + 1];
	struct ct_blob_writer_options orphan = {
		.staging_id = "0123456789abcdef0123456789abcdef",
		.declared_bytes = 10,
	};

	fixture_open(&fixture, &options, CAPACITY);
	cr_assert_eq(ct_blob_writer_begin(fixture.store, &orphan, &writer), 0);
	ct_blob_writer_close(writer);
	break_off(&fixture, data, 1000, 10, id);
	cr_assert_eq(ct_metadata_write(fixture.metadata, put_off, id), 0);
	pause_shortly();
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(count_staging(&fixture), 2, "both are young");

	ct_clock_shift_wall_ms(2 * DAY_MS);
	pause_shortly();
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(count_staging(&fixture), 1, "one has a living row");
	cr_expect_eq(continue_to_end(&fixture, id, data, 1000, 10), 0);
	fixture_close(&fixture);
	free(data);
}

Test(expiry, looks_for_staging_without_a_row_soon_after_a_start)
{
	struct fixture fixture;
	struct ct_uploads_options options = { 0 };
	struct ct_blob_writer *writer;
	struct ct_blob_writer_options orphan = {
		.staging_id = "0123456789abcdef0123456789abcdef",
		.declared_bytes = 10,
	};

	fixture_open(&fixture, &options, CAPACITY);
	cr_assert_eq(ct_blob_writer_begin(fixture.store, &orphan, &writer), 0);
	ct_blob_writer_close(writer);
	ct_clock_shift_wall_ms(2 * DAY_MS);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(count_staging(&fixture), 0);
	fixture_close(&fixture);
}
