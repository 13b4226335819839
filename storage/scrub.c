#include "storage/scrub.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (128u << 10)
#define LEAST_COST_BYTES 4096
#define DIRECTORY_COST_BYTES (64u << 10) /* about the time that listing an empty one takes */
#define MAX_LISTED (1u << 20) /* of one directory: 32 MiB of names; what is beyond is not read */

struct ct_scrub {
	struct ct_scrub_options options; /* set once */
	enum ct_blob_class class;
	unsigned shard;
	/* The names of the directory, and which is next. */
	struct ct_digest *names;
	size_t count, capacity, next;
	/* The file that is being read; NULL: none. */
	struct ct_blob_reader *reader;
	struct ct_digest digest;
	struct ct_hash hash;
	uint64_t offset;
	uint8_t *block;
};

int ct_scrub_new(const struct ct_scrub_options *options, struct ct_scrub **ret_scrub)
{
	struct ct_scrub *scrub = calloc(1, sizeof(*scrub));

	if (scrub == NULL)
		return -ENOMEM;
	scrub->options = *options;
	/* The first step goes to the next one. */
	scrub->shard = (options->first_shard + CT_BLOB_SHARDS - 1) % CT_BLOB_SHARDS;
	scrub->class = CT_BLOB_CLASS_COUNT - 1;
	scrub->block = malloc(BLOCK_BYTES);
	if (scrub->block == NULL) {
		ct_scrub_free(scrub);
		return -ENOMEM;
	}
	*ret_scrub = scrub;
	return 0;
}

void ct_scrub_free(struct ct_scrub *scrub)
{
	if (scrub == NULL)
		return;
	ct_blob_reader_close(scrub->reader);
	free(scrub->names);
	free(scrub->block);
	free(scrub);
}

static int add_name(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg)
{
	struct ct_scrub *scrub = arg;

	(void)info;
	if (scrub->count == MAX_LISTED)
		return 1;
	if (scrub->count == scrub->capacity) {
		size_t capacity = scrub->capacity ? 2 * scrub->capacity : 64;
		struct ct_digest *names = realloc(scrub->names, capacity * sizeof(*names));
		if (names == NULL)
			return -ENOMEM;
		scrub->names = names;
		scrub->capacity = capacity;
	}
	scrub->names[scrub->count++] = *digest;
	return 0;
}

/* Both classes of a directory, then the next directory. */
static int list_next_directory(struct ct_scrub *scrub)
{
	if (++scrub->class == CT_BLOB_CLASS_COUNT) {
		scrub->class = 0;
		scrub->shard = (scrub->shard + 1) % CT_BLOB_SHARDS;
	}
	scrub->count = scrub->next = 0;
	int r = ct_blob_visit(scrub->options.store, scrub->class, scrub->shard, add_name, scrub);
	return r < 0 ? r : 0;
}

static void tell(const struct ct_scrub *scrub, int error)
{
	if (error < 0)
		scrub->options.found(scrub->class, &scrub->digest, error, scrub->options.arg);
}

static int begin_file(struct ct_scrub *scrub)
{
	scrub->digest = scrub->names[scrub->next++];
	scrub->offset = 0;
	ct_hash_init(&scrub->hash);
	int r =
	    ct_blob_reader_open(scrub->options.store, scrub->class, &scrub->digest, &scrub->reader);
	/* Removed since it was listed. */
	if (r == CT_ERROR_NOT_FOUND)
		return 0;
	if (r < 0)
		tell(scrub, r);
	return 0;
}

/* A name that has another file by now was healed meanwhile, or is being written. */
static void end_file(struct ct_scrub *scrub)
{
	struct ct_digest found;

	ct_hash_final(&scrub->hash, &found);
	if (!ct_digest_equal(&found, &scrub->digest)) {
		int r = ct_blob_set_aside(scrub->reader);
		if (r != -ESTALE && r != -EBUSY)
			tell(scrub, r < 0 ? r : CT_ERROR_DIGEST_MISMATCH);
	}
	ct_blob_reader_close(scrub->reader);
	scrub->reader = NULL;
}

static uint64_t read_piece(struct ct_scrub *scrub)
{
	uint64_t left = ct_blob_reader_size(scrub->reader) - scrub->offset;
	size_t length = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;

	int r = ct_blob_reader_read(scrub->reader, scrub->offset, scrub->block, length);
	if (r < 0) {
		tell(scrub, r);
		ct_blob_reader_close(scrub->reader);
		scrub->reader = NULL;
		return LEAST_COST_BYTES;
	}
	ct_hash_update(&scrub->hash, scrub->block, length);
	scrub->offset += length;
	if (length == left)
		end_file(scrub);
	return length < LEAST_COST_BYTES ? LEAST_COST_BYTES : length;
}

int ct_scrub_step(struct ct_scrub *scrub, uint64_t budget_bytes, uint64_t *read_bytes)
{
	for (uint64_t spent = 0; spent < budget_bytes;) {
		int r = 0;
		if (scrub->reader != NULL) {
			uint64_t cost = read_piece(scrub);
			spent += cost;
			*read_bytes += cost;
		} else if (scrub->next < scrub->count) {
			r = begin_file(scrub);
		} else {
			r = list_next_directory(scrub);
			spent += DIRECTORY_COST_BYTES;
		}
		if (r < 0)
			return r;
	}
	return 0;
}
