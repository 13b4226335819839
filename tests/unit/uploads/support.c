#include "support.h"
#include "samples.h"

#include "base/clock.h"
#include "base/hash.h"
#include "calotype/blob_open.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/uploads.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- fixture ---- */

static void open_parts(struct fixture *fixture)
{
	char path[128];
	struct ct_thread_pool_options pool = { "commit", 2, 64 };

	(void)snprintf(path, sizeof(path), "%s/db", fixture->directory);
	struct ct_metadata_options metadata = { .path = path, .busy_ms = fixture->busy_ms };
	cr_assert_eq(ct_metadata_open(&metadata, &fixture->metadata), 0);
	cr_assert_eq(ct_thread_pool_new(&pool, &fixture->pool), 0);
}

static void start_uploads(struct fixture *fixture)
{
	fixture->options.metadata = fixture->metadata;
	fixture->options.store = fixture->store;
	fixture->options.commit_pool = fixture->pool;
	fixture->options.owner = "test";
	cr_assert_eq(ct_uploads_new(&fixture->options, &fixture->uploads), 0);
	cr_assert_eq(ct_uploads_start(fixture->uploads), 0);
}

static void make_directory(struct fixture *fixture)
{
	*fixture = (struct fixture){ .directory = "/tmp/calotype-uploads-XXXXXX" };
	cr_assert_not_null(mkdtemp(fixture->directory));
}

void fixture_open(
    struct fixture *fixture, const struct ct_uploads_options *options, uint64_t capacity_bytes)
{
	struct ct_blob_store *memory;

	make_directory(fixture);
	fixture->options = *options;
	open_parts(fixture);
	cr_assert_eq(ct_failing_plan_new(&fixture->plan), 0);
	cr_assert_eq(ct_blob_store_open_memory(capacity_bytes, &memory), 0);
	cr_assert_eq(ct_blob_store_open_failing(memory, fixture->plan, &fixture->store), 0);
	start_uploads(fixture);
}

void fixture_open_disk(struct fixture *fixture)
{
	make_directory(fixture);
	struct ct_disk_options disk = { .directory = fixture->directory };
	open_parts(fixture);
	cr_assert_eq(ct_blob_store_open_disk(&disk, &fixture->store), 0);
	start_uploads(fixture);
}

static void stop_uploads(struct fixture *fixture)
{
	cr_assert_eq(ct_uploads_stop(fixture->uploads, 10000), 0);
	ct_uploads_free(fixture->uploads);
}

void fixture_restart(struct fixture *fixture)
{
	stop_uploads(fixture);
	start_uploads(fixture);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)type, (void)where;
	return remove(path);
}

