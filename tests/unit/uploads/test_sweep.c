#include "support.h"

#include "base/clock.h"
#include "calotype/blob_upkeep.h"
#include "sweeper.h"

#include <criterion/criterion.h>
#include <errno.h>

#define HOUR_MS (3600 * 1000LL)

/* Its blob has a name and no row, and nobody has finished it for longer than the grace period. */
Test(sweep, what_a_crash_left_finishing_keeps_its_blob)
{
	struct ct_uploads_options options = { .expiry_ms = 0 };
	struct ct_sweep_report report = { 0 };
	struct ct_sweeper sweeper;
	struct fixture fixture;
	char id[CT_ID_CHARS + 1];
	char *data = make_png(1000, 1);

	fixture_open(&fixture, &options, 1 << 20);
	break_off(&fixture, data, 1000, 500, id);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_PUBLISH, 1, -EIO, true);
	cr_assert_eq(continue_to_end(&fixture, id, data, 1000, 500), -EIO);
	cr_assert_eq(count_staging(&fixture), 0);

	ct_clock_shift_wall_ms(2 * HOUR_MS);
	ct_sweeper_init(&sweeper, fixture.metadata, fixture.store, HOUR_MS);
	cr_assert_eq(ct_sweeper_run(&sweeper, CT_BLOB_SHARDS, &report), 0);
	cr_assert_eq(report.removed, 0);
	fixture_restart(&fixture);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	check_image(&fixture, id, data, 1000);
	fixture_close(&fixture);
	free(data);
}
