#include "operations.h"
#include "audit.h"
#include "house.h"

#include "calotype/error.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define MAX_OPEN 10   /* fewer than the housekeeper's batch */
#define MAX_IMAGES 60 /* then no upload is finished, so that each operation keeps its place */

static struct model_content *choose_content(struct model *model)
{
	/* Half of them are of the first few, so that the same bytes often meet. */
	return &model->contents[model_random(model, model_chance(model, 50) ? 3 : MODEL_CONTENTS)];
}

static bool has_room(const struct model *model)
{
	return model_image_count(model) < MAX_IMAGES;
}

static bool is_free(const struct model *model, const struct model_upload *upload)
{
	(void)model;
	return upload->session == NULL;
}

static bool can_append(const struct model *model, const struct model_upload *upload)
{
	(void)model;
	return upload->session != NULL && !upload->is_spoiled &&
	       upload->sent < upload->content->length;
}

static bool can_finish(const struct model *model, const struct model_upload *upload)
{
	return has_room(model) && upload->session != NULL && !upload->is_spoiled &&
	       upload->sent == upload->content->length;
}

/* An end at the last byte finishes. */
static bool can_break(const struct model *model, const struct model_upload *upload)
{
	return upload->session != NULL &&
	       (has_room(model) || upload->sent < upload->content->length);
}

static bool can_resume(const struct model *model, const struct model_upload *upload)
{
	return upload->session == NULL && model_is_open(upload) && has_room(model);
}

static bool has_ended(const struct model *model, const struct model_upload *upload)
{
	(void)model;
	return upload->session == NULL && !model_is_open(upload);
}

static unsigned count_held(const struct model *model)
{
	unsigned count = 0;

	for (int i = 0; i < MODEL_UPLOADS; i++)
		count += model->uploads[i].id[0] != '\0' && model->uploads[i].session != NULL;
	return count;
}

static void interrupted(void *arg)
{
	struct model_upload *upload = arg;

	atomic_store(&upload->is_interrupted, true);
}

/* For `upload` if it is to hold it, else NULL. */
static struct ct_session *new_session(
    struct model *model, struct world *world, struct model_upload *upload)
{
	struct ct_session *session = NULL;
	int r = world_session(world, upload != NULL ? interrupted : NULL, upload, &session);

	MODEL_EXPECT(model, r == 0, "%d", r);
	return session;
}

static void end_session(struct world *world, struct model_upload *upload)
{
	world_end(world, upload->session);
	upload->session = NULL;
	upload->sent = 0;
	upload->is_spoiled = false;
}

/* ---- resumable uploads ---- */

static bool do_create(struct model *model, struct world *world)
{
	struct model_upload *upload = model_free_upload(model);
	struct model_content *content = choose_content(model);
	bool fits = content->length <= world->capacity_bytes - model_used_bytes(model);

	if (count_held(model) >= MAX_OPEN)
		return false;
	if (upload == NULL) {
		/* What has ended is forgotten by the model alone. */
		upload = model_pick_upload(model, has_ended);
		if (upload == NULL)
			return false;
		upload->id[0] = '\0';
	}
	model_trace(model, "create", NULL);
	struct ct_session *session = new_session(model, world, upload);
	int r = world_create(world, session, content->length);
	if (world_is_dead(world)) {
		model_created(model, upload, ct_session_row(session)->id, content);
		upload->session = session;
		upload->doubt = r == 0 ? 0 : MAY_BE_CREATED;
		return true;
	}
	MODEL_EXPECT(model, r == (fits ? 0 : CT_ERROR_INSUFFICIENT_SPACE), "%d, fits %d", r, fits);
	if (r == 0) {
		model_created(model, upload, ct_session_row(session)->id, content);
		upload->session = session;
		if (model_chance(model, 80))
			return true;
		upload->session = NULL;
	}
	world_end(world, session);
	return true;
}