void fixture_close(struct fixture *fixture)
{
	stop_uploads(fixture);
	ct_thread_pool_free(fixture->pool);
	ct_metadata_close(fixture->metadata);
	ct_blob_store_close(fixture->store);
	ct_failing_plan_free(fixture->plan);
	cr_assert_eq(nftw(fixture->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

char *make_png(size_t length, unsigned seed)
{
	const struct sample *sample = &samples[SAMPLE_PNG];
	char *data = malloc(length);
	uint32_t state = seed * 2654435761u + 1;

	cr_assert_not_null(data);
	for (size_t i = 0; i < length; i++) {
		state = state * 1664525u + 1013904223u;
		data[i] = (char)(state >> 24);
	}
	memcpy(data, sample->data, sample->length < length ? sample->length : length);
	return data;
}

char *make_text(size_t length)
{
	char *data = malloc(length);

	cr_assert_not_null(data);
	for (size_t i = 0; i < length; i++)
		data[i] = "just words\n"[i % 11];
	return data;
}

/* ---- awaited steps ---- */

struct awaited {
	struct ct_lock lock;
	struct ct_condition changed;
	bool is_done;
	int result;
};

static void done(void *arg, int result)
{
	struct awaited *awaited = arg;

	ct_lock_take(&awaited->lock);
	awaited->is_done = true;
	awaited->result = result;
	ct_condition_broadcast(&awaited->changed);
	ct_lock_release(&awaited->lock);
}

static void await_begin(struct awaited *awaited)
{
	*awaited = (struct awaited){ .is_done = false };
	ct_lock_init(&awaited->lock, CT_LOCK_LEAF);
	ct_condition_init(&awaited->changed);
}

static int await(struct awaited *awaited, int started)
{
	int64_t deadline_ms = ct_clock_monotonic_ms() + 30000;
	int r = 0;

	ct_lock_take(&awaited->lock);
	while (started == 0 && !awaited->is_done && r == 0)
		r = ct_condition_wait_until(&awaited->changed, &awaited->lock, deadline_ms);
	cr_assert_eq(r, 0, "a step did not end");
	r = started < 0 ? started : awaited->result;
	ct_lock_release(&awaited->lock);
	ct_condition_done(&awaited->changed);
	ct_lock_done(&awaited->lock);
	return r;
}

struct ct_session *session_new(struct fixture *fixture)
{
	struct ct_session *session;

	cr_assert_eq(ct_session_new(fixture->uploads, "request", NULL, NULL, &session), 0);
	return session;
}

int create_as(struct ct_session *session, const struct ct_session_start *start)
{
	struct awaited awaited;

	await_begin(&awaited);
	return await(&awaited, ct_session_create(session, start, done, &awaited));
}

int join(
    struct ct_session *session, const struct ct_session_start *start, const struct ct_parts *parts)
{
	struct awaited awaited;

	await_begin(&awaited);
	return await(&awaited, ct_session_join(session, start, parts, done, &awaited));
}

int create(struct ct_session *session, uint64_t length)
{
	struct ct_session_start start = {
		.length_bytes = length,
		.filename = "a.png",
		.metadata = "filename YS5wbmc=",
		.key_id = "",
	};

	return create_as(session, &start);
}

int open_for(struct ct_session *session, const char *id, enum ct_session_purpose purpose,
    uint64_t offset, uint64_t body_bytes)
{
	struct awaited awaited;
	struct ct_session_open open = {
		.id = id,
		.purpose = purpose,
		.offset = offset,
		.body_bytes = body_bytes,
	};

	await_begin(&awaited);
	return await(&awaited, ct_session_open(session, &open, done, &awaited));
}

int open_to_end(struct ct_session *session, const char *id, uint64_t offset)
{
	struct awaited awaited;
	struct ct_session_open open = {
		.id = id,
		.purpose = CT_SESSION_APPEND,
		.offset = offset,
		.awaits_end = true,
	};

	await_begin(&awaited);
	return await(&awaited, ct_session_open(session, &open, done, &awaited));
}

int open_telling(struct ct_session *session, const char *id, uint64_t offset, uint64_t body_bytes,
    uint64_t length)
{
	struct awaited awaited;
	struct ct_session_open open = {
		.id = id,
		.purpose = CT_SESSION_APPEND,
		.offset = offset,
		.body_bytes = body_bytes,
		.has_length = true,
		.length_bytes = length,
	};

	await_begin(&awaited);
	return await(&awaited, ct_session_open(session, &open, done, &awaited));
}

int checkpoint(struct ct_session *session)
{
	struct awaited awaited;

	await_begin(&awaited);
	return await(&awaited, ct_session_checkpoint(session, done, &awaited));
}

int save(struct ct_session *session)
{
	struct awaited awaited;

	await_begin(&awaited);
	return await(&awaited, ct_session_save(session, done, &awaited));
}

int finish(struct ct_session *session)
{
	struct awaited awaited;

	await_begin(&awaited);
	return await(&awaited, ct_session_finish(session, done, &awaited));
}

int refuse(struct ct_session *session, int error)
{
	struct awaited awaited;

	await_begin(&awaited);
	return await(&awaited, ct_session_refuse(session, error, done, &awaited));
}

int cancel(struct ct_session *session)
{
	struct awaited awaited;

	await_begin(&awaited);
	return await(&awaited, ct_session_cancel(session, done, &awaited));
}

void end(struct fixture *fixture, struct ct_session *session)
{
	ct_session_end(session);
	cr_assert_eq(ct_registry_wait_idle(&fixture->uploads->registry, 10000), 0);
}

void break_off(struct fixture *fixture, const char *data, size_t length, size_t sent,
    char ret_id[CT_ID_CHARS + 1])
{
	struct ct_session *session = session_new(fixture);

	cr_assert_eq(create(session, length), 0);
	memcpy(ret_id, ct_session_row(session)->id, CT_ID_CHARS + 1);
	cr_assert_eq(ct_session_append(session, data, sent), 0);
	end(fixture, session);
}

int continue_to_end(
    struct fixture *fixture, const char *id, const char *data, size_t length, size_t offset)
{
	struct ct_session *session = session_new(fixture);

	int r = open_for(session, id, CT_SESSION_APPEND, offset, length - offset);
	if (r == 0)
		r = ct_session_append(session, data + offset, length - offset);
	if (r == 0)
		r = finish(session);
	end(fixture, session);
	return r;
}

/* ---- looking ---- */

struct ct_upload_row row_of(struct fixture *fixture, const char *id)
{
	struct ct_metadata_view *view;
	struct ct_upload_row row = { .state = CT_UPLOAD_STATE_COUNT };

	cr_assert_eq(ct_metadata_borrow(fixture->metadata, &view), 0);
	int r = ct_upload_get(view, id, &row);
	ct_metadata_give_back(fixture->metadata, view);
	cr_assert(r == 0 || r == CT_ERROR_NOT_FOUND);
	return row;
}

static void check_blob(
    struct fixture *fixture, const struct ct_digest *digest, const char *data, size_t length)
{
	struct ct_blob_reader *reader;
	struct ct_digest expected;
	char *found = malloc(length);

	ct_hash_once(data, length, &expected);
	cr_assert(ct_digest_equal(&expected, digest));
	cr_assert_eq(ct_blob_reader_open(fixture->store, CT_BLOB_ORIGINAL, digest, &reader), 0);
	cr_assert_eq(ct_blob_reader_size(reader), length);
	cr_assert_eq(ct_blob_reader_read(reader, 0, found, length), 0);
	cr_assert_eq(memcmp(found, data, length), 0);
	ct_blob_reader_close(reader);
	free(found);
}

void check_image(struct fixture *fixture, const char *id, const char *data, size_t length)
{
	struct ct_metadata_view *view;
	struct ct_upload_row row = row_of(fixture, id);
	struct ct_image_row image;
	struct ct_job_row job;
	struct ct_blob_row blob;

	cr_assert_eq(row.state, CT_UPLOAD_DONE);
	cr_assert_eq(row.at.offset, length);
	cr_assert_eq(ct_metadata_borrow(fixture->metadata, &view), 0);
	cr_assert_eq(ct_image_get(view, row.image_id, &image), 0);
	cr_assert_eq(ct_job_get(view, row.job_id, &job), 0);
	cr_assert_eq(ct_blob_get(view, &image.digest, &blob), 0);
	ct_metadata_give_back(fixture->metadata, view);
	cr_assert_eq(image.state, CT_IMAGE_PENDING);
	cr_assert_str_eq(image.job_id, row.job_id);
	cr_assert_eq(image.size_bytes, length);
	cr_assert_str_eq(image.filename, row.filename);
	cr_assert_str_eq(job.kind, "process_image");
	cr_assert_eq(job.state, CT_JOB_QUEUED);
	cr_assert_str_eq(job.image_id, row.image_id);
	cr_assert_str_eq(job.upload_id, id);
	ct_job_row_done(&job);
	check_blob(fixture, &image.digest, data, length);
}

static int count_one(const char *staging_id, int64_t modified_ms, void *arg)
{
	int *count = arg;

	(void)staging_id, (void)modified_ms;
	(*count)++;
	return 0;
}

int count_staging(struct fixture *fixture)
{
	int count = 0;

	cr_assert_eq(ct_blob_staging_visit(fixture->store, count_one, &count), 0);
	return count;
}

int count_images(struct fixture *fixture)
{
	struct ct_metadata_view *view;
	struct ct_image_row *rows = calloc(64, sizeof(*rows));

	cr_assert_eq(ct_metadata_borrow(fixture->metadata, &view), 0);
	int count = ct_image_list(view, CT_IMAGE_PENDING, 0, "", rows, 64);
	ct_metadata_give_back(fixture->metadata, view);
	free(rows);
	return count;
}
