/*
 * What every store must do, run on the disk, in memory, and through the failing wrapper with
 * nothing planned.
 */
#include "fixture.h"

#include "base/hash.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum store_kind kinds[] = { STORE_DISK, STORE_MEMORY, STORE_FAILING };

/* STORE_TEST(name) { ... uses `store` ... } */
#define STORE_TEST(name)                                                              \
	static void test_##name(struct ct_blob_store *store);                         \
	ParameterizedTestParameters(store, name)                                      \
	{                                                                             \
		return cr_make_param_array(enum store_kind, kinds, STORE_KIND_COUNT); \
	}                                                                             \
	ParameterizedTest(enum store_kind *kind, store, name)                         \
	{                                                                             \
		struct fixture fixture;                                               \
                                                                                      \
		fixture_open(&fixture, *kind);                                        \
		test_##name(fixture.store);                                           \
		fixture_close(&fixture);                                              \
	}                                                                             \
	static void test_##name(struct ct_blob_store *store)

STORE_TEST(bytes_come_back_under_their_digest)
{
	struct ct_blob_writer *writer = begin(store, NULL, 11);

	append(writer, "hello ", 6);
	append(writer, "", 0);
	append(writer, "world", 5);
	struct ct_blob_committed committed = commit(writer);
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(&committed.digest, hex);
	cr_assert_str_eq(hex, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
	cr_assert_eq(committed.size_bytes, 11);
	cr_assert_not(committed.was_present);
	assert_blob(store, &committed.digest, "hello world", 11);
}

STORE_TEST(an_empty_blob_is_a_blob)
{
	struct ct_blob_committed committed = commit(begin(store, NULL, 0));

	cr_assert_eq(committed.size_bytes, 0);
	assert_blob(store, &committed.digest, "", 0);
}

STORE_TEST(an_upload_is_resumed_at_its_checkpoint)
{
	struct ct_blob_writer *writer = begin(store, ID_A, 10);

	append(writer, "01234", 5);
	struct ct_blob_checkpoint checkpoint = sync_writer(writer);
	ct_blob_writer_close(writer);
	cr_assert_eq(count_staging(store), 1);

	cr_assert_eq(try_resume(store, ID_A, 10, &checkpoint, &writer), 0);
	cr_assert_eq(ct_blob_writer_offset(writer), 5);
	append(writer, "56789", 5);
	struct ct_blob_committed committed = commit(writer);
	assert_blob(store, &committed.digest, "0123456789", 10);
	cr_assert_eq(count_staging(store), 0);
}

STORE_TEST(what_was_not_synced_is_cut_off)
{
	struct ct_blob_writer *writer = begin(store, ID_A, 8);

	append(writer, "keep", 4);
	struct ct_blob_checkpoint checkpoint = sync_writer(writer);
	append(writer, "lost", 4);
	ct_blob_writer_close(writer);

	cr_assert_eq(try_resume(store, ID_A, 8, &checkpoint, &writer), 0);
	append(writer, "more", 4);
	struct ct_blob_committed committed = commit(writer);
	assert_blob(store, &committed.digest, "keepmore", 8);
}

STORE_TEST(a_checkpoint_at_zero_needs_no_hash_state)
{
	struct ct_blob_checkpoint checkpoint = { 0 };
	struct ct_blob_writer *writer = begin(store, ID_A, 4);

	append(writer, "lost", 4);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(store, ID_A, 4, &checkpoint, &writer), 0);
	append(writer, "good", 4);
	struct ct_blob_committed committed = commit(writer);
	assert_blob(store, &committed.digest, "good", 4);
}

STORE_TEST(a_missing_or_short_staging_file_is_damaged)
{
	struct ct_blob_checkpoint at_two, at_four;
	struct ct_blob_writer *writer = begin(store, ID_A, 8);

	append(writer, "12", 2);
	at_two = sync_writer(writer);
	append(writer, "34", 2);
	at_four = sync_writer(writer);
	ct_blob_writer_close(writer);

	cr_assert_eq(try_resume(store, ID_A, 8, &at_two, &writer), 0);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(store, ID_A, 8, &at_four, &writer), CT_ERROR_STAGING_DAMAGED);
	cr_assert_eq(try_resume(store, ID_B, 8, &at_two, &writer), CT_ERROR_STAGING_DAMAGED);
	cr_assert_eq(try_resume(store, ID_A, 1, &at_two, &writer), CT_ERROR_STAGING_DAMAGED);
	at_two.hash_state[0] ^= 0xff;
	cr_assert_eq(try_resume(store, ID_A, 8, &at_two, &writer), CT_ERROR_STAGING_DAMAGED);
	cr_assert_eq(count_staging(store), 1);
}

