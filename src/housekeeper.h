/*
 * The housekeeper: one thread that does what nobody waits for, in small steps: expiry of uploads,
 * retention of jobs, events and failed images, the sweep of what nothing refers to, the scrub, and
 * the flush of a store and a database that do not wait for the disk. It logs what it did and what
 * it could not.
 */
#ifndef CT_HOUSEKEEPER_H
#define CT_HOUSEKEEPER_H

#include <stdint.h>

struct ct_blob_store;
struct ct_housekeeper;
struct ct_images;
struct ct_metadata;
struct ct_uploads;

/* What is pointed to outlives it. */
struct ct_housekeeper_options {
	struct ct_metadata *metadata;
	struct ct_blob_store *store;
	struct ct_uploads *uploads;
	struct ct_images *images;
	int64_t upload_expiry_ms; /* a short one is kept closely */
	int64_t grace_ms;	  /* of what nothing refers to */
	uint64_t scrub_rate;	  /* bytes a second; 0: no scrub */
};

int ct_housekeeper_start(
    const struct ct_housekeeper_options *options, struct ct_housekeeper **ret_housekeeper);
/* Ends the thread after its step, and frees. NULL is allowed. BLOCKING. */
void ct_housekeeper_stop(struct ct_housekeeper *housekeeper);

#endif