/* From `sent`, at least one byte. */
static size_t choose_piece(struct model *model, size_t left)
{
	if (model_chance(model, 40))
		return left;
	return 1 + model_random(model, (unsigned)(left < 20000 ? left : 20000));
}

/* Acknowledged; if it died right then, its staging file may be there still. */
static void ended(struct model *model, struct world *world, struct model_upload *upload,
    enum ct_upload_state state)
{
	upload->doubt = world_is_dead(world) ? MAY_LEAVE_STAGING : 0;
	model_ended(model, upload, state);
}

static bool do_append(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, can_append);
	if (upload == NULL)
		return false;
	struct model_content *content = upload->content;
	size_t piece = choose_piece(model, content->length - upload->sent);
	bool spoils = !content->is_taken && upload->sent + piece == content->length;

	model_trace(model, "append", upload->id);
	int r = ct_session_append(upload->session, content->data + upload->sent, piece);
	if (world_is_dead(world)) {
		upload->is_spoiled = true;
		return true;
	}
	MODEL_EXPECT(model, r == (spoils ? CT_ERROR_UNSUPPORTED_TYPE : 0), "%d", r);
	upload->written_at = model->now_ms;
	upload->is_spoiled = spoils;
	upload->sent += piece;
	if (!spoils || model_chance(model, 30))
		return true;
	upload->doubt = MAY_BE_REFUSED | MAY_LEAVE_STAGING;
	r = world_refuse(world, upload->session, CT_ERROR_UNSUPPORTED_TYPE);
	MODEL_EXPECT(model, r == 0 || world_is_dead(world), "%d", r);
	if (r == 0)
		ended(model, world, upload, CT_UPLOAD_REFUSED);
	if (!world_is_dead(world))
		end_session(world, upload);
	return true;
}

static bool do_overrun(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, can_append);
	static const char data[70000];

	(void)world;
	if (upload == NULL)
		return false;
	model_trace(model, "overrun", upload->id);
	int r = ct_session_append(
	    upload->session, data, upload->content->length - (size_t)upload->sent + 1);
	MODEL_EXPECT(model, r == CT_ERROR_TOO_LARGE, "%d", r);
	return true;
}

static bool do_checkpoint(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, can_append);
	if (upload == NULL)
		return false;
	bool goes_on = model_chance(model, 50);

	model_trace(model, goes_on ? "checkpoint" : "save", upload->id);
	upload->doubt = MAY_BE_SAVED;
	int r =
	    goes_on ? world_checkpoint(world, upload->session) : world_save(world, upload->session);
	MODEL_EXPECT(model, r == 0 || world_is_dead(world), "%d", r);
	if (r < 0)
		return true;
	upload->doubt = 0;
	model_saved(model, upload);
	if (!goes_on && !world_is_dead(world))
		end_session(world, upload);
	else
		upload->is_spoiled |= !goes_on;
	return true;
}

/* It crashes within one of the next operations on the store, at any step. */
static void doom(struct model *model, struct world *world, unsigned within)
{
	world->commits_fail = model_chance(model, 50);
	mortal_set_death(world->mortal, 1 + model_random(model, within), model_chance(model, 50));
}

static void finished(struct model *model, struct model_upload *upload)
{
	const struct ct_upload_row *row = ct_session_row(upload->session);

	MODEL_EXPECT(model, row->state == CT_UPLOAD_DONE && row->image_id[0] != '\0',
	    "finished, but %s", ct_upload_state_name(row->state));
	upload->doubt = 0;
	model_finished(model, upload, row->image_id);
}

static bool do_finish(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, can_finish);
	if (upload == NULL)
		return false;

	model_trace(model, "finish", upload->id);
	if (model_chance(model, 3))
		doom(model, world, 2);
	upload->doubt = MAY_BE_FINISHED;
	int r = world_finish(world, upload->session);
	MODEL_EXPECT(model, r == 0 || world_is_dead(world), "%d", r);
	if (r == 0)
		finished(model, upload);
	if (!world_is_dead(world))
		end_session(world, upload);
	return true;
}