/* A kill between publishing and the caller's own record of it. */
STORE_TEST(a_published_upload_is_resumed_at_its_end_only)
{
	struct ct_blob_checkpoint half, end;
	struct ct_blob_committed committed;
	struct ct_blob_writer *writer = begin(store, ID_A, 6);

	append(writer, "abc", 3);
	half = sync_writer(writer);
	append(writer, "def", 3);
	end = sync_writer(writer);
	struct ct_digest digest = commit(writer).digest;

	cr_assert_eq(try_resume(store, ID_A, 6, &half, &writer), CT_ERROR_STAGING_DAMAGED);
	cr_assert_eq(try_resume(store, ID_A, 6, &end, &writer), 0);
	cr_assert_eq(ct_blob_writer_offset(writer), 6);
	cr_assert_eq(ct_blob_writer_append(writer, "x", 1), CT_ERROR_TOO_LARGE);
	end = sync_writer(writer);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), 0);
	ct_blob_writer_close(writer);
	cr_assert(committed.was_present);
	cr_assert_eq(committed.size_bytes, 6);
	cr_assert(ct_digest_equal(&committed.digest, &digest));

	cr_assert_eq(ct_blob_remove(store, CT_BLOB_ORIGINAL, &digest), 0);
	cr_assert_eq(try_resume(store, ID_A, 6, &end, &writer), CT_ERROR_STAGING_DAMAGED);
}

STORE_TEST(a_staging_file_has_one_writer)
{
	struct ct_blob_writer *writer = begin(store, ID_A, 8), *second;
	struct ct_blob_checkpoint start = { 0 };

	cr_assert_eq(try_begin(store, ID_A, 8, &second), -EEXIST);
	cr_assert_eq(try_resume(store, ID_A, 8, &start, &second), -EBUSY);
	cr_assert_eq(ct_blob_staging_remove(store, ID_A), -EBUSY);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_begin(store, ID_A, 8, &second), -EEXIST);
	cr_assert_eq(try_resume(store, ID_A, 8, &start, &second), 0);
	ct_blob_writer_close(second);
	cr_assert_eq(count_staging(store), 1);
	cr_assert_eq(ct_blob_staging_remove(store, ID_A), 0);
	cr_assert_eq(ct_blob_staging_remove(store, ID_A), 0);
	cr_assert_eq(count_staging(store), 0);
}

STORE_TEST(a_staging_id_cannot_be_a_path)
{
	static const char *const bad[] = { "", "../../../../../../../etc/passwd00",
		"0123456789abcdef0123456789abcde/", "0123456789ABCDEF0123456789ABCDEF",
		"0123456789abcdef0123456789abcdef0" };
	struct ct_blob_checkpoint start = { 0 };
	struct ct_blob_writer *writer;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(try_begin(store, bad[i], 8, &writer), -EINVAL);
		cr_assert_eq(try_resume(store, bad[i], 8, &start, &writer), -EINVAL);
		cr_assert_eq(ct_blob_staging_remove(store, bad[i]), -EINVAL);
	}
	cr_assert_eq(try_resume(store, NULL, 8, &start, &writer), -EINVAL);
}

STORE_TEST(the_same_bytes_are_stored_once)
{
	static const char *const ids[] = { NULL, ID_A };
	uint8_t data[3000];

	for (unsigned first = 0; first < 2; first++)
		for (unsigned second = 0; second < 2; second++) {
			fill_random(data, sizeof(data), first * 2 + second);
			cr_assert_not(put(store, ids[first], data, sizeof(data)).was_present);
			struct ct_blob_committed again =
			    put(store, ids[second], data, sizeof(data));
			cr_assert(again.was_present);
			cr_assert_eq(count_staging(store), 0);
			assert_blob(store, &again.digest, data, sizeof(data));
		}
}

STORE_TEST(a_short_upload_is_not_committed_but_can_go_on)
{
	struct ct_blob_writer *writer = begin(store, ID_A, 4);
	struct ct_blob_committed committed;

	append(writer, "ab", 2);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), CT_ERROR_LENGTH_MISMATCH);
	append(writer, "cd", 2);
	committed = commit(writer);
	assert_blob(store, &committed.digest, "abcd", 4);
}

