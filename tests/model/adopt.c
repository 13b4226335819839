/*
 * After a crash. A client that got no answer cannot know what came of its last request, and the
 * model does not either: it looks, expects that what it sees is one of the few things that may be,
 * and goes on from there. What was acknowledged is not in doubt.
 */
#include "audit.h"

#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/images.h"

#include <stdlib.h>
#include <string.h>

static void adopt_missing(struct model *model, struct model_upload *upload)
{
	MODEL_EXPECT(model, upload->doubt & (MAY_BE_CREATED | MAY_BE_FORGOTTEN),
	    "the upload %s is lost", upload->id);
	if (upload->has_staging)
		model_orphaned(model, upload);
	upload->id[0] = '\0';
}

static void adopt_receiving(
    struct model *model, struct model_upload *upload, const struct ct_upload_row *row)
{
	bool is_saved = upload->doubt & MAY_BE_SAVED && row->at.offset == upload->sent;

	MODEL_EXPECT(model, upload->state == CT_UPLOAD_RECEIVING, "%s receives again", upload->id);
	MODEL_EXPECT(model, row->at.offset == upload->offset || is_saved,
	    "%s is at %llu, acknowledged were %llu", upload->id, (unsigned long long)row->at.offset,
	    (unsigned long long)upload->offset);
	upload->offset = row->at.offset;
	upload->expires_at = row->expires_at;
	upload->updated_at = row->updated_at;
}

static void adopt_finishing(
    struct model *model, struct model_upload *upload, const struct ct_upload_row *row)
{
	MODEL_EXPECT(model, upload->state == CT_UPLOAD_FINISHING || upload->doubt & MAY_BE_FINISHED,
	    "%s is finishing", upload->id);
	MODEL_EXPECT(
	    model, row->at.offset == upload->content->length, "%s is not complete", upload->id);
	upload->state = CT_UPLOAD_FINISHING;
	upload->offset = row->at.offset;
	upload->updated_at = row->updated_at;
}

static void adopt_ended(
    struct model *model, struct model_upload *upload, const struct ct_upload_row *row)
{
	static const unsigned doubts[CT_UPLOAD_STATE_COUNT] = {
		[CT_UPLOAD_REFUSED] = MAY_BE_REFUSED,
		[CT_UPLOAD_EXPIRED] = MAY_BE_EXPIRED,
		[CT_UPLOAD_CANCELED] = MAY_BE_CANCELED,
	};

	if (row->state == upload->state)
		return;
	MODEL_EXPECT(model, upload->doubt & doubts[row->state], "%s is %s", upload->id,
	    ct_upload_state_name(row->state));
	model_ended(model, upload, row->state);
}

static void adopt_upload(struct model *model, struct world *world, struct model_upload *upload)
{
	struct ct_upload_row row;

	if (look_upload(model, world, upload->id, &row) < 0) {
		adopt_missing(model, upload);
	} else if (row.state == CT_UPLOAD_RECEIVING) {
		adopt_receiving(model, upload, &row);
	} else if (row.state == CT_UPLOAD_FINISHING) {
		adopt_finishing(model, upload, &row);
	} else if (row.state == CT_UPLOAD_DONE && upload->state != CT_UPLOAD_DONE) {
		MODEL_EXPECT(model, upload->doubt & MAY_BE_FINISHED, "%s is done", upload->id);
		model_finished(model, upload, row.image_id);
	} else {
		adopt_ended(model, upload, &row);
	}
	upload->sent = 0;
	upload->is_spoiled = false;
}

/* ---- staging ---- */

struct visit {
	struct model *model;
	bool is_seen[MODEL_UPLOADS];
	bool is_orphan_seen[MODEL_ORPHANS];
};

static bool see_orphan(struct visit *visit, const char *staging_id)
{
	for (int i = 0; i < MODEL_ORPHANS; i++)
		if (strcmp(visit->model->orphans[i].id, staging_id) == 0) {
			visit->is_orphan_seen[i] = true;
			return true;
		}
	return false;
}

static int see_staging(const char *staging_id, int64_t modified_ms, void *arg)
{
	struct visit *visit = arg;
	struct model *model = visit->model;
	struct model_upload *upload = model_find_upload(model, staging_id);

	if (see_orphan(visit, staging_id))
		return 0;
	MODEL_EXPECT(model, upload != NULL, "the staging file %s is nobody's", staging_id);
	visit->is_seen[upload - model->uploads] = true;
	upload->written_at = modified_ms;
	if (model_is_open(upload))
		return 0;
	MODEL_EXPECT(model, upload->doubt & MAY_LEAVE_STAGING,
	    "%s has ended, its staging file is there", staging_id);
	model_orphaned(model, upload);
	return see_orphan(visit, staging_id) ? 0 : -1;
}