/* The connection breaks: what was sent is saved, or finished, in the background. */
static void break_off(struct model *model, struct world *world, struct model_upload *upload)
{
	bool has_more = upload->sent > upload->offset && !upload->is_spoiled;
	bool is_whole = upload->sent == upload->content->length;

	upload->doubt = !has_more ? 0 : is_whole ? MAY_BE_FINISHED : MAY_BE_SAVED;
	world_end(world, upload->session);
	upload->session = NULL;
	if (world_is_dead(world))
		return;
	upload->doubt = 0;
	if (has_more && is_whole)
		audit_finished(model, world, upload);
	else if (has_more)
		model_saved(model, upload);
	upload->sent = 0;
	upload->is_spoiled = false;
}

static bool do_break(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, can_break);
	if (upload == NULL)
		return false;
	model_trace(model, "break", upload->id);
	break_off(model, world, upload);
	return true;
}

/* The result of opening one that is there, and what that alone has done to it. */
static void opened(struct model *model, struct world *world, struct model_upload *upload,
    struct ct_session *session, int r)
{
	if (upload->state == CT_UPLOAD_FINISHING) {
		upload->doubt = MAY_BE_FINISHED;
		MODEL_EXPECT(model, r == 0 || world_is_dead(world), "%d", r);
		if (r < 0)
			return;
		upload->session = session;
		finished(model, upload);
		upload->session = NULL;
		return;
	}
	if (world_is_dead(world))
		return;
	MODEL_EXPECT(
	    model, r == (model_is_expired(model, upload) ? CT_ERROR_GONE : 0), "opened: %d", r);
	const struct ct_upload_row *row = ct_session_row(session);
	MODEL_EXPECT(model, row->state == upload->state, "%s, not %s",
	    ct_upload_state_name(row->state), ct_upload_state_name(upload->state));
	MODEL_EXPECT(model, row->at.offset == upload->offset, "at %llu, acknowledged %llu",
	    (unsigned long long)row->at.offset, (unsigned long long)upload->offset);
}

static bool do_resume(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, can_resume);

	if (upload == NULL || count_held(model) >= MAX_OPEN)
		return false;
	model_trace(model, "resume", upload->id);
	struct ct_session *session = new_session(model, world, upload);
	int r = world_open_session(world, session, upload->id, CT_SESSION_APPEND, upload->offset);
	opened(model, world, upload, session, r);
	if (r == 0 && upload->state == CT_UPLOAD_RECEIVING && !world_is_dead(world)) {
		upload->session = session;
		upload->sent = upload->offset;
		model->resumed++;
	} else {
		world_end(world, session);
	}
	return true;
}

static bool do_wrong_offset(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, can_resume);

	if (upload == NULL || upload->state != CT_UPLOAD_RECEIVING)
		return false;
	model_trace(model, "wrong offset", upload->id);
	struct ct_session *session = new_session(model, world, NULL);
	int r =
	    world_open_session(world, session, upload->id, CT_SESSION_APPEND, upload->offset + 1);
	int expected = model_is_expired(model, upload) ? CT_ERROR_GONE : CT_ERROR_OFFSET_CONFLICT;
	MODEL_EXPECT(model, r == expected, "%d, not %d", r, expected);
	world_end(world, session);
	return true;
}

static bool do_head(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, is_free);

	if (upload == NULL || (upload->state == CT_UPLOAD_FINISHING && !has_room(model)))
		return false;
	model_trace(model, "head", upload->id);
	struct ct_session *session = new_session(model, world, NULL);
	int r = world_open_session(world, session, upload->id, CT_SESSION_READ, 0);
	opened(model, world, upload, session, r);
	world_end(world, session);
	return true;
}

