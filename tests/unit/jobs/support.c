#include "support.h"
#include "base/clock.h"
#include "metadata/jobs.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct fixture fixture;

void directory_setup(void)
{
	(void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/ct-jobs-XXXXXX");
	cr_assert_not_null(mkdtemp(fixture.directory));
	(void)snprintf(fixture.path, sizeof(fixture.path), "%s/calotype.db", fixture.directory);
}

void open_database(void)
{
	const struct ct_metadata_options options = { .path = fixture.path };
	cr_assert_eq(ct_metadata_open(&options, &fixture.metadata), 0);
}

void database_setup(void)
{
	directory_setup();
	open_database();
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

void database_teardown(void)
{
	ct_metadata_close(fixture.metadata);
	cr_expect_eq(nftw(fixture.directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void sleep_ms(int ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000L };
	(void)nanosleep(&time, NULL);
}

const char *id_of(int number, char ret_id[CT_ID_CHARS + 1])
{
	(void)snprintf(ret_id, CT_ID_CHARS + 1, "%032x", (unsigned)number);
	return ret_id;
}

struct ct_job_row make_job(int number, const char *kind)
{
	int64_t now = ct_clock_wall_ms();
	struct ct_job_row row = {
		.max_attempts = CT_JOB_MAX_ATTEMPTS,
		.version = 1,
		.run_at = now,
		.created_at = now,
	};
	(void)id_of(number, row.id);
	(void)snprintf(row.kind, sizeof(row.kind), "%s", kind);
	return row;
}

static int run_insert(struct ct_metadata_view *view, void *arg)
{
	return ct_job_insert(view, arg);
}

void write_database(ct_transaction_fn run, void *arg)
{
	cr_assert_geq(ct_metadata_write(fixture.metadata, run, arg), 0);
}

void insert_job(const struct ct_job_row *row)
{
	struct ct_job_row copy = *row;
	write_database(run_insert, &copy);
}

struct ct_job_row get_job(int number)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	struct ct_metadata_view *view;
	cr_assert_eq(ct_metadata_borrow(fixture.metadata, &view), 0);
	int r = ct_job_get(view, id_of(number, id), &row);
	ct_metadata_give_back(fixture.metadata, view);
	cr_assert_eq(r, 0);
	return row;
}

struct ct_job_row wait_for_job(int number, enum ct_job_state state)
{
	struct ct_job_row row = get_job(number);
	for (int i = 0; i < 2000 && row.state != state; i++) {
		ct_job_row_done(&row);
		sleep_ms(5);
		row = get_job(number);
	}
	cr_assert_eq(row.state, state, "job %d is %s", number, ct_job_state_name(row.state));
	return row;
}

int count_jobs(enum ct_job_state state, const char *kind)
{
	static struct ct_job_row rows[200];
	struct ct_metadata_view *view;
	int found = 0;
	cr_assert_eq(ct_metadata_borrow(fixture.metadata, &view), 0);
	int count = ct_job_list(view, (int)state, 0, "", rows, 200);
	ct_metadata_give_back(fixture.metadata, view);
	cr_assert_geq(count, 0);
	for (int i = 0; i < count; i++) {
		found += strcmp(rows[i].kind, kind) == 0;
		ct_job_row_done(&rows[i]);
	}
	return found;
}
