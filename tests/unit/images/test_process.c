/*
 * The job that makes images ready, on a real database and a disk store. The pool is a stand-in:
 * it reads what it is given and makes prints that say so, or fails as it is told.
 */
#include "support_images.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "calotype/blob_open.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "images/images.h"
#include "imaging/pool.h"
#include "imaging/process.h"
#include "jobs/jobs_priv.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/prints.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct ct_process *process;
static struct ct_jobs *jobs;

/* ---- the pool ---- */

static struct {
	int error;
	int calls;
	int crashes; /* that many calls fail with WORKER_CRASHED first */
	int version; /* of the encoder: other bytes */
	int print_bytes;
	int delete_image; /* while it works */
	bool hangs;	  /* until it is cut off */
	_Atomic bool is_cut;
} pool;

static int print_text(int width, int version, char ret_text[64])
{
	return snprintf(ret_text, 64, "print%d v%d", width, version);
}

static void make_print(int width, int version, struct ct_developed_print *ret_print)
{
	char text[64];
	int fd = memfd_create("print", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	int length = print_text(width, version, text);
	cr_assert_eq(ct_file_write_all(fd, text, (size_t)length), 0);
	uint64_t size = (uint64_t)length;
	if (pool.print_bytes > length) {
		cr_assert_eq(ftruncate(fd, pool.print_bytes), 0);
		size = (uint64_t)pool.print_bytes;
	}
	*ret_print = (struct ct_developed_print){ fd, size, width, width / 2, "image/webp" };
}

static int run_delete(struct ct_metadata_view *view, void *arg)
{
	char id[CT_ID_CHARS + 1];
	return ct_image_delete(view, id_of(*(int *)arg, id));
}

int ct_imaging_pool_develop(struct ct_imaging_pool *unused, int input_fd, const char *type,
    const int *widths, size_t width_count, struct ct_imaging_cut *cut,
    struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure)
{
	char bytes[5];
	cr_assert_eq((void *)unused, (void *)&pool);
	cr_assert_eq(ct_file_pread_all(input_fd, bytes, 5, 0), 0);
	cr_expect_eq(memcmp(bytes, "photo", 5), 0);
	cr_expect_str_eq(type, "image/jpeg");
	pool.calls++;
	cr_expect_not(cut != NULL && cut->is_cut);
	for (int i = 0; pool.hangs && !pool.is_cut && i < 2000; i++)
		sleep_ms(5);
	if (pool.is_cut)
		return CT_ERROR_CANCELED;
	int error = pool.crashes >= pool.calls ? CT_ERROR_WORKER_CRASHED : pool.error;
	if (error < 0) {
		*ret_failure = (struct ct_imaging_failure){ "told to fail", 50, 64 };
		return error;
	}
	if (pool.delete_image > 0)
		write_database(run_delete, &pool.delete_image);
	struct ct_developed developed = {
		.width = 4000,
		.height = 3000,
		.frames = 1,
		.orientation = 6,
		.type = "image/jpeg",
		.blurhash = "LKO2",
		.exif = strdup("{\"iso\":100}"),
		.print_count = width_count,
	};
	for (size_t i = 0; i < width_count; i++)
		make_print(widths[i], pool.version, &developed.prints[i]);
	*ret_developed = developed;
	return 0;
}

void ct_imaging_pool_cut_off(struct ct_imaging_pool *unused, struct ct_imaging_cut *cut)
{
	cr_assert_eq((void *)unused, (void *)&pool);
	cut->is_cut = true;
	pool.is_cut = true;
}

void ct_developed_done(struct ct_developed *developed)
{
	for (size_t i = 0; i < developed->print_count; i++)
		ct_close_fd(&developed->prints[i].fd);
	free(developed->exif);
}

/* ---- the server ---- */

static void start_process(void)
{
	const struct ct_process_options options = {
		.metadata = fixture.metadata,
		.store = store,
		.pool = (struct ct_imaging_pool *)&pool,
	};
	memset(&pool, 0, sizeof(pool));
	cr_assert_eq(ct_process_new(&options, &process), 0);
}

static void setup(void)
{
	images_setup();
	start_process();
}

static void setup_on_disk(void)
{
	char data[128];
	database_setup();
	(void)snprintf(data, sizeof(data), "%s/data", fixture.directory);
	const struct ct_disk_options disk_options = { .directory = data, .reserve_bytes = 1 };
	cr_assert_eq(ct_blob_store_open_disk(&disk_options, &store), 0);
	start_process();
}

static void teardown(void)
{
	ct_process_free(process);
	images_teardown();
}

static void start(void)
{
	const struct ct_job_kind kind = ct_process_kind(process);
	const struct ct_jobs_options options = {
		.metadata = fixture.metadata,
		.owner = "here",
		.kinds = &kind,
		.kind_count = 1,
		.backoff_min_ms = 10,
		.backoff_max_ms = 20,
	};
	cr_assert_eq(ct_jobs_new(&options, &jobs), 0);
	cr_assert_eq(ct_jobs_start(jobs), 0);
}

static struct ct_digest insert_photo(int number)
{
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	insert_image(number, &digest, "image/jpeg", CT_IMAGE_PENDING, ct_clock_wall_ms());
	return digest;
}

static struct ct_job_row run_job(int number, enum ct_job_state state)
{
	struct ct_job_row row = make_job(number, CT_PROCESS_IMAGE);
	(void)id_of(number, row.image_id);
	insert_job(&row);
	start();
	row = wait_for_job(number, state);
	ct_jobs_free(jobs);
	return row;
}

static enum ct_image_state state_of(int number)
{
	struct ct_image_row row;
	cr_assert_eq(find_image(number, &row), 0);
	return row.state;
}

static void expect_prints(const struct ct_digest *source)
{
	struct ct_print_row rows[8];
	char operations[CT_PLAN_OPERATIONS_CHARS + 1];
	cr_assert_eq(list_prints(source, rows, 8), 3);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(rows[i].width, ct_plan_widths[i]);
		ct_plan_operations(rows[i].width, operations);
		cr_expect_str_eq(rows[i].operations, operations);
		cr_expect_str_eq(rows[i].type, "image/webp");
		cr_expect(has_bytes(CT_BLOB_PRINT, &rows[i].digest));
	}
}