static bool do_cancel(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, is_free);

	if (upload == NULL || (upload->state == CT_UPLOAD_FINISHING && !has_room(model)))
		return false;
	model_trace(model, "cancel", upload->id);
	struct ct_session *session = new_session(model, world, NULL);
	int r = world_open_session(world, session, upload->id, CT_SESSION_CANCEL, 0);
	opened(model, world, upload, session, r);
	if (r == 0 && (model_is_open(upload) || upload->state == CT_UPLOAD_DONE) &&
	    !world_is_dead(world)) {
		upload->doubt = MAY_BE_CANCELED | MAY_LEAVE_STAGING;
		r = world_cancel(world, session);
		MODEL_EXPECT(model, r == 0 || world_is_dead(world), "%d", r);
		if (r == 0)
			ended(model, world, upload, CT_UPLOAD_CANCELED);
	}
	world_end(world, session);
	return true;
}

/* A client comes back while its dead connection still holds the upload. */
static bool do_take_over(struct model *model, struct world *world)
{
	struct model_upload *upload = model_pick_upload(model, can_append);

	if (upload == NULL)
		return false;
	model_trace(model, "take over", upload->id);
	atomic_store(&upload->is_interrupted, false);
	struct ct_session *heir = new_session(model, world, upload);
	int started = world_start_open(world, heir, upload->id, CT_SESSION_APPEND, upload->sent);
	MODEL_EXPECT(model, started == 0, "%d", started);
	MODEL_EXPECT(model, atomic_load(&upload->is_interrupted), "the holder is not asked to end");
	upload->doubt = upload->sent > upload->offset ? MAY_BE_SAVED : 0;
	world_end(world, upload->session);
	upload->session = heir;
	int r = world_await(world, started);
	if (world_is_dead(world))
		return true;
	upload->doubt = 0;
	if (upload->sent > upload->offset)
		model_saved(model, upload);
	int expected = model_is_expired(model, upload) ? CT_ERROR_GONE : 0;
	MODEL_EXPECT(model, r == expected, "%d, not %d", r, expected);
	if (r < 0)
		end_session(world, upload);
	else
		MODEL_EXPECT(model, ct_session_offset(heir) == upload->offset, "elsewhere");
	return true;
}

/* ---- whole uploads ---- */

static struct model_whole *pick_whole(struct model *model)
{
	struct model_whole *whole = &model->wholes[model_random(model, MODEL_WHOLES)];

	return whole->session != NULL ? whole : NULL;
}

static void end_whole(struct world *world, struct model_whole *whole)
{
	world_end(world, whole->session);
	whole->session = NULL;
}

static bool do_begin_whole(struct model *model, struct world *world)
{
	struct model_whole *whole = model_free_whole(model);
	struct model_content *content = choose_content(model);
	bool is_known = model_chance(model, 60);
	bool fits = !is_known || content->length <= world->capacity_bytes - model_used_bytes(model);
	struct ct_session_start start = {
		.length_bytes = is_known ? content->length : CT_BLOB_LENGTH_UNKNOWN,
		.filename = "b.png",
		.key_id = "",
	};

	if (whole == NULL)
		return false;
	model_trace(model, "begin whole", NULL);
	*whole = (struct model_whole){ .content = content, .is_length_known = is_known };
	whole->session = new_session(model, world, NULL);
	int r = ct_session_begin_whole(whole->session, &start);
	MODEL_EXPECT(model, r == (fits ? 0 : CT_ERROR_INSUFFICIENT_SPACE) || world_is_dead(world),
	    "%d, fits %d", r, fits);
	if (r < 0)
		end_whole(world, whole);
	return true;
}

