/*
 * A program without a test framework, for ThreadSanitizer: uploads that are written out by a pool
 * while they come, and some that end under a piece which is under way.
 */
#include "base/assert.h"
#include "base/thread_pool.h"
#include "calotype/blob_open.h"
#include "calotype/blob_writeout.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPLOADS 6
#define AT_ONCE 3
#define PIECE_BYTES ((size_t)1 << 20)
#define PIECES 18 /* two steps and a rest */

static struct ct_blob_store *store;
static struct ct_thread_pool *workers;
static atomic_uint number, writeouts;

static void run(void *arg)
{
	ct_blob_writeout_run(arg);
	atomic_fetch_add(&writeouts, 1);
}

static void write_ahead(struct ct_blob_writer *writer)
{
	struct ct_blob_writeout *piece;

	if (ct_blob_writer_writeout(writer, &piece) &&
	    ct_thread_pool_submit(workers, run, piece) < 0)
		ct_blob_writeout_drop(piece);
}

static void upload(void *arg)
{
	const struct ct_blob_writer_options options = { .class = CT_BLOB_ORIGINAL,
		.declared_bytes = CT_BLOB_LENGTH_UNKNOWN };
	struct ct_blob_writer *writer = NULL;
	struct ct_blob_committed committed;
	unsigned mine = atomic_fetch_add(&number, 1);
	char *data = malloc(PIECE_BYTES);

	(void)arg;
	CT_ASSERT(data != NULL);
	CT_ASSERT(ct_blob_writer_begin(store, &options, &writer) == 0);
	for (unsigned i = 0; i < PIECES; i++) {
		memset(data, (int)(mine * PIECES + i), PIECE_BYTES);
		CT_ASSERT(ct_blob_writer_append(writer, data, PIECE_BYTES) == 0);
		write_ahead(writer);
	}
	if (mine % 3 == 2) {
		ct_blob_writer_discard(writer);
	} else {
		CT_ASSERT(ct_blob_writer_commit(writer, &committed) == 0);
		CT_ASSERT(committed.size_bytes == PIECES * PIECE_BYTES);
		ct_blob_writer_close(writer);
	}
	free(data);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)type, (void)where;
	return remove(path);
}

int main(void)
{
	char directory[] = "/tmp/calotype-writeout-XXXXXX";
	struct ct_thread_pool *uploads = NULL;

	CT_ASSERT(mkdtemp(directory) != NULL);
	const struct ct_disk_options disk = { .directory = directory };
	CT_ASSERT(ct_blob_store_open_disk(&disk, &store) == 0);
	const struct ct_thread_pool_options of_workers = { "workers", 2, 8 };
	const struct ct_thread_pool_options of_uploads = { "uploads", AT_ONCE, UPLOADS };
	CT_ASSERT(ct_thread_pool_new(&of_workers, &workers) == 0);
	CT_ASSERT(ct_thread_pool_new(&of_uploads, &uploads) == 0);
	for (int i = 0; i < UPLOADS; i++)
		CT_ASSERT(ct_thread_pool_submit(uploads, upload, NULL) == 0);
	ct_thread_pool_free(uploads);
	ct_thread_pool_free(workers);
	CT_ASSERT(atomic_load(&writeouts) >= 2);
	CT_ASSERT(ct_blob_store_is_healthy(store));
	ct_blob_store_close(store);
	CT_ASSERT(nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
	return 0;
}