static void adopt_staging(struct model *model, struct world *world)
{
	struct visit visit = { .model = model };
	int64_t before = model->now_ms - MODEL_EXPIRY_MS;
	int r = ct_blob_staging_visit(world->store, see_staging, &visit);

	MODEL_EXPECT(model, r == 0, "%d", r);
	for (int i = 0; i < MODEL_UPLOADS; i++) {
		struct model_upload *upload = &model->uploads[i];

		if (upload->id[0] == '\0' || !model_is_open(upload))
			continue;
		/* Complete, it may have been published. */
		MODEL_EXPECT(model, visit.is_seen[i] || upload->state == CT_UPLOAD_FINISHING,
		    "the staging file of %s is lost", upload->id);
		upload->has_staging = visit.is_seen[i];
	}
	for (int i = 0; i < MODEL_ORPHANS; i++) {
		struct model_orphan *orphan = &model->orphans[i];

		if (orphan->id[0] == '\0' || visit.is_orphan_seen[i])
			continue;
		MODEL_EXPECT(model, orphan->is_new || orphan->written_at < before,
		    "a staging file was removed too early: %s", orphan->id);
		orphan->id[0] = '\0';
	}
	for (int i = 0; i < MODEL_ORPHANS; i++)
		model->orphans[i].is_new = false;
}

/* ---- blobs and images ---- */

static bool is_publishing(const struct model *model, const struct model_content *content)
{
	for (int i = 0; i < MODEL_UPLOADS; i++)
		if (model->uploads[i].id[0] != '\0' && model->uploads[i].content == content &&
		    model->uploads[i].doubt & MAY_BE_FINISHED)
			return true;
	for (int i = 0; i < MODEL_WHOLES; i++)
		if (model->wholes[i].content == content && model->wholes[i].doubt & MAY_BE_FINISHED)
			return true;
	return false;
}

struct age {
	const struct ct_digest *digest;
	int64_t modified_ms;
};

static int see_age(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg)
{
	struct age *age = arg;

	if (ct_digest_equal(digest, age->digest))
		age->modified_ms = info->modified_ms;
	return 0;
}

/* It was published again, or it was not. */
static void adopt_age(struct model *model, struct world *world, struct model_content *content)
{
	struct age age = { &content->digest, 0 };
	int r =
	    ct_blob_visit(world->store, CT_BLOB_ORIGINAL, content->digest.bytes[0], see_age, &age);

	MODEL_EXPECT(model, r == 0 && age.modified_ms != 0, "%d", r);
	if (llabs(age.modified_ms - model->now_ms) < MODEL_STEP_MS / 2)
		content->file_at = model->now_ms;
	else
		MODEL_EXPECT(model, llabs(age.modified_ms - content->file_at) < MODEL_STEP_MS / 2,
		    "a file is %lld ms older than it was",
		    (long long)(content->file_at - age.modified_ms));
}

static void adopt_content(struct model *model, struct world *world, struct model_content *content)
{
	struct ct_blob_row row;
	bool has_file = look_file(model, world, content, false);
	bool has_row = look_blob_row(model, world, &content->digest, &row);
	bool may_go = model->may_be_swept && content->images == 0;

	MODEL_EXPECT(model,
	    has_file == content->has_file || may_go || is_publishing(model, content),
	    "the file of the blob of %zu bytes is %s", content->length,
	    has_file ? "there" : "lost");
	MODEL_EXPECT(model, has_row == content->has_row || may_go,
	    "the row of the blob of %zu bytes is %s", content->length, has_row ? "there" : "lost");
	if (has_file && is_publishing(model, content))
		adopt_age(model, world, content);
	content->has_file = has_file;
	content->has_row = has_row;
}

static const struct ct_image_row *find_unknown(
    struct model *model, const struct ct_image_row *rows, int count)
{
	for (int i = 0; i < count; i++)
		if (model_find_image(model, rows[i].id) == NULL)
			return &rows[i];
	return NULL;
}

/* A whole upload that was cut off has an image, or none. */
static void adopt_whole(struct model *model, struct world *world, struct model_whole *whole)
{
	struct ct_metadata_view *view;
	struct ct_image_row *rows = calloc(MODEL_IMAGES, sizeof(*rows));
	int r = ct_metadata_borrow(world->metadata, &view);

	MODEL_EXPECT(model, r == 0 && rows != NULL, "%d", r);
	r = ct_image_list_of_blob(view, &whole->content->digest, rows, MODEL_IMAGES);
	ct_metadata_give_back(world->metadata, view);
	MODEL_EXPECT(model, r >= 0, "%d", r);
	const struct ct_image_row *unknown = find_unknown(model, rows, r);
	if (unknown != NULL)
		model_imaged(model, whole->content, unknown->id);
	free(rows);
}

void audit_adopt(struct model *model, struct world *world)
{
	for (int i = 0; i < MODEL_UPLOADS; i++)
		if (model->uploads[i].id[0] != '\0')
			adopt_upload(model, world, &model->uploads[i]);
	for (int i = 0; i < MODEL_WHOLES; i++)
		if (model->wholes[i].doubt & MAY_BE_FINISHED)
			adopt_whole(model, world, &model->wholes[i]);
	adopt_staging(model, world);
	for (int i = 0; i < MODEL_CONTENTS; i++)
		adopt_content(model, world, &model->contents[i]);
	for (int i = 0; i < MODEL_UPLOADS; i++)
		model->uploads[i].doubt = 0;
	for (int i = 0; i < MODEL_WHOLES; i++)
		model->wholes[i].doubt = 0;
	model->may_be_swept = false;
}