static bool do_append_whole(struct model *model, struct world *world)
{
	struct model_whole *whole = pick_whole(model);
	if (whole == NULL || whole->is_spoiled || whole->sent == whole->content->length)
		return false;
	struct model_content *content = whole->content;
	size_t piece = choose_piece(model, content->length - whole->sent);
	bool fits =
	    whole->is_length_known || piece <= world->capacity_bytes - model_used_bytes(model);
	bool spoils =
	    whole->is_length_known && !content->is_taken && whole->sent + piece == content->length;

	model_trace(model, "append whole", NULL);
	int r = ct_session_append(whole->session, content->data + whole->sent, piece);
	int expected = !fits ? CT_ERROR_INSUFFICIENT_SPACE : spoils ? CT_ERROR_UNSUPPORTED_TYPE : 0;
	MODEL_EXPECT(model, r == expected || world_is_dead(world), "%d, not %d", r, expected);
	whole->is_spoiled = r < 0;
	if (r == 0)
		whole->sent += piece;
	if (r < 0 && !world_is_dead(world))
		end_whole(world, whole);
	return true;
}

static bool do_finish_whole(struct model *model, struct world *world)
{
	struct model_whole *whole = pick_whole(model);
	if (whole == NULL || whole->is_spoiled || whole->sent < whole->content->length ||
	    !has_room(model))
		return false;

	model_trace(model, "finish whole", NULL);
	if (model_chance(model, 2))
		doom(model, world, 1);
	whole->doubt = MAY_BE_FINISHED;
	int r = world_finish(world, whole->session);
	int expected = whole->content->is_taken ? 0 : CT_ERROR_UNSUPPORTED_TYPE;
	MODEL_EXPECT(model, r == expected || world_is_dead(world), "%d, not %d", r, expected);
	if (r == 0) {
		whole->doubt = 0;
		model_imaged(model, whole->content, ct_session_row(whole->session)->image_id);
	}
	if (!world_is_dead(world))
		end_whole(world, whole);
	return true;
}

static bool do_break_whole(struct model *model, struct world *world)
{
	struct model_whole *whole = pick_whole(model);

	if (whole == NULL)
		return false;
	model_trace(model, "break whole", NULL);
	end_whole(world, whole);
	return true;
}

/* ---- images ---- */

static void delete_image(struct model *model, struct world *world, struct model_image *image)
{
	struct model_content *content = image->content;
	char id[CT_ID_CHARS + 1];

	memcpy(id, image->id, sizeof(id));
	model_trace(model, "delete", id);
	int r = ct_images_delete(world->images, id);
	MODEL_EXPECT(model, r == 0, "%d", r);
	model_deleted(model, image);
	audit_deleted(model, world, id, content);
	r = ct_images_delete(world->images, id);
	MODEL_EXPECT(model, r == CT_ERROR_NOT_FOUND, "deleted twice: %d", r);
}

static bool do_delete(struct model *model, struct world *world)
{
	struct model_image *image = model_pick_image(model);

	/* While there are few, seldom: so there are sometimes many and sometimes none. */
	if (image == NULL || (model_image_count(model) < MAX_IMAGES / 2 && model_chance(model, 50)))
		return false;
	delete_image(model, world, image);
	return true;
}

/* All images of one blob, so that nothing refers to it. */
static bool do_delete_blob(struct model *model, struct world *world)
{
	const struct model_image *image = model_pick_image(model);
	const struct model_content *content = image != NULL ? image->content : NULL;

	for (int i = 0; i < MODEL_IMAGES && content != NULL; i++)
		if (model->images[i].id[0] != '\0' && model->images[i].content == content)
			delete_image(model, world, &model->images[i]);
	return content != NULL;
}

static bool do_job(struct model *model, struct world *world)
{
	model_trace(model, "job", NULL);
	return house_run_job(model, world);
}

/* ---- time and ends ---- */

static bool do_wait(struct model *model, struct world *world)
{
	static const int steps[] = { 1, 1, 1, 3, 7, 25 };

	model_trace(model, "wait", NULL);
	model->now_ms += steps[model_random(model, 6)] * MODEL_STEP_MS;
	world_set_time(world, model->now_ms);
	return true;
}

/* What the round would finish needs a place for its image. */
static bool do_tick(struct model *model, struct world *world)
{
	if (model_image_count(model) + MODEL_UPLOADS / 2 > MODEL_IMAGES)
		return false;
	model_trace(model, "tick", NULL);
	/* It awaits many steps by itself: none may come through after a failed one. */
	world->commits_fail = false;
	house_tick(model, world);
	return true;
}

