/*
 * Sweep, scrub, quarantine, and a store that does not wait for the disk.
 */
#include "fixture.h"

#include "base/clock.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "storage/disk_priv.h"
#include "storage/scrub.h"
#include "storage/sweep.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GRACE_MS 3600000
#define NONE 1000000

static struct fixture fixture;

struct rows {
	const struct ct_digest *used;
	int asked;
	int later; /* the question from which on a row is there */
};

static int is_used(enum ct_blob_class class, const struct ct_digest *digest, void *arg)
{
	struct rows *rows = arg;

	(void)class;
	rows->asked++;
	return rows->asked >= rows->later ||
	       (rows->used != NULL && ct_digest_equal(digest, rows->used));
}

static struct ct_sweep_report sweep_all(struct rows *rows)
{
	struct ct_sweep_report report = { 0 };
	struct ct_sweep sweep;
	const struct ct_sweep_options options = { fixture.store, GRACE_MS, is_used, rows };

	ct_sweep_init(&sweep, &options);
	for (int i = 0; i < CT_BLOB_SHARDS; i++)
		cr_assert_eq(ct_sweep_step(&sweep, &report), 0);
	return report;
}

static void sweep_keeps_what_is_used_or_young(enum store_kind kind)
{
	struct rows rows = { .later = NONE };

	fixture_open(&fixture, kind);
	struct ct_digest kept = put(fixture.store, NULL, "kept", 4).digest;
	struct ct_digest orphan = put(fixture.store, NULL, "orphan", 6).digest;
	rows.used = &kept;
	cr_expect_eq(sweep_all(&rows).removed, 0, "young");
	cr_expect_eq(rows.asked, 0);
	ct_clock_shift_wall_ms(GRACE_MS + 1000);
	struct ct_sweep_report report = sweep_all(&rows);
	cr_expect_eq(report.seen, 2);
	cr_expect_eq(report.removed, 1);
	cr_expect_eq(report.removed_bytes, 6);
	cr_expect_not(is_present(fixture.store, &orphan));
	assert_blob(fixture.store, &kept, "kept", 4);
	ct_clock_shift_wall_ms(-GRACE_MS - 1000);
	fixture_close(&fixture);
}

Test(upkeep, sweep_of_a_disk)
{
	sweep_keeps_what_is_used_or_young(STORE_DISK);
}

Test(upkeep, sweep_of_memory)
{
	sweep_keeps_what_is_used_or_young(STORE_MEMORY);
}

/* The row is committed between the look and the removal. */
Test(upkeep, a_row_that_comes_late_keeps_its_blob)
{
	struct rows rows = { .later = 2 };

	fixture_open(&fixture, STORE_DISK);
	struct ct_digest digest = put(fixture.store, NULL, "late", 4).digest;
	ct_clock_shift_wall_ms(GRACE_MS + 1000);
	cr_expect_eq(sweep_all(&rows).removed, 0);
	cr_expect_eq(rows.asked, 2);
	assert_blob(fixture.store, &digest, "late", 4);
	fixture_close(&fixture);
}

static int agree(enum ct_blob_class class, const struct ct_digest *digest, void *arg)
{
	(void)class, (void)digest;
	(*(int *)arg)++;
	return 0;
}

/* A duplicate is found present; its caller has written no row yet. */
Test(upkeep, what_is_being_published_is_not_removed)
{
	struct ct_blob_committed committed;
	int asked = 0;

	fixture_open(&fixture, STORE_DISK);
	struct ct_digest digest = put(fixture.store, NULL, "twice", 5).digest;
	struct ct_blob_writer *writer = begin(fixture.store, NULL, 5);
	append(writer, "twice", 5);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), 0);
	cr_expect(committed.was_present);
	cr_expect_eq(ct_blob_remove_unused(
			 fixture.store, CT_BLOB_ORIGINAL, &digest, INT64_MAX, agree, &asked),
	    -EBUSY);
	cr_expect_eq(asked, 0);
	ct_blob_writer_close(writer);
	cr_expect_eq(
	    ct_blob_remove_unused(fixture.store, CT_BLOB_ORIGINAL, &digest, 0, agree, &asked),
	    -EBUSY, "young");
	cr_expect_eq(ct_blob_remove_unused(
			 fixture.store, CT_BLOB_ORIGINAL, &digest, INT64_MAX, agree, &asked),
	    0);
	cr_expect_eq(asked, 1);
	cr_expect_not(is_present(fixture.store, &digest));
	fixture_close(&fixture);
}