STORE_TEST(a_write_beyond_the_declared_bytes_writes_nothing)
{
	struct ct_blob_writer *writer = begin(store, NULL, 4);

	append(writer, "abc", 3);
	cr_assert_eq(ct_blob_writer_append(writer, "de", 2), CT_ERROR_TOO_LARGE);
	cr_assert_eq(ct_blob_writer_offset(writer), 3);
	append(writer, "d", 1);
	cr_assert_eq(ct_blob_writer_append(writer, "e", 1), CT_ERROR_TOO_LARGE);
	struct ct_blob_committed committed = commit(writer);
	assert_blob(store, &committed.digest, "abcd", 4);
}

STORE_TEST(an_unknown_length_ends_where_it_ends)
{
	struct ct_blob_writer *writer = begin(store, ID_A, CT_BLOB_LENGTH_UNKNOWN);

	append(writer, "abc", 3);
	struct ct_blob_checkpoint checkpoint = sync_writer(writer);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(store, ID_A, CT_BLOB_LENGTH_UNKNOWN, &checkpoint, &writer), 0);
	append(writer, "de", 2);
	struct ct_blob_committed committed = commit(writer);
	cr_assert_eq(committed.size_bytes, 5);
	assert_blob(store, &committed.digest, "abcde", 5);
}

STORE_TEST(what_was_appended_can_be_read_back)
{
	struct ct_blob_writer *writer = begin(store, ID_A, 6);
	struct ct_blob_checkpoint at;
	char text[7] = "";

	append(writer, "abc", 3);
	cr_assert_eq(ct_blob_writer_sync(writer, &at), 0);
	ct_blob_writer_close(writer);
	struct ct_blob_writer_options options = { .staging_id = ID_A, .declared_bytes = 6 };
	cr_assert_eq(ct_blob_writer_resume(store, &options, &at, &writer), 0);
	append(writer, "def", 3);
	cr_assert_eq(ct_blob_writer_read(writer, 1, text, 4), 0);
	cr_expect_str_eq(text, "bcde");
	cr_expect_eq(ct_blob_writer_read(writer, 3, text, 4), -EINVAL);
	cr_expect_eq(ct_blob_writer_read(writer, 7, text, 0), -EINVAL);
	ct_blob_writer_discard(writer);
}

STORE_TEST(a_discarded_upload_leaves_nothing)
{
	struct ct_blob_writer *named = begin(store, ID_A, 3), *nameless = begin(store, NULL, 3);
	struct ct_digest digest;

	append(named, "abc", 3);
	append(nameless, "abc", 3);
	ct_blob_writer_discard(named);
	ct_blob_writer_discard(nameless);
	ct_blob_writer_discard(NULL);
	ct_blob_writer_close(NULL);
	ct_blob_writer_close(begin(store, NULL, 3));
	ct_hash_once("abc", 3, &digest);
	cr_assert_not(is_present(store, &digest));
	cr_assert_eq(count_staging(store), 0);
}

