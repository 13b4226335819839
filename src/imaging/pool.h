/*
 * The client of the image worker: starts, feeds, times and kills the processes that decode what
 * strangers sent. libvips is linked by the worker (worker/main.c) alone; here is only the socket.
 *
 * A worker starts with the first image and ends when it has had nothing to do for idle_ms. It is
 * given the image as a sealed memory file, which nobody can shorten under it, and one memory file
 * for each print, and is handed nothing else of ours; it sits in a sandbox (sandbox.h) without
 * which it gets no image. If it crashes, hangs or is killed, the one image that it had fails; the
 * next gets a fresh process. What it answers is checked, since the image may have taken it over.
 *
 * Threads: any, at once. The pool has one thread of its own, which starts and retires workers, so
 * that these outlive the threads that ask (they die with the thread that started them). SIGCHLD is
 * not needed; nobody else may reap our children.
 */
#ifndef CT_IMAGING_POOL_H
#define CT_IMAGING_POOL_H

#include "imaging/plan.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CT_IMAGING_MESSAGE_BYTES 512
#define CT_IMAGING_TYPE_BYTES 32
#define CT_IMAGING_BLURHASH_BYTES 40
#define CT_IMAGING_MAX_WORKERS 64
/* A worker is replaced when either is reached: memory does not creep up. */
#define CT_IMAGING_WORKER_IMAGES 500
#define CT_IMAGING_WORKER_RESIDENT_BYTES (128ull << 20)

/* A zero field means the default in brackets. */
struct ct_imaging_options {
	const char *worker_path;  /* of calotype-worker [see ct_imaging_find_worker()] */
	unsigned max_workers;	  /* at most CT_IMAGING_MAX_WORKERS [cores] */
	unsigned memory_mib;	  /* address space of a worker, the input not counted [512] */
	unsigned cpu_s;		  /* processor seconds for one image [20] */
	unsigned deadline_ms;	  /* for one image, start of the process included [20000] */
	int64_t max_pixels;	  /* width times height of a frame [50 million] */
	int64_t max_all_pixels;	  /* of all frames together [250 million] */
	uint64_t max_print_bytes; /* [32 MiB] */
	bool any_sandbox;	  /* workers whose sandbox lacks a layer get images too [no] */
	unsigned idle_ms;	  /* a worker ends after that long without an image [30000] */
};

struct ct_imaging_pool;

/* Starts no worker. -ENOMEM, -EINVAL (max_workers), or -errno when there is no thread. */
int ct_imaging_pool_new(
    const struct ct_imaging_options *options, struct ct_imaging_pool **ret_pool);

/* From now on calls fail with CT_ERROR_SHUTTING_DOWN; those in progress are cut off. Any thread. */
void ct_imaging_pool_stop(struct ct_imaging_pool *pool);

/* Stops, ends all workers, frees. No call may be in progress. NULL is allowed. */
void ct_imaging_pool_free(struct ct_imaging_pool *pool);

/*
 * Starts a worker, has it confine itself and try what each layer should refuse, and ends it.
 * ret_layers: the bits of sandbox.h that hold. Without codecs it takes less time and is as true;
 * with them it also shows that they start under the limits. BLOCKING. CT_ERROR_WORKER_UNAVAILABLE
 * with a message.
 */
int ct_imaging_check_sandbox(const struct ct_imaging_options *options, bool with_codecs,
    unsigned *ret_layers, char ret_message[CT_IMAGING_MESSAGE_BYTES]);

/* Processes that exist now: for metrics and tests. */
unsigned ct_imaging_pool_workers(struct ct_imaging_pool *pool);

/* Where a print lies: a sealed memory file (read it with pread from 0; its offset is anywhere). */
struct ct_developed_print {
	int fd; /* owned; take it out with ct_steal_fd() */
	uint64_t size_bytes;
	int width;
	int height;
	const char *type; /* static */
};

struct ct_developed {
	int width, height; /* upright */
	int frames;	   /* 1 for a still; prints show the first */
	int orientation;   /* 1 to 8, as it was in the file */
	const char *type;  /* static; what was decoded: the sniffed type */
	char blurhash[CT_IMAGING_BLURHASH_BYTES];
	/*
	 * A JSON object, "{}" when the file says nothing. Texts: make, model, lens, taken_at
	 * (RFC 3339 in UTC when the file has the offset, else the camera's local time without a
	 * zone), exposure_time_s ("1/250"), f_number ("2.8"), focal_length_mm ("4.25"); number:
	 * iso. Never position, serial numbers, names of people or comments. Owned.
	 */
	char *exif;
	bool has_gps; /* the original says where it was taken */
	size_t print_count;
	struct ct_developed_print prints[CT_PLAN_MAX_PRINTS]; /* by rising width */
};

/* Why there are no prints. */
struct ct_imaging_failure {
	char message[CT_IMAGING_MESSAGE_BYTES]; /* one line for the owner of the image */
	uint64_t limit; /* the limit that was passed; 0: none, or it is not a number of this kind */
	uint64_t value; /* what passed it; 0: not known, it was stopped there */
};

/* One call's end from outside. Under the pool's lock. */
struct ct_imaging_cut {
	bool is_cut;
};

/*
 * Develops an image: decodes it once and makes the prints that ct_plan_prints() names for
 * `widths`. `input_fd` is a regular file or memory file, borrowed; it is copied first.
 * `type` is what was sniffed, one of config/image_types.h.
 * BLOCKING, up to deadline_ms once it has a worker; waits for one while all are at work.
 * `cut` may be NULL; else zeroed by the caller, for ct_imaging_pool_cut_off().
 * On success *ret_developed needs ct_developed_done(). On failure *ret_failure says why:
 *   CT_ERROR_UNDECODABLE_IMAGE  damaged, cut off, or not an image
 *   CT_ERROR_TOO_MANY_PIXELS, CT_ERROR_TOO_MANY_FRAMES, CT_ERROR_INTERLACED_TOO_LARGE
 *                               seen before anything is decoded
 *   CT_ERROR_PRINT_TOO_LARGE    it could not be written
 *   CT_ERROR_TYPE_MISMATCH      decodes as another type
 *   CT_ERROR_WORKER_CRASHED     ended by a signal that we did not send
 *   CT_ERROR_WORKER_TIMEOUT     deadline or processor time
 *   CT_ERROR_WORKER_MEMORY      does not fit into memory_mib
 *   CT_ERROR_WORKER_UNAVAILABLE could not be started, or its sandbox does not hold
 *   CT_ERROR_CANCELED           cut off
 *   CT_ERROR_SHUTTING_DOWN, CT_ERROR_PEER_PROTOCOL (an answer that makes no sense), -EINVAL
 *   (widths), -errno.
 */
int ct_imaging_pool_develop(struct ct_imaging_pool *pool, int input_fd, const char *type,
    const int *widths, size_t width_count, struct ct_imaging_cut *cut,
    struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure);

/*
 * Ends the call that was, is, or will be given `cut`: its worker is killed. Any thread; does not
 * wait for it. A call that has its answer already succeeds.
 */
void ct_imaging_pool_cut_off(struct ct_imaging_pool *pool, struct ct_imaging_cut *cut);

/* Closes the prints that were not taken out, frees. */
void ct_developed_done(struct ct_developed *developed);

/*
 * The worker of this build or installation, by the place of the running program: imaging/ beside
 * it, its own folder, or ../libexec. CT_ERROR_NOT_FOUND, -ENAMETOOLONG.
 */
int ct_imaging_find_worker(char *ret_path, size_t capacity);

#endif