static void path_of(const char *folder, const struct ct_digest *digest, char ret_path[256])
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(digest, hex);
	(void)snprintf(
	    ret_path, 256, "%s/data/%s/%.2s/%s", fixture.directory, folder, hex, hex + 2);
}

static void damage(const char *folder, const struct ct_digest *digest)
{
	char path[256];
	path_of(folder, digest, path);
	cr_assert_eq(chmod(path, 0600), 0);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(ct_file_pwrite_all(fd, "X", 1, 1), 0);
	cr_assert_eq(close(fd), 0);
}

TestSuite(process, .init = setup, .fini = teardown, .timeout = 60);
/* Only files can be damaged. */
TestSuite(process_on_disk, .init = setup_on_disk, .fini = teardown, .timeout = 60);

Test(process, makes_an_image_ready)
{
	struct ct_image_row image;
	const struct ct_digest digest = insert_photo(1);
	struct ct_job_row row = run_job(1, CT_JOB_SUCCEEDED);
	cr_assert_eq(find_image(1, &image), 0);
	cr_expect_eq(image.state, CT_IMAGE_READY);
	cr_expect_eq(image.width, 4000);
	cr_expect_eq(image.height, 3000);
	cr_expect_eq(image.frames, 1);
	cr_expect_eq(image.orientation, 6);
	cr_expect_str_eq(image.blurhash, "LKO2");
	cr_expect_str_eq(image.exif, "{\"iso\":100}");
	expect_prints(&digest);
	cr_expect_eq(count_events("image.ready", 1), 1);
	cr_assert_not_null(row.response);
	cr_expect_not_null(strstr(row.response, "{\"image\":{\"id\":\""));
	cr_expect_not_null(strstr(row.response, "\"state\":\"ready\""));
	cr_expect_not_null(strstr(row.response, "/i/00000000000000000000000000000001?w=1280"));
	ct_job_row_done(&row);
}

