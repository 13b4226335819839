#include "audit.h"

#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/jobs.h"
#include "metadata/sqlite_priv.h"

#include <stdlib.h>
#include <string.h>

#define SLACK_MS (MODEL_HOUR_MS / 4) /* the clock goes on within an operation */
#define TOMBSTONE_MS (30 * MODEL_DAY_MS)

/* ---- looking ---- */

static struct ct_metadata_view *borrow(struct model *model, struct world *world)
{
	struct ct_metadata_view *view = NULL;
	int r = ct_metadata_borrow(world->metadata, &view);

	MODEL_EXPECT(model, r == 0, "%d", r);
	return view;
}

int look_upload(
    struct model *model, struct world *world, const char *id, struct ct_upload_row *ret_row)
{
	struct ct_metadata_view *view = borrow(model, world);
	int r = ct_upload_get(view, id, ret_row);

	ct_metadata_give_back(world->metadata, view);
	MODEL_EXPECT(model, r == 0 || r == CT_ERROR_NOT_FOUND, "%d", r);
	return r;
}

bool look_blob_row(struct model *model, struct world *world, const struct ct_digest *digest,
    struct ct_blob_row *ret_row)
{
	struct ct_metadata_view *view = borrow(model, world);
	int r = ct_blob_get(view, digest, ret_row);

	ct_metadata_give_back(world->metadata, view);
	MODEL_EXPECT(model, r == 0 || r == CT_ERROR_NOT_FOUND, "%d", r);
	return r == 0;
}

bool look_file(
    struct model *model, struct world *world, const struct model_content *content, bool check)
{
	struct ct_blob_reader *reader;
	int r = ct_blob_reader_open(world->store, CT_BLOB_ORIGINAL, &content->digest, &reader);

	MODEL_EXPECT(model, r == 0 || r == CT_ERROR_NOT_FOUND, "%d", r);
	if (r < 0)
		return false;
	MODEL_EXPECT(model, ct_blob_reader_size(reader) == content->length, "a blob's size");
	if (check) {
		r = ct_blob_reader_verify(reader);
		MODEL_EXPECT(model, r == 0, "the bytes of a blob are others: %d", r);
	}
	ct_blob_reader_close(reader);
	return true;
}

/* ---- after each operation ---- */

void audit_sums(struct model *model, struct world *world)
{
	uint64_t free_bytes;
	uint64_t used_bytes = model_used_bytes(model);
	int r = ct_blob_store_available(world->store, &free_bytes);

	MODEL_EXPECT(model, r == 0, "%d", r);
	MODEL_EXPECT(model, world->capacity_bytes - free_bytes == used_bytes,
	    "%llu bytes are taken, blobs and declared lengths are %llu",
	    (unsigned long long)(world->capacity_bytes - free_bytes),
	    (unsigned long long)used_bytes);
	int64_t receiving = ct_upload_open_count(world->metadata);
	MODEL_EXPECT(model, receiving == model_receiving_count(model),
	    "%lld uploads are counted as receiving, %u are", (long long)receiving,
	    model_receiving_count(model));
}

/* ---- rows ---- */

static void check_upload(
    struct model *model, struct world *world, const struct model_upload *upload)
{
	struct ct_upload_row row;
	int r = look_upload(model, world, upload->id, &row);
	bool is_done = upload->image_id[0] != '\0';

	MODEL_EXPECT(model, r == 0, "the upload %s is lost", upload->id);
	MODEL_EXPECT(model, row.state == upload->state, "%s is %s, not %s", upload->id,
	    ct_upload_state_name(row.state), ct_upload_state_name(upload->state));
	MODEL_EXPECT(model, row.at.offset == upload->offset, "%s is at %llu, acknowledged are %llu",
	    upload->id, (unsigned long long)row.at.offset, (unsigned long long)upload->offset);
	MODEL_EXPECT(model, row.length_bytes == upload->content->length, "%s", upload->id);
	MODEL_EXPECT(
	    model, !is_done || strcmp(row.image_id, upload->image_id) == 0, "%s", upload->id);
	MODEL_EXPECT(model,
	    row.state != CT_UPLOAD_RECEIVING ||
		llabs(row.expires_at - upload->expires_at) < SLACK_MS,
	    "%s expires %lld ms too late", upload->id,
	    (long long)(row.expires_at - upload->expires_at));
}