/* ---- scrub ---- */

static int damaged_count;
static int damaged_error;

static void note_damage(
    enum ct_blob_class class, const struct ct_digest *digest, int error, void *arg)
{
	(void)class, (void)digest, (void)arg;
	damaged_count++;
	damaged_error = error;
}

static void scrub_all(uint64_t budget_bytes)
{
	const struct ct_scrub_options options = { .store = fixture.store, .found = note_damage };
	struct ct_scrub *scrub;
	uint64_t bytes = 0;

	damaged_count = damaged_error = 0;
	cr_assert_eq(ct_scrub_new(&options, &scrub), 0);
	/* A round of empty directories is 32 MiB, and a step may spend more than it was given. */
	for (uint64_t spent = 0; spent < (48u << 20); spent += budget_bytes)
		cr_assert_eq(ct_scrub_step(scrub, budget_bytes, &bytes), 0);
	ct_scrub_free(scrub);
}

Test(upkeep, scrub_puts_damage_aside_and_an_upload_heals_it)
{
	static char data[300000];
	char path[256];

	fixture_open(&fixture, STORE_DISK);
	fill_random(data, sizeof(data), 1);
	struct ct_digest bad = put(fixture.store, NULL, data, sizeof(data)).digest;
	struct ct_digest good = put(fixture.store, NULL, "good", 4).digest;
	scrub_all(8192);
	cr_expect_eq(damaged_count, 0);

	object_path(&fixture, &bad, path, sizeof(path));
	flip_byte(path, 200000);
	scrub_all(8192);
	cr_expect_eq(damaged_count, 1);
	cr_expect_eq(damaged_error, CT_ERROR_DIGEST_MISMATCH);
	cr_expect_not(is_present(fixture.store, &bad));
	assert_blob(fixture.store, &good, "good", 4);
	path_in(&fixture, "quarantine", path, sizeof(path));
	cr_expect_eq(count_entries(path), 1);

	cr_expect_not(put(fixture.store, NULL, data, sizeof(data)).was_present);
	assert_blob(fixture.store, &bad, data, sizeof(data));
	scrub_all(1u << 20);
	cr_expect_eq(damaged_count, 0);
	fixture_close(&fixture);
}

/* Else a small store would be listed from end to end each second, for ever. */
Test(upkeep, a_directory_costs_what_it_takes)
{
	char path[256];

	fixture_open(&fixture, STORE_DISK);
	struct ct_digest bad = put(fixture.store, NULL, "bad", 3).digest;
	object_path(&fixture, &bad, path, sizeof(path));
	flip_byte(path, 0);
	const struct ct_scrub_options options = {
		.store = fixture.store,
		.found = note_damage,
		.first_shard = (bad.bytes[0] + CT_BLOB_SHARDS - 40u) % CT_BLOB_SHARDS,
	};
	struct ct_scrub *scrub;
	uint64_t bytes = 0;

	/* 80 directories come before it, and 4 MiB pay for 64. */
	damaged_count = 0;
	cr_assert_eq(ct_scrub_new(&options, &scrub), 0);
	cr_assert_eq(ct_scrub_step(scrub, 4u << 20, &bytes), 0);
	cr_expect_eq(damaged_count, 0);
	cr_assert_eq(ct_scrub_step(scrub, 4u << 20, &bytes), 0);
	cr_expect_eq(damaged_count, 1);
	ct_scrub_free(scrub);
	fixture_close(&fixture);
}

