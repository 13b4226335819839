/*
 * Which request holds which upload, in this process: one holder an upload, the others wait in
 * line. Its size is bounded by the open requests. A newcomer asks the holder to end (`interrupt`),
 * so that a client that lost its connection is not kept out by its own dead request; it gets the
 * upload when the holder has saved its bytes, or CT_ERROR_UPLOAD_BUSY after the cap.
 *
 * Threads: any. `interrupt` is called under the registry's lock (rank CT_LOCK_UPLOADS) and must
 * not come back here; `granted` is called without it, in the thread that let go.
 */
#ifndef CT_UPLOADS_REGISTRY_H
#define CT_UPLOADS_REGISTRY_H

#include "base/lock.h"
#include "base/text.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CT_REGISTRY_BUCKETS 1024
#define CT_REGISTRY_MAX_WAITERS 16 /* an upload */

/* Embedded in whoever holds; all but the first block is the registry's. */
struct ct_hold {
	char id[CT_ID_CHARS + 1];
	void (*interrupt)(void *arg); /* NULL: is never interrupted */
	/* 0: held now; CT_ERROR_UPLOAD_BUSY: waited in vain. Never called when acquire returned 1.
	 */
	void (*granted)(void *arg, int result);
	void *arg;

	bool interruptible; /* under the lock, like all below */
	bool interrupted;
	struct ct_hold *next; /* in the bucket, or in the line of one upload */
	struct ct_hold *first_waiter, *last_waiter;
	unsigned waiter_count;
	int64_t deadline_ms;		 /* of a waiter */
	struct ct_hold *earlier, *later; /* all waiters by deadline */
	struct ct_hold *holder_of;	 /* of a waiter: in whose line it stands */
};

struct ct_registry {
	int64_t wait_ms; /* set once */
	pthread_t thread;
	bool started;

	struct ct_lock lock;
	struct ct_condition changed;
	/* Under lock. */
	struct ct_hold *buckets[CT_REGISTRY_BUCKETS];
	struct ct_hold *first_deadline, *last_deadline;
	size_t users; /* between enter and leave */
	bool stopping;
};

void ct_registry_init(struct ct_registry *registry, int64_t wait_ms);
/* Starts the thread that ends waiting; without it a waiter waits for as long as it takes. */
int ct_registry_start(struct ct_registry *registry);
/* Nobody may hold or wait any more. */
void ct_registry_done(struct ct_registry *registry);

/* Counts who may still touch disks and rows; wait_idle: until nobody, or -ETIMEDOUT. */
void ct_registry_enter(struct ct_registry *registry);
void ct_registry_leave(struct ct_registry *registry);
int ct_registry_wait_idle(struct ct_registry *registry, int64_t timeout_ms);

/* 1: held; 0: in line, `granted` comes; CT_ERROR_UPLOAD_BUSY: the line is full. */
int ct_registry_acquire(struct ct_registry *registry, struct ct_hold *hold);
/* 1: held; CT_ERROR_UPLOAD_BUSY: somebody else has it. */
int ct_registry_try(struct ct_registry *registry, struct ct_hold *hold);
/* May it be asked to end? If somebody waits already, it is asked at once. */
void ct_registry_set_interruptible(struct ct_registry *registry, struct ct_hold *hold, bool can);
/* Gives the upload to the first in line. */
void ct_registry_release(struct ct_registry *registry, struct ct_hold *hold);

#endif