Test(process, print_larger_than_a_piece)
{
	pool.print_bytes = 200001;
	const struct ct_digest digest = insert_photo(1);
	struct ct_job_row row = run_job(1, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	struct ct_print_row print;
	cr_assert_eq(list_prints(&digest, &print, 1), 1);
	cr_expect_eq(print.size_bytes, 200001);
	expect_prints(&digest);
}

Test(process, other_files_become_ready_without_prints)
{
	struct ct_print_row print;
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	insert_image(1, &digest, "application/pdf", CT_IMAGE_PENDING, 1);
	struct ct_job_row row = run_job(1, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	cr_expect_eq(state_of(1), CT_IMAGE_READY);
	cr_expect_eq(list_prints(&digest, &print, 1), 0);
	cr_expect_eq(pool.calls, 0);
	cr_expect_eq(count_events("image.ready", 1), 1);
}

Test(process, hostile_image_fails_with_its_message)
{
	pool.error = CT_ERROR_UNDECODABLE_IMAGE;
	(void)insert_photo(1);
	struct ct_job_row row = run_job(1, CT_JOB_FAILED);
	cr_expect_not_null(strstr(row.error, "\"code\":\"undecodable_image\""));
	cr_expect_not_null(strstr(row.error, "\"detail\":\"told to fail\""));
	cr_expect_not_null(strstr(row.error, "\"limit\":50,\"value\":64"), "%s", row.error);
	ct_job_row_done(&row);
	cr_expect_eq(state_of(1), CT_IMAGE_FAILED);
	cr_expect_eq(count_events("image.failed", 1), 1);
	cr_expect_eq(count_events("image.ready", 1), 0);
}

Test(process, one_crash_is_forgiven)
{
	pool.crashes = 1;
	(void)insert_photo(1);
	struct ct_job_row row = run_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 2);
	ct_job_row_done(&row);
}

Test(process, second_crash_fails)
{
	pool.crashes = 9;
	(void)insert_photo(1);
	struct ct_job_row row = run_job(1, CT_JOB_FAILED);
	cr_expect_eq(row.attempts, CT_PROCESS_MAX_CRASHES);
	cr_expect_not_null(strstr(row.error, "\"code\":\"worker_crashed\""));
	ct_job_row_done(&row);
	cr_expect_eq(state_of(1), CT_IMAGE_FAILED);
}

/* It would take the time of a worker again, and end in the same way. */
Test(process, what_a_limit_has_ended_is_not_tried_again)
{
	static const int limits[] = { CT_ERROR_WORKER_TIMEOUT, CT_ERROR_WORKER_MEMORY,
		CT_ERROR_TOO_MANY_PIXELS, CT_ERROR_INTERLACED_TOO_LARGE };
	for (int i = 0; i < 4; i++) {
		pool.error = limits[i];
		pool.calls = 0;
		(void)insert_photo(i + 1);
		struct ct_job_row row = run_job(i + 1, CT_JOB_FAILED);
		cr_expect_eq(row.attempts, 1, "%s", ct_error_code(limits[i]));
		cr_expect_eq(pool.calls, 1);
		cr_expect_not_null(strstr(row.error, ct_error_code(limits[i])));
		ct_job_row_done(&row);
		cr_expect_eq(state_of(i + 1), CT_IMAGE_FAILED);
	}
}

Test(process_on_disk, damaged_original_is_not_decoded)
{
	const struct ct_digest digest = insert_photo(1);
	damage("objects", &digest);
	struct ct_job_row row = run_job(1, CT_JOB_FAILED);
	cr_expect_not_null(strstr(row.error, "\"code\":\"digest_mismatch\""));
	ct_job_row_done(&row);
	cr_expect_eq(pool.calls, 0);
}

Test(process, missing_original_fails)
{
	const struct ct_digest digest = insert_photo(1);
	cr_assert_eq(ct_blob_remove(store, CT_BLOB_ORIGINAL, &digest), 0);
	struct ct_job_row row = run_job(1, CT_JOB_FAILED);
	cr_expect_not_null(strstr(row.error, "\"code\":\"not_found\""));
	ct_job_row_done(&row);
	cr_expect_eq(state_of(1), CT_IMAGE_FAILED);
}

Test(process, image_that_was_deleted_before_cancels)
{
	struct ct_job_row row = run_job(1, CT_JOB_CANCELED);
	cr_expect_not_null(strstr(row.error, "\"code\":\"gone\""));
	ct_job_row_done(&row);
	cr_expect_eq(pool.calls, 0);
}

static void insert_process_job(int number)
{
	struct ct_job_row row = make_job(number, CT_PROCESS_IMAGE);
	(void)id_of(number, row.image_id);
	insert_job(&row);
}

static void wait_for_develop(void)
{
	for (int i = 0; i < 2000 && pool.calls == 0; i++)
		sleep_ms(5);
	cr_assert_eq(pool.calls, 1);
}

static void wait_for_idle(void)
{
	struct ct_job_figures figures = { .running = 1 };
	for (int i = 0; i < 2000 && figures.running > 0; i++) {
		sleep_ms(5);
		cr_assert_eq(ct_jobs_figures(jobs, &figures), 0);
	}
	cr_assert_eq(figures.running, 0);
}

Test(process, canceled_job_cuts_its_worker_off_and_can_be_retried)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	const struct ct_digest digest = insert_photo(1);
	pool.hangs = true;
	insert_process_job(1);
	start();
	wait_for_develop();
	cr_assert_eq(ct_jobs_cancel(jobs, id_of(1, id), &row), 0);
	cr_expect_eq(row.state, CT_JOB_CANCELED);
	ct_job_row_done(&row);
	cr_expect(pool.is_cut);
	cr_expect_eq(state_of(1), CT_IMAGE_FAILED);
	cr_expect_eq(count_events("image.failed", 1), 1);
	wait_for_idle(); /* the canceled run takes its prints away with it */
	pool.hangs = false;
	pool.is_cut = false;
	cr_assert_eq(ct_jobs_retry(jobs, id, &row), 0);
	ct_job_row_done(&row);
	row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 1);
	ct_job_row_done(&row);
	ct_jobs_free(jobs);
	cr_expect_eq(state_of(1), CT_IMAGE_READY);
	cr_expect_eq(count_events("image.retried", 1), 1);
	expect_prints(&digest);
}

