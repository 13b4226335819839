/*
 * Uploads of the same few blobs against a sweeper without a grace period, in threads: a plain
 * program, so that it runs under TSan. A table of counters stands for the rows. Whoever has a row
 * must have its bytes.
 */
#include "base/clock.h"
#include "base/lock.h"
#include "calotype/blob_open.h"
#include "calotype/blob_upkeep.h"
#include "storage/sweep.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOBS 4
#define UPLOADERS 3
#define ROUNDS_MS 1500

struct row {
	struct ct_digest digest;
	bool is_known;
	int images;
};

static struct ct_blob_store *store;
static struct ct_lock lock;
static struct row rows[BLOBS]; /* under the lock */
static atomic_bool over;
static atomic_int uploads, removals, losses;

static void check(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "race: %s\n", what);
	abort();
}

static void put_row(int number, const struct ct_digest *digest, int change)
{
	ct_lock_take(&lock);
	rows[number].digest = *digest;
	rows[number].is_known = true;
	rows[number].images += change;
	ct_lock_release(&lock);
}

static void upload(int number)
{
	char data[64] = { 0 };
	struct ct_blob_writer *writer;
	struct ct_blob_reader *reader;
	struct ct_blob_committed committed;
	const struct ct_blob_writer_options options = { .class = CT_BLOB_ORIGINAL,
		.declared_bytes = sizeof(data) };

	data[0] = (char)number;
	check(ct_blob_writer_begin(store, &options, &writer) == 0, "begin");
	check(ct_blob_writer_append(writer, data, sizeof(data)) == 0, "append");
	check(ct_blob_writer_commit(writer, &committed) == 0, "commit");
	put_row(number, &committed.digest, 1);
	ct_blob_writer_close(writer);
	/* The row is there: so are the bytes, until it goes. */
	if (ct_blob_reader_open(store, CT_BLOB_ORIGINAL, &committed.digest, &reader) < 0)
		atomic_fetch_add(&losses, 1);
	else
		ct_blob_reader_close(reader);
	put_row(number, &committed.digest, -1);
	atomic_fetch_add(&uploads, 1);
}

static void *run_uploads(void *arg)
{
	for (unsigned i = 0; !atomic_load(&over); i++)
		upload((int)((i + *(unsigned *)arg) % BLOBS));
	return NULL;
}

static int is_used(enum ct_blob_class class, const struct ct_digest *digest, void *arg)
{
	int used = 0;

	(void)class, (void)arg;
	ct_lock_take(&lock);
	for (int i = 0; i < BLOBS; i++)
		if (rows[i].is_known && ct_digest_equal(&rows[i].digest, digest))
			used = rows[i].images > 0;
	ct_lock_release(&lock);
	return used;
}

static void *run_sweeper(void *arg)
{
	struct ct_sweep_report report = { 0 };
	struct ct_sweep sweep;
	/* Of the future: nothing is young. */
	const struct ct_sweep_options options = { store, -3600000, is_used, NULL };

	(void)arg;
	ct_sweep_init(&sweep, &options);
	while (!atomic_load(&over))
		check(ct_sweep_step(&sweep, &report) == 0, "sweep");
	atomic_store(&removals, (int)report.removed);
	return NULL;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)type, (void)where;
	return remove(path);
}

int main(void)
{
	char directory[] = "/tmp/ct-race-XXXXXX";
	pthread_t threads[UPLOADERS + 1];
	unsigned starts[UPLOADERS];

	check(mkdtemp(directory) != NULL, "mkdtemp");
	const struct ct_disk_options options = { .directory = directory, .is_async = true };
	ct_lock_init(&lock, CT_LOCK_LEAF);
	check(ct_blob_store_open_disk(&options, &store) == 0, "open");
	for (unsigned i = 0; i < UPLOADERS; i++) {
		starts[i] = i;
		check(pthread_create(&threads[i], NULL, run_uploads, &starts[i]) == 0, "thread");
	}
	check(pthread_create(&threads[UPLOADERS], NULL, run_sweeper, NULL) == 0, "thread");
	int64_t until_ms = ct_clock_monotonic_ms() + ROUNDS_MS;
	while (ct_clock_monotonic_ms() < until_ms || atomic_load(&uploads) < 1000)
		(void)usleep(10000);
	atomic_store(&over, true);
	for (int i = 0; i <= UPLOADERS; i++)
		check(pthread_join(threads[i], NULL) == 0, "join");
	ct_blob_store_close(store);
	ct_lock_done(&lock);
	(void)nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS); /* only its own garbage */
	(void)printf("%d uploads, %d removals, %d losses\n", uploads, removals, losses);
	check(losses == 0, "a row lost its bytes");
	check(removals > 0, "nothing was swept: the test proves nothing");
	return 0;
}
