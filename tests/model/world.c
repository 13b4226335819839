#include "world.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/thread_pool.h"
#include "metadata/sqlite_priv.h"
#include "calotype/blob_open.h"
#include "calotype/error.h"
#include "uploads/uploads_priv.h"

#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 60000 /* for one step; a sanitizer on a busy machine is slow */
#define MAX_QUEUED 2

/* ---- the end of a process ---- */

static int hold_and_fail(struct ct_metadata_view *view, void *arg)
{
	struct world *world = arg;

	(void)view;
	ct_lock_take(&world->lock);
	world->is_frozen = true;
	ct_condition_broadcast(&world->changed);
	while (!world->is_thawed)
		ct_condition_wait(&world->changed, &world->lock);
	ct_lock_release(&world->lock);
	return -EIO;
}

static int only_fail(struct ct_metadata_view *view, void *arg)
{
	(void)view, (void)arg;
	return -EIO;
}

/* The whole group is lost, and with it what was submitted since. */
static int lose_group(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	CT_ASSERT(ct_connection_execute(view, "ROLLBACK") == 0);
	return -EIO;
}

/* Steps are awaited one by one, so nothing else is in the queue. */
static void freeze(void *arg)
{
	struct world *world = arg;
	int64_t deadline_ms = ct_clock_monotonic_ms() + PATIENCE_MS;
	int r = ct_metadata_submit(world->metadata, hold_and_fail, NULL, world);

	CT_ASSERT(r == 0);
	ct_lock_take(&world->lock);
	while (!world->is_frozen && r == 0)
		r = ct_condition_wait_until(&world->changed, &world->lock, deadline_ms);
	ct_lock_release(&world->lock);
	CT_ASSERT(r == 0);
	if (world->commits_fail) {
		CT_ASSERT(ct_metadata_submit(world->metadata, lose_group, NULL, NULL) == 0);
		return;
	}
	for (int i = 0; i < MAX_QUEUED; i++)
		CT_ASSERT(ct_metadata_submit(world->metadata, only_fail, NULL, NULL) == 0);
	CT_ASSERT(ct_metadata_submit(world->metadata, only_fail, NULL, NULL) < 0);
}

static void thaw(struct world *world)
{
	ct_lock_take(&world->lock);
	world->is_thawed = true;
	ct_condition_broadcast(&world->changed);
	ct_lock_release(&world->lock);
}

/* Whoever waits for the commit that fails has had the time to come that far. */
static void thaw_if_waited_for(struct world *world)
{
	if (!mortal_is_dead(world->mortal) || !world->commits_fail)
		return;
	(void)usleep(2000);
	thaw(world);
}

bool world_is_dead(struct world *world)
{
	return mortal_is_dead(world->mortal);
}

/* ---- the parts ---- */

static int open_parts(struct world *world, int64_t expiry_ms)
{
	char path[160];
	struct ct_metadata_options metadata = { .path = path, .max_queued = MAX_QUEUED };

	world->is_frozen = world->is_thawed = false;
	(void)snprintf(path, sizeof(path), "%s/db", world->directory);
	int r = ct_metadata_open(&metadata, &world->metadata);
	if (r == 0)
		r = mortal_open(world->mortal, &world->store);
	if (r < 0)
		return r;
	struct ct_uploads_options uploads = {
		.metadata = world->metadata,
		.store = world->store,
		.commit_pool = world->pool,
		.owner = "model",
		.expiry_ms = expiry_ms,
		.orphan_sweep_ms = -1, /* at each call */
	};
	struct ct_images_options images = { .metadata = world->metadata, .store = world->store };
	r = ct_uploads_new(&uploads, &world->uploads);
	if (r == 0)
		r = ct_uploads_start(world->uploads);
	if (r == 0)
		r = ct_images_new(&images, &world->images);
	return r;
}

static void close_parts(struct world *world)
{
	CT_ASSERT(ct_uploads_stop(world->uploads, PATIENCE_MS) == 0);
	ct_images_free(world->images);
	ct_uploads_free(world->uploads);
	thaw(world);
	ct_metadata_close(world->metadata);
	ct_blob_store_close(world->store);
}

int world_open(struct world *world, uint64_t capacity_bytes, int64_t expiry_ms)
{
	struct ct_thread_pool_options pool = { "commit", 2, 64 };
	struct ct_blob_store *memory;

	*world = (struct world){ .capacity_bytes = capacity_bytes };
	ct_lock_init(&world->lock, CT_LOCK_LEAF);
	ct_condition_init(&world->changed);
	(void)snprintf(world->directory, sizeof(world->directory), "%s/calotype-model-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(world->directory) == NULL)
		return -errno;
	int r = ct_thread_pool_new(&pool, &world->pool);
	if (r == 0)
		r = ct_blob_store_open_memory(capacity_bytes, &memory);
	if (r == 0)
		r = mortal_new(memory, freeze, world, &world->mortal);
	return r < 0 ? r : open_parts(world, expiry_ms);
}

int world_reopen(struct world *world)
{
	int64_t expiry_ms = world->uploads->options.expiry_ms;

	close_parts(world);
	return open_parts(world, expiry_ms);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)type, (void)where;
	return remove(path);
}

