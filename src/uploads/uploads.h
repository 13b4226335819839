/*
 * Uploads: how bytes come in. Whole ones in one request (POST /images, PUT /images/{filename}) and
 * resumable ones (tus 1.0.0 and the IETF's draft under /uploads); both end in the same last step,
 * which publishes the blob and writes image, job and event in one transaction.
 *
 * Threads: new, free, add_routes and tick belong to the thread that builds the server, or to the
 * housekeeper; the routes run in HTTP threads, what waits for a disk in `commit_pool`.
 */
#ifndef CT_UPLOADS_H
#define CT_UPLOADS_H

#include "config/image_types.h"
#include <stdbool.h>
#include <stdint.h>

struct ct_blob_store;
struct ct_http_server;
struct ct_jobs;
struct ct_metadata;
struct ct_thread_pool;
struct ct_uploads;

#define CT_UPLOADS_MAX_FILE_BYTES (200ull << 20)
#define CT_UPLOADS_MAX_OPEN 10000
#define CT_UPLOADS_EXPIRY_MS (24 * 3600 * 1000LL)
#define CT_UPLOADS_ACCEPT CT_IMAGE_TYPES_ACCEPTED

/* A zero field means the default in brackets. What is pointed to outlives the uploads. */
struct ct_uploads_options {
	struct ct_metadata *metadata;
	struct ct_blob_store *store;
	struct ct_jobs *jobs;		    /* woken when an image is there; NULL: nobody is */
	struct ct_thread_pool *commit_pool; /* waits for disks: fsync, link, resume */
	const char *owner;		    /* this server's name, for leases; at most 24 bytes */
	const char *public_url;		    /* before Location; NULL: it is relative */
	const char
	    *accept;   /* media types, comma between, "image/" "*" allowed [CT_UPLOADS_ACCEPT] */
	bool is_async; /* the store does not wait for the disk: answers say so */
	uint64_t max_file_bytes;   /* [CT_UPLOADS_MAX_FILE_BYTES] */
	unsigned max_open_uploads; /* resumable ones not yet ended [CT_UPLOADS_MAX_OPEN] */
	int64_t expiry_ms;	   /* of a resumable one, from its last byte [24 h] */
	int64_t orphan_sweep_ms;   /* between looks for files without a row [1 h, or expiry] */
	int64_t takeover_ms;	   /* how long one waits for an upload's holder [20 s] */
};

/*
 * -EINVAL: `accept` is not a list of media types, or `public_url` has more than 1024 bytes. Reads
 * neither the database nor the disk.
 */
/* -ENOENT: libmagic's database cannot be loaded. */
int ct_uploads_new(const struct ct_uploads_options *options, struct ct_uploads **ret_uploads);
/* Once. The server is freed before the uploads. */
int ct_uploads_add_routes(struct ct_uploads *uploads, struct ct_http_server *server);

/* Starts the thread that ends waiting for a busy upload. Before the server starts. */
int ct_uploads_start(struct ct_uploads *uploads);

/*
 * After ct_http_server_stop(), before the pool, the jobs and the database end: waits until every
 * broken request has saved its bytes, at most `timeout_ms`. -ETIMEDOUT: some still run; then the
 * uploads must not be freed before the pool and the database have ended.
 */
int ct_uploads_stop(struct ct_uploads *uploads, int64_t timeout_ms);
void ct_uploads_free(struct ct_uploads *uploads); /* NULL is allowed */

/*
 * The housekeeper's call, about each minute: ends what has expired, finishes what a crash left
 * complete, forgets ended uploads after 7 days, removes staging files that have no row. BLOCKING.
 */
int ct_uploads_tick(struct ct_uploads *uploads);

#endif