/* A job that has ended is kept for 7 days, and 30 more it answers that it is gone. */
static void check_job(struct model *model, const struct model_image *image,
    struct ct_metadata_view *view, const char *job_id)
{
	int64_t age_ms = model->now_ms - image->job_ended_at;
	struct ct_job_row job = { .state = CT_JOB_STATE_COUNT };
	int r = ct_job_get(view, job_id, &job);

	if (!image->is_ready)
		MODEL_EXPECT(model, r == 0 && job.state == CT_JOB_QUEUED,
		    "the job of %s: %d, in state %d", image->id, r, (int)job.state);
	else if (r == 0)
		MODEL_EXPECT(model, job.state == CT_JOB_SUCCEEDED, "the job of %s is in state %d",
		    image->id, (int)job.state);
	else
		MODEL_EXPECT(model,
		    (r == CT_ERROR_GONE && age_ms > MODEL_KEEP_MS - MODEL_HOUR_MS) ||
			(r == CT_ERROR_NOT_FOUND && age_ms > TOMBSTONE_MS),
		    "the job of %s: %d after %lld ms", image->id, r, (long long)age_ms);
	if (r == 0)
		MODEL_EXPECT(model, strcmp(job.image_id, image->id) == 0, "%s", image->id);
	if (r == 0)
		ct_job_row_done(&job);
}

static void check_image(struct model *model, struct world *world, const struct model_image *image)
{
	struct ct_metadata_view *view = borrow(model, world);
	struct ct_image_row row;
	int r = ct_image_get(view, image->id, &row);

	MODEL_EXPECT(model, r == 0, "the image %s is lost: %d", image->id, r);
	MODEL_EXPECT(model, ct_digest_equal(&row.digest, &image->content->digest),
	    "the image %s has another blob", image->id);
	MODEL_EXPECT(model, row.size_bytes == image->content->length, "%s", image->id);
	MODEL_EXPECT(model, row.state == (image->is_ready ? CT_IMAGE_READY : CT_IMAGE_PENDING),
	    "%s is %s", image->id, ct_image_state_name(row.state));
	check_job(model, image, view, row.job_id);
	ct_metadata_give_back(world->metadata, view);
}

static const char count_images_sql[] = "SELECT count(*) FROM image";

static void check_image_count(struct model *model, struct world *world)
{
	struct ct_metadata_view *view = borrow(model, world);
	struct ct_query query = ct_query_begin(view, count_images_sql);
	int64_t count = ct_query_one(&query) == 0 ? ct_query_number(&query) : -1;

	ct_query_done(&query);
	ct_metadata_give_back(world->metadata, view);
	MODEL_EXPECT(model, count == model_image_count(model), "there are %lld images, not %u",
	    (long long)count, model_image_count(model));
}

void audit_finished(struct model *model, struct world *world, struct model_upload *upload)
{
	struct ct_upload_row row;
	int r = look_upload(model, world, upload->id, &row);

	MODEL_EXPECT(
	    model, r == 0 && row.state == CT_UPLOAD_DONE, "%s: %d, not finished", upload->id, r);
	model_finished(model, upload, row.image_id);
}

void audit_forgotten(struct model *model, struct world *world, struct model_upload *upload)
{
	struct ct_upload_row row;
	int r = look_upload(model, world, upload->id, &row);

	MODEL_EXPECT(model, r == CT_ERROR_NOT_FOUND, "%s is kept for too long", upload->id);
	upload->id[0] = '\0';
}

void audit_deleted(struct model *model, struct world *world, const char *image_id,
    const struct model_content *content)
{
	struct ct_metadata_view *view = borrow(model, world);
	struct ct_image_row row;
	bool is_visible = false;
	bool is_wanted = false;
	int r = ct_image_get(view, image_id, &row);
	int visible = ct_blob_is_visible(view, &content->digest, &is_visible);

	ct_metadata_give_back(world->metadata, view);
	MODEL_EXPECT(model, r == CT_ERROR_NOT_FOUND, "%s was deleted: %d", image_id, r);
	for (int i = 0; i < MODEL_IMAGES; i++)
		is_wanted |= model->images[i].id[0] != '\0' && model->images[i].is_ready &&
			     model->images[i].content == content;
	MODEL_EXPECT(model, visible == 0 && is_visible == is_wanted,
	    "the blob is %svisible after the deletion of %s", is_visible ? "" : "not ", image_id);
}