STORE_TEST(more_than_there_is_room_for_is_refused)
{
	struct ct_blob_writer *writer;

	cr_assert_eq(try_begin(store, ID_A, available(store) + (1ull << 40), &writer),
	    CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(try_begin(store, NULL, CT_BLOB_LENGTH_UNKNOWN - 1, &writer),
	    CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(count_staging(store), 0);
	cr_assert(ct_blob_store_is_healthy(store));
}

STORE_TEST(ranges_are_read_exactly)
{
	struct ct_digest digest = put(store, NULL, "0123456789", 10).digest;
	struct ct_blob_reader *reader = NULL;
	char text[11] = "";

	cr_assert_eq(ct_blob_reader_open(store, CT_BLOB_ORIGINAL, &digest, &reader), 0);
	cr_assert_eq(ct_blob_reader_size(reader), 10);
	cr_assert_eq(ct_blob_reader_read(reader, 3, text, 4), 0);
	cr_assert_str_eq(text, "3456");
	cr_assert_eq(ct_blob_reader_read(reader, 9, text, 1), 0);
	cr_assert_eq(text[0], '9');
	cr_assert_eq(ct_blob_reader_read(reader, 10, text, 0), 0);
	cr_assert_eq(ct_blob_reader_read(reader, 9, text, 2), -ENODATA);
	cr_assert_eq(ct_blob_reader_read(reader, 10, text, 1), -ENODATA);
	cr_assert_eq(ct_blob_reader_read(reader, UINT64_MAX, text, 1), -ENODATA);
	cr_assert_eq(ct_blob_reader_read(reader, 1, text, SIZE_MAX), -ENODATA);
	ct_blob_reader_close(reader);
}

STORE_TEST(a_removed_blob_is_gone_for_new_readers_only)
{
	struct ct_digest digest = put(store, NULL, "abc", 3).digest;
	struct ct_blob_reader *reader = NULL, *late;

	cr_assert_eq(ct_blob_reader_open(store, CT_BLOB_ORIGINAL, &digest, &reader), 0);
	cr_assert_eq(ct_blob_remove(store, CT_BLOB_ORIGINAL, &digest), 0);
	cr_assert_eq(ct_blob_remove(store, CT_BLOB_ORIGINAL, &digest), 0);
	cr_assert_eq(
	    ct_blob_reader_open(store, CT_BLOB_ORIGINAL, &digest, &late), CT_ERROR_NOT_FOUND);
	cr_assert_eq(ct_blob_reader_verify(reader), 0);
	ct_blob_reader_close(reader);
	ct_blob_reader_close(NULL);
	cr_assert_not(put(store, NULL, "abc", 3).was_present);
}

STORE_TEST(originals_and_prints_are_apart)
{
	const struct ct_blob_writer_options options = {
		.class = CT_BLOB_PRINT,
		.declared_bytes = 5,
	};
	struct ct_blob_writer *writer = NULL;
	struct ct_blob_reader *reader = NULL;

	cr_assert_eq(ct_blob_writer_begin(store, &options, &writer), 0);
	append(writer, "print", 5);
	struct ct_digest digest = commit(writer).digest;
	cr_assert_not(is_present(store, &digest));
	cr_assert_eq(ct_blob_reader_open(store, CT_BLOB_PRINT, &digest, &reader), 0);
	cr_assert_eq(ct_blob_reader_verify(reader), 0);
	ct_blob_reader_close(reader);
	cr_assert_not(put(store, NULL, "print", 5).was_present);
	cr_assert_eq(ct_blob_remove(store, CT_BLOB_PRINT, &digest), 0);
	cr_assert(is_present(store, &digest));
}

static struct ct_blob_store *visited_store;

static int visit_and_remove(const char *staging_id, int64_t modified_ms, void *arg)
{
	cr_assert(modified_ms > 1600000000000);
	cr_assert(strcmp(staging_id, ID_A) == 0 || strcmp(staging_id, ID_B) == 0);
	cr_assert_eq(ct_blob_staging_remove(visited_store, staging_id), 0);
	++*(int *)arg;
	return 0;
}

static int visit_once(const char *staging_id, int64_t modified_ms, void *arg)
{
	(void)staging_id;
	(void)modified_ms;
	++*(int *)arg;
	return 77;
}

STORE_TEST(staging_files_are_visited_and_may_be_removed_meanwhile)
{
	int count = 0;

	ct_blob_writer_close(begin(store, ID_A, 3));
	ct_blob_writer_close(begin(store, ID_B, 3));
	cr_assert_eq(ct_blob_staging_visit(store, visit_once, &count), 77);
	cr_assert_eq(count, 1);
	count = 0;
	visited_store = store;
	cr_assert_eq(ct_blob_staging_visit(store, visit_and_remove, &count), 0);
	cr_assert_eq(count, 2);
	cr_assert_eq(count_staging(store), 0);
}

STORE_TEST(a_descriptor_reads_the_bytes_and_nothing_else)
{
	struct ct_digest digest = put(store, NULL, "0123456789", 10).digest;
	struct ct_blob_reader *reader = NULL;
	int first = -1, second = -1;
	char text[11] = "";

	cr_assert_eq(ct_blob_reader_open(store, CT_BLOB_ORIGINAL, &digest, &reader), 0);
	cr_assert_eq(ct_blob_remove(store, CT_BLOB_ORIGINAL, &digest), 0);
	cr_assert_eq(ct_blob_reader_dup_fd(reader, &first), 0);
	cr_assert_eq(ct_blob_reader_dup_fd(reader, &second), 0);
	cr_assert_eq(read(first, text, 10), 10);
	cr_assert_str_eq(text, "0123456789");
	cr_assert_eq(read(first, text, 1), 0);
	cr_assert_eq(read(second, text, 3), 3, "the position is its own");
	cr_assert_eq(pread(first, text, 3, 7), 3);
	cr_assert_eq(write(first, "x", 1), -1);
	cr_assert(fcntl(first, F_GETFD) & FD_CLOEXEC);
	ct_blob_reader_close(reader);
	cr_assert_eq(close(first), 0);
	cr_assert_eq(close(second), 0);
}

#define SPLIT_BYTES (64u << 10)

STORE_TEST(any_split_gives_the_same_blob)
{
	static uint8_t data[SPLIT_BYTES];

	for (unsigned round = 0; round < 20; round++) {
		struct ct_blob_writer *writer = begin(store, ID_A, sizeof(data));
		struct ct_blob_checkpoint checkpoint = { 0 };

		fill_random(data, sizeof(data), 1000 + round);
		srand(round);
		while (checkpoint.offset < sizeof(data)) {
			uint64_t offset = ct_blob_writer_offset(writer);
			size_t length = (size_t)rand() % (sizeof(data) - offset + 1);

			append(writer, data + offset, length);
			if (rand() % 2 == 0)
				checkpoint = sync_writer(writer);
			if (rand() % 4 == 0) {
				ct_blob_writer_close(writer);
				cr_assert_eq(
				    try_resume(store, ID_A, sizeof(data), &checkpoint, &writer), 0);
			}
		}
		struct ct_blob_committed committed = commit(writer);
		assert_blob(store, &committed.digest, data, sizeof(data));
	}
}

/* ---- several threads ---- */

#define THREADS 4

struct worker {
	struct ct_blob_store *store;
	pthread_barrier_t *barrier;
	unsigned number;
	unsigned fresh; /* commits that were not present */
};

static void run_workers(
    struct ct_blob_store *store, void *(*run)(void *arg), struct worker workers[THREADS])
{
	pthread_t threads[THREADS];
	pthread_barrier_t barrier;

	cr_assert_eq(pthread_barrier_init(&barrier, NULL, THREADS), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ store, &barrier, i, 0 };
		cr_assert_eq(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(pthread_barrier_destroy(&barrier), 0);
}

#define TWIN_ROUNDS 25
#define TWIN_BYTES 20000

static void *write_twins(void *arg)
{
	struct worker *worker = arg;
	uint8_t data[TWIN_BYTES];

	for (unsigned round = 0; round < TWIN_ROUNDS; round++) {
		char id[] = ID_A;

		id[0] = (char)('0' + worker->number);
		fill_random(data, sizeof(data), round);
		struct ct_blob_writer *writer =
		    begin(worker->store, worker->number % 2 ? id : NULL, sizeof(data));
		append(writer, data, sizeof(data));
		(void)pthread_barrier_wait(worker->barrier);
		if (!commit(writer).was_present)
			worker->fresh++;
	}
	return NULL;
}

STORE_TEST(the_same_bytes_at_once_are_stored_once)
{
	struct worker workers[THREADS];
	unsigned fresh = 0;

	run_workers(store, write_twins, workers);
	for (unsigned i = 0; i < THREADS; i++)
		fresh += workers[i].fresh;
	cr_assert_eq(fresh, TWIN_ROUNDS);
	cr_assert_eq(count_staging(store), 0);
}

#define STRESS_ROUNDS 60
#define STRESS_BYTES 9000

/* Blobs that the threads share and remove under each other, and discards in between. */
static void *stress(void *arg)
{
	struct worker *worker = arg;
	uint8_t data[STRESS_BYTES];
	unsigned seed = worker->number;

	for (unsigned round = 0; round < STRESS_ROUNDS; round++) {
		unsigned which = (unsigned)rand_r(&seed) % 8;
		char id[] = ID_A;

		id[0] = (char)('0' + worker->number);
		fill_random(data, sizeof(data), which);
		struct ct_blob_writer *writer = begin(worker->store, which % 3 ? id : NULL,
		    which % 2 ? sizeof(data) : CT_BLOB_LENGTH_UNKNOWN);
		append(writer, data, sizeof(data) / 2);
		if (rand_r(&seed) % 5 == 0) {
			ct_blob_writer_discard(writer);
			continue;
		}
		append(writer, data + sizeof(data) / 2, sizeof(data) / 2);
		struct ct_digest digest = commit(writer).digest;
		int r = verify(worker->store, &digest);
		cr_assert(r == 0 || r == CT_ERROR_NOT_FOUND, "verify: %d", r);
		if (rand_r(&seed) % 3 == 0)
			cr_assert_eq(ct_blob_remove(worker->store, CT_BLOB_ORIGINAL, &digest), 0);
	}
	return NULL;
}

STORE_TEST(threads_do_not_disturb_each_other)
{
	struct worker workers[THREADS];

	run_workers(store, stress, workers);
	cr_assert_eq(count_staging(store), 0);
}
