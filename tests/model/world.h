/*
 * The real parts that the model is compared with: database, store, uploads and images, opened anew
 * at each restart and crash, and each step of a session as a blocking call. One thread.
 *
 * At a death the database dies with the store: its writer is held in a transaction that will be
 * rolled back, and its queue is full; or (`commits_fail`) the next commit fails.
 *
 * The wall clock stands still but for world_set_time().
 */
#ifndef CT_TESTS_MODEL_WORLD_H
#define CT_TESTS_MODEL_WORLD_H

#include "base/lock.h"
#include "images/images.h"
#include "mortal.h"
#include "uploads/session.h"
#include "uploads/uploads.h"

struct world {
	char directory[128];
	struct mortal *mortal;
	struct ct_blob_store *store;
	struct ct_metadata *metadata;
	struct ct_thread_pool *pool;
	struct ct_uploads *uploads;
	struct ct_images *images;
	uint64_t capacity_bytes;
	size_t open_sessions;
	bool commits_fail; /* changed only while nothing runs */
	int64_t shift_ms;

	struct ct_lock lock;
	struct ct_condition changed;
	/* under lock: the transaction that holds the dead database */
	bool is_frozen, is_thawed;
	/* under lock: the step that is awaited */
	bool is_step_done;
	int step_result;
};

/* In a fresh folder, on /dev/shm where that is. -errno, or an error of the parts. */
int world_open(struct world *world, uint64_t capacity_bytes, int64_t expiry_ms);
/* No session is open. `after_death`: what was queued is lost. */
int world_reopen(struct world *world);
void world_close(struct world *world);

void world_set_time(struct world *world, int64_t wall_ms);
bool world_is_dead(struct world *world);

/* ---- sessions ---- */

int world_session(
    struct world *world, void (*interrupt)(void *arg), void *arg, struct ct_session **ret_session);
int world_create(struct world *world, struct ct_session *session, uint64_t length);
int world_open_session(struct world *world, struct ct_session *session, const char *id,
    enum ct_session_purpose purpose, uint64_t offset);
/* The same in two halves, for one that has to wait for the holder. */
int world_start_open(struct world *world, struct ct_session *session, const char *id,
    enum ct_session_purpose purpose, uint64_t offset);
int world_await(struct world *world, int started);
int world_checkpoint(struct world *world, struct ct_session *session);
int world_save(struct world *world, struct ct_session *session);
int world_finish(struct world *world, struct ct_session *session);
int world_refuse(struct world *world, struct ct_session *session, int error);
int world_cancel(struct world *world, struct ct_session *session);
/* Ends it and waits until it has let go. `heirs`: sessions that wait for the same upload. */
void world_end(struct world *world, struct ct_session *session);

#endif