Test(process, retry_without_its_image_is_gone)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	int first = 1;
	pool.error = CT_ERROR_UNDECODABLE_IMAGE;
	(void)insert_photo(1);
	insert_process_job(1);
	start();
	row = wait_for_job(1, CT_JOB_FAILED);
	ct_job_row_done(&row);
	write_database(run_delete, &first);
	cr_expect_eq(ct_jobs_retry(jobs, id_of(1, id), &row), CT_ERROR_GONE);
	row = get_job(1);
	cr_expect_eq(row.state, CT_JOB_FAILED);
	ct_job_row_done(&row);
	ct_jobs_free(jobs);
}

/* Of the three that one version of the encoder makes. */
static int count_print_files(int version)
{
	int count = 0;
	for (size_t i = 0; i < ct_plan_width_count; i++) {
		char text[64];
		struct ct_digest digest;
		int length = print_text(ct_plan_widths[i], version, text);
		ct_hash_once(text, (size_t)length, &digest);
		count += has_bytes(CT_BLOB_PRINT, &digest);
	}
	return count;
}

Test(process, image_that_is_deleted_meanwhile_cancels_and_leaves_no_prints)
{
	struct ct_print_row print;
	pool.delete_image = 1;
	const struct ct_digest digest = insert_photo(1);
	struct ct_job_row row = run_job(1, CT_JOB_CANCELED);
	ct_job_row_done(&row);
	cr_expect_eq(list_prints(&digest, &print, 1), 0);
	cr_expect_eq(count_print_files(0), 0);
	cr_expect_eq(count_events("image.ready", 1), 0);
}

struct copy {
	struct ct_job_row row;
	struct ct_job_outcome outcome;
};

static int commit_copy(struct ct_metadata_view *view, void *arg)
{
	struct copy *copy = arg;
	return copy->outcome.commit(view, &copy->outcome);
}

/* Canceled when its prints had been stored: nobody will have them. */
Test(process, discarded_result_leaves_no_prints)
{
	(void)insert_photo(1);
	struct copy copy = { .row = make_job(1, CT_PROCESS_IMAGE) };
	(void)id_of(1, copy.row.image_id);
	const struct ct_job_kind kind = ct_process_kind(process);
	start();
	kind.run(jobs, &copy.row, &copy.outcome, kind.context);
	cr_expect_eq(copy.outcome.error, CT_ERROR_CANCELED, "it has no slot: it does not run");
	cr_expect_eq(pool.calls, 0);
	copy.outcome.release(copy.outcome.arg);
	copy.outcome = (struct ct_job_outcome){ 0 };
	kind.run(NULL, &copy.row, &copy.outcome, kind.context);
	cr_expect_eq(count_print_files(0), 3);
	copy.outcome.discard(copy.outcome.arg);
	copy.outcome.release(copy.outcome.arg);
	cr_expect_eq(count_print_files(0), 0);
	ct_jobs_free(jobs);
}

