/*
 * Opening a blob store: on a disk, or in memory for tests. Closing it is ct_blob_store_close().
 */
#ifndef CALOTYPE_BLOB_OPEN_H
#define CALOTYPE_BLOB_OPEN_H

#include "calotype/blob.h"

/* A zero field means the default in brackets. */
struct ct_disk_options {
	const char *directory;	/* the data directory; made when missing */
	uint64_t reserve_bytes; /* kept free for the rest of the system [256 MiB] */
	uint64_t window_bytes;	/* reservation step of uploads of unknown length [64 MiB] */
	bool is_async;		/* no operation waits for the disk; see ct_blob_store_flush() */
	uint64_t assumed_free;	/* tests: the free space of the file system [ask it] */
};

/*
 * Opens the data directory: takes its lock file, checks `format`, makes staging/, objects/00..ff/,
 * prints/00..ff/ and quarantine/ when missing and makes them durable. BLOCKING.
 * -EBUSY: another process holds it; -EXDEV: staging and objects lie on different file systems;
 * -EPROTONOSUPPORT: another format number, or objects/ or prints/ without a `format` file.
 */
int ct_blob_store_open_disk(
    const struct ct_disk_options *options, struct ct_blob_store **ret_store);

/* Is there an original in this data directory, opened by anybody or nobody? 1 or 0; BLOCKING. */
int ct_disk_holds_originals(const char *directory);

/* For tests: a store in memory, the same promises but durability. */
int ct_blob_store_open_memory(uint64_t capacity_bytes, struct ct_blob_store **ret_store);

#endif