/* ---- bytes ---- */

static void check_content(
    struct model *model, struct world *world, const struct model_content *content)
{
	struct ct_blob_row row;
	bool has_row = look_blob_row(model, world, &content->digest, &row);
	bool has_file = look_file(model, world, content, true);

	MODEL_EXPECT(model, has_row == content->has_row,
	    "the blob of %zu bytes %s a row, images %d", content->length, has_row ? "has" : "lacks",
	    content->images);
	MODEL_EXPECT(model, has_file == content->has_file,
	    "the blob of %zu bytes %s its file, images %d", content->length,
	    has_file ? "has" : "lacks", content->images);
}

struct visit {
	struct model *model;
	unsigned count;
};

static int see_staging(const char *staging_id, int64_t modified_ms, void *arg)
{
	struct visit *visit = arg;
	const struct model_upload *upload = model_find_upload(visit->model, staging_id);
	bool is_known = upload != NULL && upload->has_staging;

	(void)modified_ms;
	for (int i = 0; i < MODEL_ORPHANS && !is_known; i++)
		is_known = strcmp(visit->model->orphans[i].id, staging_id) == 0;
	MODEL_EXPECT(visit->model, is_known, "the staging file %s is nobody's", staging_id);
	visit->count++;
	return 0;
}

static void check_staging(struct model *model, struct world *world)
{
	struct visit visit = { model, 0 };
	unsigned expected = 0;
	int r = ct_blob_staging_visit(world->store, see_staging, &visit);

	for (int i = 0; i < MODEL_UPLOADS; i++)
		expected += model->uploads[i].id[0] != '\0' && model->uploads[i].has_staging;
	for (int i = 0; i < MODEL_ORPHANS; i++)
		expected += model->orphans[i].id[0] != '\0';
	MODEL_EXPECT(model, r == 0 && visit.count == expected, "%u staging files, not %u",
	    visit.count, expected);
}

/* ---- events ---- */

static const char list_events_sql[] =
    "SELECT id, type, image_id FROM event WHERE id > ? ORDER BY id";

/* The first that is expected of its image must be this one. */
static void take_event(struct model *model, const char *type, const char *image_id)
{
	for (size_t i = 0; i < model->event_count; i++) {
		struct model_event *event = &model->events[i];

		if (strcmp(event->image_id, image_id) != 0)
			continue;
		MODEL_EXPECT(model,
		    strcmp(type, event->is_deletion ? "image.deleted" : "image.created") == 0,
		    "%s came out of order for %s", type, image_id);
		*event = (struct model_event){ .image_id = "seen" };
		return;
	}
	model_fail(model, "%s of %s is too many", type, image_id);
}

void audit_events(struct model *model, struct world *world)
{
	struct ct_metadata_view *view = borrow(model, world);
	struct ct_query query = ct_query_begin(view, list_events_sql);
	char type[32], image_id[CT_ID_CHARS + 1];
	int r;

	ct_query_bind_number(&query, model->last_event);
	while ((r = ct_query_step(&query)) > 0) {
		model->last_event = ct_query_number(&query);
		ct_query_text(&query, type, sizeof(type));
		ct_query_text(&query, image_id, sizeof(image_id));
		take_event(model, type, image_id);
	}
	ct_query_done(&query);
	ct_metadata_give_back(world->metadata, view);
	MODEL_EXPECT(model, r == 0, "%d", r);
	for (size_t i = 0; i < model->event_count; i++)
		MODEL_EXPECT(model, strcmp(model->events[i].image_id, "seen") == 0,
		    "%s of %s is missing",
		    model->events[i].is_deletion ? "image.deleted" : "image.created",
		    model->events[i].image_id);
	model->event_count = 0;
}

/* ---- all ---- */

void audit_all(struct model *model, struct world *world)
{
	for (int i = 0; i < MODEL_UPLOADS; i++)
		if (model->uploads[i].id[0] != '\0')
			check_upload(model, world, &model->uploads[i]);
	for (int i = 0; i < MODEL_IMAGES; i++)
		if (model->images[i].id[0] != '\0')
			check_image(model, world, &model->images[i]);
	check_image_count(model, world);
	for (int i = 0; i < MODEL_CONTENTS; i++)
		check_content(model, world, &model->contents[i]);
	check_staging(model, world);
	audit_sums(model, world);
	audit_events(model, world);
}