/* ---- the remake ---- */

static struct ct_digest make_ready_photo(struct ct_print_row ret_prints[3])
{
	const struct ct_digest digest = insert_photo(1);
	struct ct_job_row row = run_job(1, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	cr_assert_eq(list_prints(&digest, ret_prints, 3), 3);
	return digest;
}

Test(process_on_disk, missing_and_damaged_prints_are_made_again)
{
	struct ct_print_row prints[3];
	const struct ct_digest digest = make_ready_photo(prints);
	cr_assert_eq(ct_blob_remove(store, CT_BLOB_PRINT, &prints[0].digest), 0);
	damage("prints", &prints[2].digest);
	cr_assert_not(has_bytes(CT_BLOB_PRINT, &prints[2].digest));
	cr_expect_eq(ct_process_remake_prints(process, &digest), 0);
	expect_prints(&digest);
}

Test(process, remake_with_other_bytes_replaces)
{
	struct ct_print_row prints[3];
	const struct ct_digest digest = make_ready_photo(prints);
	pool.version = 2;
	cr_expect_eq(ct_process_remake_prints(process, &digest), 0);
	expect_prints(&digest);
	cr_expect_eq(count_print_files(0), 0);
	cr_expect_eq(count_print_files(2), 3);
}

Test(process, remake_for_nobody_leaves_nothing)
{
	struct ct_print_row print;
	pool.delete_image = 1;
	const struct ct_digest digest = insert_photo(1);
	cr_expect_eq(ct_process_remake_prints(process, &digest), CT_ERROR_NOT_FOUND);
	cr_expect_eq(list_prints(&digest, &print, 1), 0);
	cr_expect_eq(count_print_files(0), 0);
	const struct ct_digest unknown = { .bytes = { 1 } };
	cr_expect_eq(ct_process_remake_prints(process, &unknown), CT_ERROR_NOT_FOUND);
}

Test(process_on_disk, remake_tells_why_it_failed)
{
	struct ct_print_row prints[3];
	const struct ct_digest digest = make_ready_photo(prints);
	pool.error = CT_ERROR_WORKER_UNAVAILABLE;
	cr_expect_eq(ct_process_remake_prints(process, &digest), CT_ERROR_WORKER_UNAVAILABLE);
	damage("objects", &digest);
	cr_expect_eq(ct_process_remake_prints(process, &digest), CT_ERROR_DIGEST_MISMATCH);
	expect_prints(&digest);
}

static void expect_same_facts(int number)
{
	struct ct_image_row image;
	cr_assert_eq(find_image(number, &image), 0);
	cr_expect_eq(image.state, CT_IMAGE_READY);
	cr_expect_eq(image.width, 4000);
	cr_expect_eq(image.height, 3000);
	cr_expect_eq(image.frames, 1);
	cr_expect_eq(image.orientation, 6);
	cr_expect_str_eq(image.blurhash, "LKO2");
	cr_expect_str_eq(image.exif, "{\"iso\":100}");
}

Test(process, same_photo_twice_is_developed_once)
{
	struct ct_print_row prints[3];
	const struct ct_digest digest = make_ready_photo(prints);
	(void)insert_photo(2);
	struct ct_job_row row = run_job(2, CT_JOB_SUCCEEDED);
	cr_expect_not_null(strstr(row.response, "\"state\":\"ready\""));
	cr_expect_not_null(strstr(row.response, "/i/00000000000000000000000000000002?w=1280"));
	ct_job_row_done(&row);
	expect_prints(&digest);
	expect_same_facts(2);
	cr_expect_eq(count_print_files(0), 3);
	cr_expect_eq(count_events("image.ready", 2), 1);
	cr_expect_eq(pool.calls, 1);
}

static int delete_print(struct ct_metadata_view *view, void *arg)
{
	struct ct_print_row rows[3];
	int r = ct_image_delete(view, "00000000000000000000000000000001");
	if (r == 0)
		r = ct_print_delete_orphans(view, arg, rows, 3);
	for (int i = 0; i < 2 && r > 0; i++)
		r = ct_print_put(view, &rows[i]) < 0 ? -1 : r;
	return r;
}

/* As after an update of the server that makes other prints. */
Test(process, twin_that_lacks_a_print_is_no_help)
{
	struct ct_print_row prints[3];
	struct ct_digest digest = make_ready_photo(prints);
	write_database(delete_print, &digest);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_READY, 1);
	(void)insert_photo(2);
	struct ct_job_row row = run_job(2, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	expect_prints(&digest);
	cr_expect_eq(pool.calls, 2);
}

Test(process, failed_twin_is_no_help)
{
	pool.error = CT_ERROR_UNDECODABLE_IMAGE;
	(void)insert_photo(1);
	struct ct_job_row row = run_job(1, CT_JOB_FAILED);
	ct_job_row_done(&row);
	pool.error = 0;
	(void)insert_photo(2);
	row = run_job(2, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	cr_expect_eq(pool.calls, 2);
}

static void delete_first(void)
{
	struct ct_images *images = NULL;
	const struct ct_images_options options = { .metadata = fixture.metadata, .store = store };
	cr_assert_eq(ct_images_new(&options, &images), 0);
	cr_assert_eq(ct_images_delete(images, "00000000000000000000000000000001"), 0);
	ct_images_free(images);
}

/* The twin goes between the look at it and the commit: its facts and prints are ours by then. */
Test(process, twin_that_is_deleted_meanwhile_leaves_its_prints)
{
	struct ct_print_row prints[3];
	const struct ct_digest digest = make_ready_photo(prints);
	(void)insert_photo(2);
	struct copy copy = { .row = make_job(2, CT_PROCESS_IMAGE) };
	(void)id_of(2, copy.row.image_id);
	const struct ct_job_kind kind = ct_process_kind(process);
	kind.run(NULL, &copy.row, &copy.outcome, kind.context);
	cr_expect_eq(pool.calls, 1);
	delete_first();
	write_database(commit_copy, &copy);
	copy.outcome.release(copy.outcome.arg);
	ct_json_free(copy.outcome.response);
	expect_same_facts(2);
	expect_prints(&digest);
}

/* The twin goes before the look: nothing is known any more. */
Test(process, twin_that_was_deleted_before_is_no_help)
{
	struct ct_print_row prints[3];
	const struct ct_digest digest = make_ready_photo(prints);
	(void)insert_photo(2);
	delete_first();
	struct ct_job_row row = run_job(2, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	expect_same_facts(2);
	expect_prints(&digest);
	cr_expect_eq(pool.calls, 2);
}

/* Both are deleted: the copy's job is canceled, the last one has taken the prints along. */
Test(process, copy_that_is_deleted_leaves_no_prints)
{
	struct ct_print_row prints[3];
	const struct ct_digest digest = make_ready_photo(prints);
	(void)insert_photo(2);
	struct copy copy = { .row = make_job(2, CT_PROCESS_IMAGE) };
	(void)id_of(2, copy.row.image_id);
	const struct ct_job_kind kind = ct_process_kind(process);
	kind.run(NULL, &copy.row, &copy.outcome, kind.context);
	int second = 2;
	write_database(run_delete, &second);
	delete_first();
	cr_expect_eq(ct_metadata_write(fixture.metadata, commit_copy, &copy), CT_ERROR_NOT_FOUND);
	copy.outcome.release(copy.outcome.arg);
	cr_expect_eq(list_prints(&digest, prints, 3), 0);
	cr_expect_eq(count_print_files(0), 0);
}

Test(process, prints_that_do_not_all_fit_leave_nothing)
{
	uint64_t before;
	uint64_t after;
	pool.print_bytes = 400000; /* the store holds a MiB */
	const struct ct_digest digest = insert_photo(1);
	cr_assert_eq(ct_blob_store_available(store, &before), 0);
	cr_expect_eq(ct_process_remake_prints(process, &digest), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(ct_blob_store_available(store, &after), 0);
	cr_expect_eq(after, before);
}

Test(process, types_that_get_prints)
{
	cr_expect(ct_process_is_decodable("image/jpeg"));
	cr_expect(ct_process_is_decodable("image/png"));
	cr_expect(ct_process_is_decodable("image/webp"));
	cr_expect(ct_process_is_decodable("image/gif"));
	cr_expect_not(ct_process_is_decodable("image/svg+xml"));
	cr_expect_not(ct_process_is_decodable(""));
}