/* Healed between the reading and the putting aside: the good one stays. */
Test(upkeep, what_was_healed_is_not_put_aside)
{
	struct ct_blob_reader *reader;
	char path[256];

	fixture_open(&fixture, STORE_DISK);
	struct ct_digest digest = put(fixture.store, NULL, "healed", 6).digest;
	object_path(&fixture, &digest, path, sizeof(path));
	flip_byte(path, 0);
	cr_assert_eq(ct_blob_reader_open(fixture.store, CT_BLOB_ORIGINAL, &digest, &reader), 0);
	cr_expect_not(put(fixture.store, NULL, "healed", 6).was_present);
	cr_expect_eq(ct_blob_set_aside(reader), -ESTALE);
	ct_blob_reader_close(reader);
	assert_blob(fixture.store, &digest, "healed", 6);
	fixture_close(&fixture);
}

/* ---- async ---- */

static int sync_calls;

static int count_sync(int fd)
{
	(void)fd;
	sync_calls++;
	return 0;
}

static int fail_sync(int fd)
{
	(void)fd;
	sync_calls++;
	errno = EIO;
	return -1;
}

static void open_async(void)
{
	const struct ct_disk_options options = { .is_async = true };

	fixture_open_disk(&fixture, &options);
	sync_calls = 0;
	ct_disk_calls.fsync = ct_disk_calls.fdatasync = ct_disk_calls.syncfs = count_sync;
}

static void close_async(void)
{
	ct_disk_calls.fsync = fsync;
	ct_disk_calls.fdatasync = fdatasync;
	ct_disk_calls.syncfs = syncfs;
	fixture_close(&fixture);
}

Test(upkeep, async_waits_for_no_disk_until_it_is_flushed)
{
	open_async();
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 6);
	append(writer, "abc", 3);
	cr_expect_eq(sync_writer(writer).offset, 3);
	append(writer, "def", 3);
	struct ct_digest digest = commit(writer).digest;
	cr_expect(commit(begin(fixture.store, NULL, 0)).size_bytes == 0);
	cr_expect_eq(sync_calls, 0);
	assert_blob(fixture.store, &digest, "abcdef", 6);
	cr_expect_eq(ct_blob_store_flush(fixture.store), 0);
	cr_expect_eq(sync_calls, 1);
	cr_expect_eq(ct_blob_store_flush(fixture.store), 0);
	cr_expect_eq(sync_calls, 1, "there was nothing new");
	close_async();
}

Test(upkeep, a_failed_flush_is_final)
{
	open_async();
	(void)put(fixture.store, NULL, "abc", 3);
	ct_disk_calls.syncfs = fail_sync;
	cr_expect_eq(ct_blob_store_flush(fixture.store), CT_ERROR_STORE_UNHEALTHY);
	cr_expect_not(ct_blob_store_is_healthy(fixture.store));
	close_async();
}

/* A power cut has kept the row and the length, and lost the bytes. */
Test(upkeep, async_checks_what_it_resumes)
{
	struct ct_blob_writer *writer;
	char path[256];

	open_async();
	writer = begin(fixture.store, ID_A, 6);
	append(writer, "abc", 3);
	struct ct_blob_checkpoint checkpoint = sync_writer(writer);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(fixture.store, ID_A, 6, &checkpoint, &writer), 0);
	ct_blob_writer_close(writer);
	path_in(&fixture, "staging/" ID_A, path, sizeof(path));
	flip_byte(path, 1);
	cr_expect_eq(
	    try_resume(fixture.store, ID_A, 6, &checkpoint, &writer), CT_ERROR_STAGING_DAMAGED);
	cr_expect_eq(ct_blob_staging_remove(fixture.store, ID_A), 0, "it was closed");
	close_async();
}