void world_close(struct world *world)
{
	close_parts(world);
	ct_thread_pool_free(world->pool);
	mortal_free(world->mortal);
	ct_condition_done(&world->changed);
	ct_lock_done(&world->lock);
	CT_ASSERT(nftw(world->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

void world_set_time(struct world *world, int64_t wall_ms)
{
	world->shift_ms += wall_ms - ct_clock_wall_ms();
	ct_clock_shift_wall_ms(world->shift_ms);
}

/* ---- sessions ---- */

static void step_done(void *arg, int result)
{
	struct world *world = arg;

	ct_lock_take(&world->lock);
	CT_ASSERT(!world->is_step_done);
	world->is_step_done = true;
	world->step_result = result;
	ct_condition_broadcast(&world->changed);
	ct_lock_release(&world->lock);
}

int world_await(struct world *world, int started)
{
	int64_t deadline_ms = ct_clock_monotonic_ms() + PATIENCE_MS;
	int r = 0;

	if (started < 0)
		return started;
	ct_lock_take(&world->lock);
	while (!world->is_step_done && r == 0) {
		int64_t look_ms = ct_clock_monotonic_ms() + 10;
		(void)ct_condition_wait_until(&world->changed, &world->lock, look_ms);
		if (world->is_step_done)
			break;
		r = look_ms > deadline_ms ? -ETIMEDOUT : 0;
		ct_lock_release(&world->lock);
		thaw_if_waited_for(world);
		ct_lock_take(&world->lock);
	}
	CT_ASSERT(r == 0); /* a step did not end */
	world->is_step_done = false;
	r = world->step_result;
	ct_lock_release(&world->lock);
	return r;
}

int world_session(
    struct world *world, void (*interrupt)(void *arg), void *arg, struct ct_session **ret_session)
{
	int r = ct_session_new(world->uploads, "model", interrupt, arg, ret_session);

	world->open_sessions += r == 0;
	return r;
}

int world_create(struct world *world, struct ct_session *session, uint64_t length)
{
	struct ct_session_start start = {
		.length_bytes = length,
		.filename = "a.png",
		.key_id = "",
	};

	return world_await(world, ct_session_create(session, &start, step_done, world));
}

int world_start_open(struct world *world, struct ct_session *session, const char *id,
    enum ct_session_purpose purpose, uint64_t offset)
{
	struct ct_session_open open = {
		.id = id,
		.purpose = purpose,
		.offset = offset,
		.body_bytes = CT_BLOB_LENGTH_UNKNOWN,
	};

	return ct_session_open(session, &open, step_done, world);
}

int world_open_session(struct world *world, struct ct_session *session, const char *id,
    enum ct_session_purpose purpose, uint64_t offset)
{
	return world_await(world, world_start_open(world, session, id, purpose, offset));
}

int world_checkpoint(struct world *world, struct ct_session *session)
{
	return world_await(world, ct_session_checkpoint(session, step_done, world));
}

int world_save(struct world *world, struct ct_session *session)
{
	return world_await(world, ct_session_save(session, step_done, world));
}

int world_finish(struct world *world, struct ct_session *session)
{
	return world_await(world, ct_session_finish(session, step_done, world));
}

int world_refuse(struct world *world, struct ct_session *session, int error)
{
	return world_await(world, ct_session_refuse(session, error, step_done, world));
}

int world_cancel(struct world *world, struct ct_session *session)
{
	return world_await(world, ct_session_cancel(session, step_done, world));
}

static size_t count_users(struct ct_registry *registry)
{
	ct_lock_take(&registry->lock);
	size_t users = registry->users;
	ct_lock_release(&registry->lock);
	return users;
}

/* The registry tells only when all are gone, and others may be open. */
void world_end(struct world *world, struct ct_session *session)
{
	int64_t deadline_ms = ct_clock_monotonic_ms() + PATIENCE_MS;

	ct_session_end(session);
	world->open_sessions--;
	for (int i = 0; count_users(&world->uploads->registry) > world->open_sessions; i++) {
		CT_ASSERT(ct_clock_monotonic_ms() < deadline_ms);
		if (i < 20)
			(void)sched_yield();
		else
			(void)usleep(50);
		if (i > 40)
			thaw_if_waited_for(world);
	}
}