static bool do_sweep(struct model *model, struct world *world)
{
	bool is_alone = model_chance(model, 30);

	if (!is_alone && !do_tick(model, world))
		return false;
	if (world_is_dead(world))
		return true;
	model_trace(model, is_alone ? "sweep alone" : "sweep", NULL);
	world->commits_fail = false;
	house_sweep(model, world);
	return true;
}

static void end_all(struct model *model, struct world *world)
{
	for (int i = 0; i < MODEL_UPLOADS; i++)
		if (model->uploads[i].id[0] != '\0' && model->uploads[i].session != NULL) {
			unsigned doubt = model->uploads[i].doubt;
			bool was_dead = world_is_dead(world);
			break_off(model, world, &model->uploads[i]);
			if (was_dead)
				model->uploads[i].doubt = doubt;
		}
	for (int i = 0; i < MODEL_WHOLES; i++)
		if (model->wholes[i].session != NULL)
			end_whole(world, &model->wholes[i]);
}

/* After a crash: what is there, if it may be so, is what holds from now on. */
static void come_back(struct model *model, struct world *world)
{
	model_trace(model, "come back", NULL);
	end_all(model, world);
	MODEL_EXPECT(model, world_reopen(world) == 0, "does not open again");
	model->crashes++;
	audit_adopt(model, world);
	audit_all(model, world);
}

static bool do_restart(struct model *model, struct world *world)
{
	if (model_image_count(model) + MAX_OPEN > MODEL_IMAGES)
		return false;
	model_trace(model, "restart", NULL);
	end_all(model, world);
	if (world_is_dead(world))
		return true;
	MODEL_EXPECT(model, world_reopen(world) == 0, "does not open again");
	model->restarts++;
	audit_all(model, world);
	return true;
}

static bool do_crash(struct model *model, struct world *world)
{
	model_trace(model, "crash", NULL);
	world->commits_fail = false;
	mortal_die(world->mortal);
	return true;
}

static bool do_doom(struct model *model, struct world *world)
{
	model_trace(model, "doom", NULL);
	doom(model, world, 8);
	return true;
}

static const struct {
	unsigned weight;
	bool (*run)(struct model *model, struct world *world);
} operations[] = {
	{ 120, do_create },
	{ 260, do_append },
	{ 10, do_overrun },
	{ 60, do_checkpoint },
	{ 120, do_finish },
	{ 60, do_break },
	{ 90, do_resume },
	{ 10, do_wrong_offset },
	{ 60, do_head },
	{ 25, do_cancel },
	{ 10, do_take_over },
	{ 40, do_begin_whole },
	{ 80, do_append_whole },
	{ 40, do_finish_whole },
	{ 10, do_break_whole },
	{ 50, do_delete },
	{ 15, do_delete_blob },
	{ 40, do_job },
	{ 20, do_wait },
	{ 4, do_tick },
	{ 10, do_sweep },
	{ 4, do_restart },
	{ 3, do_crash },
	{ 8, do_doom },
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static bool try_one(struct model *model, struct world *world)
{
	unsigned sum = 0;

	for (size_t i = 0; i < OPERATIONS; i++)
		sum += operations[i].weight;
	unsigned chosen = model_random(model, sum);
	for (size_t i = 0; i < OPERATIONS; i++) {
		if (chosen < operations[i].weight)
			return operations[i].run(model, world);
		chosen -= operations[i].weight;
	}
	return false;
}

void operation_run(struct model *model, struct world *world)
{
	world_set_time(world, model->now_ms);
	while (!try_one(model, world))
		;
	if (world_is_dead(world))
		come_back(model, world);
	audit_sums(model, world);
}

void operation_end(struct model *model, struct world *world)
{
	mortal_set_death(world->mortal, 0, false);
	end_all(model, world);
	audit_all(model, world);
}
