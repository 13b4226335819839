#include "house.h"
#include "audit.h"

#include "base/clock.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/events.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "sweeper.h"

#include <string.h>

#define PURGE_LIMIT 1000

/* ---- uploads, retention ---- */

static void foresee(struct model *model, unsigned doubts[MODEL_UPLOADS])
{
	for (int i = 0; i < MODEL_UPLOADS; i++) {
		struct model_upload *upload = &model->uploads[i];

		doubts[i] = 0;
		if (upload->id[0] == '\0')
			continue;
		if (model_will_expire(model, upload))
			doubts[i] = MAY_BE_EXPIRED | MAY_LEAVE_STAGING;
		else if (model_will_be_finished(model, upload))
			doubts[i] = MAY_BE_FINISHED;
		else if (model_will_be_forgotten(model, upload))
			doubts[i] = MAY_BE_FORGOTTEN;
		upload->doubt = doubts[i];
	}
}

static void settle(struct model *model, struct world *world, const unsigned doubts[MODEL_UPLOADS])
{
	for (int i = 0; i < MODEL_UPLOADS; i++) {
		struct model_upload *upload = &model->uploads[i];

		upload->doubt = 0;
		if (doubts[i] & MAY_BE_EXPIRED)
			model_ended(model, upload, CT_UPLOAD_EXPIRED);
		else if (doubts[i] & MAY_BE_FINISHED)
			audit_finished(model, world, upload);
		else if (doubts[i] & MAY_BE_FORGOTTEN)
			audit_forgotten(model, world, upload);
	}
	for (int i = 0; i < MODEL_ORPHANS; i++)
		if (model->orphans[i].id[0] != '\0' &&
		    model->orphans[i].written_at < model->now_ms - MODEL_EXPIRY_MS)
			model->orphans[i].id[0] = '\0';
}

static int purge(struct ct_metadata_view *view, void *arg)
{
	int64_t before = *(const int64_t *)arg - MODEL_KEEP_MS;

	int r = ct_event_purge(view, before, PURGE_LIMIT);
	return r < 0 ? r : ct_job_purge(view, before, PURGE_LIMIT);
}

void house_tick(struct model *model, struct world *world)
{
	unsigned doubts[MODEL_UPLOADS];

	foresee(model, doubts);
	int r = ct_uploads_tick(world->uploads);
	if (world_is_dead(world))
		return;
	MODEL_EXPECT(model, r == 0, "%d", r);
	settle(model, world, doubts);
	audit_events(model, world);
	r = ct_metadata_write(world->metadata, purge, &model->now_ms);
	MODEL_EXPECT(model, r >= 0, "%d", r);
}

void house_sweep(struct model *model, struct world *world)
{
	struct ct_sweep_report report = { 0 };
	struct ct_sweeper sweeper;

	ct_sweeper_init(&sweeper, world->metadata, world->store, MODEL_GRACE_MS);
	model->may_be_swept = true;
	int r = ct_sweeper_run(&sweeper, CT_BLOB_SHARDS, &report);
	if (world_is_dead(world))
		return;
	model->may_be_swept = false;
	MODEL_EXPECT(model, r == 0, "%d", r);
	model_swept(model);
	audit_all(model, world);
}

/* ---- jobs ---- */

struct job_run {
	int64_t now_ms;
	char image_id[CT_ID_CHARS + 1];
	bool is_image_there;
};

static int make_ready(struct ct_metadata_view *view, struct job_run *run)
{
	struct ct_image_row image;

	int r = ct_image_get(view, run->image_id, &image);
	run->is_image_there = r == 0;
	if (r < 0)
		return r == CT_ERROR_NOT_FOUND ? 0 : r;
	image.state = CT_IMAGE_READY;
	return ct_image_update(view, &image);
}

static int run_job(struct ct_metadata_view *view, void *arg)
{
	struct job_run *run = arg;
	struct ct_job_row job;
	int64_t next;

	int r = ct_job_claim(view, "model", run->now_ms, run->now_ms + 1, &job, &next);
	if (r < 0)
		return r;
	memcpy(run->image_id, job.image_id, sizeof(run->image_id));
	r = make_ready(view, run);
	if (r == 0)
		r = ct_job_end(view, job.id, job.token,
		    run->is_image_there ? CT_JOB_SUCCEEDED : CT_JOB_FAILED,
		    run->is_image_there ? "{}" : NULL, run->is_image_there ? NULL : "{}",
		    run->now_ms);
	ct_job_row_done(&job);
	return r;
}

bool house_run_job(struct model *model, struct world *world)
{
	/* Rows may be some moments younger than the model's time. */
	struct job_run run = { .now_ms = model->now_ms + MODEL_HOUR_MS / 2 };
	int r = ct_metadata_write(world->metadata, run_job, &run);

	if (r == CT_ERROR_NOT_FOUND) {
		for (int i = 0; i < MODEL_IMAGES; i++)
			MODEL_EXPECT(model,
			    model->images[i].id[0] == '\0' || model->images[i].is_ready,
			    "no job for %s", model->images[i].id);
		return false;
	}
	MODEL_EXPECT(model, r == 0, "%d", r);
	struct model_image *image = model_find_image(model, run.image_id);
	MODEL_EXPECT(model, (image != NULL) == run.is_image_there, "%s", run.image_id);
	if (image == NULL)
		return true;
	MODEL_EXPECT(model, !image->is_ready, "two jobs for %s", image->id);
	image->is_ready = true;
	image->job_ended_at = model->now_ms;
	return true;
}
