/*
 * Bodies too large for memory. Their file is hashed once when it enters the cache, whole against
 * its digest and block by block into a list: by the first answers that send all of it, on its way,
 * or in the fill pool for whom wants less. From then on nothing of a block is sent before the
 * block, read anew, has the digest of the list: what has changed on the disk meanwhile cuts the
 * connection instead, and the entry is dropped, so that the next request looks at the whole again.
 *
 * An answer that proves its file sends blocks before it knows whether they are right. It keeps the
 * last one back until the digest agrees: a wrong body is never whole.
 */
#include "cache/cache_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "calotype/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ct_cache_blocks {
	size_t count;
	struct ct_digest digests[];
};

/* Of one answer; owned by the loop thread that sends it. */
struct stream {
	struct ct_cache_entry *entry;	/* a reference */
	struct ct_cache_blocks *proved; /* of a proof: the list so far; owned */
	struct ct_hash whole;		/* of a proof */
	char request_id[72];
	uint64_t first;	    /* position of the answer in the body */
	uint64_t length;    /* of the answer */
	uint64_t block_at;  /* position of the block below in the body */
	size_t block_bytes; /* 0: none has been read */
	unsigned char block[CT_CACHE_BLOCK_BYTES];
};

static size_t block_count(uint64_t size_bytes)
{
	return (size_t)((size_bytes + CT_CACHE_BLOCK_BYTES - 1) / CT_CACHE_BLOCK_BYTES);
}

uint64_t ct_cache_blocks_bytes(uint64_t size_bytes)
{
	return sizeof(struct ct_cache_blocks) + block_count(size_bytes) * sizeof(struct ct_digest);
}

/* Exactly `length` bytes; -ENODATA: the file has become shorter. */
static int read_exactly(int fd, unsigned char *data, size_t length, uint64_t offset)
{
	while (length > 0) {
		ssize_t count = pread(fd, data, length, (off_t)offset);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : -ENODATA;
		data += count;
		length -= (size_t)count;
		offset += (uint64_t)count;
	}
	return 0;
}

static size_t block_length(uint64_t size_bytes, uint64_t at)
{
	uint64_t rest = size_bytes - at;
	return rest < CT_CACHE_BLOCK_BYTES ? (size_t)rest : CT_CACHE_BLOCK_BYTES;
}

int ct_cache_blocks_new(int fd, uint64_t size_bytes, const struct ct_digest *digest,
    struct ct_cache_blocks **ret_blocks)
{
	struct ct_hash whole;
	struct ct_digest found;
	CT_ASSERT(size_bytes > 0);
	ct_cleanup(ct_free_pointer) unsigned char *block = malloc(CT_CACHE_BLOCK_BYTES);
	ct_cleanup(ct_free_pointer) struct ct_cache_blocks *blocks =
	    malloc(ct_cache_blocks_bytes(size_bytes));
	if (block == NULL || blocks == NULL)
		return -ENOMEM;
	blocks->count = 0;
	ct_hash_init(&whole);
	for (uint64_t at = 0; at < size_bytes; at += CT_CACHE_BLOCK_BYTES) {
		size_t length = block_length(size_bytes, at);
		int r = read_exactly(fd, block, length, at);
		if (r < 0)
			return r;
		ct_hash_update(&whole, block, length);
		ct_hash_once(block, length, &blocks->digests[blocks->count++]);
	}
	ct_hash_final(&whole, &found);
	if (!ct_digest_equal(&found, digest))
		return CT_ERROR_DIGEST_MISMATCH;
	*ret_blocks = ct_steal(blocks);
	return 0;
}

/* Adds a block to the proof, in order; the last one ends it. */
static int prove_block(struct stream *stream, size_t index, size_t length)
{
	struct ct_cache_entry *entry = stream->entry;
	struct ct_cache_blocks *proved = stream->proved;
	struct ct_digest found;
	CT_ASSERT(index == proved->count);
	ct_hash_update(&stream->whole, stream->block, length);
	ct_hash_once(stream->block, length, &proved->digests[proved->count++]);
	if (proved->count < block_count(entry->content.size_bytes))
		return 0;
	ct_hash_final(&stream->whole, &found);
	if (!ct_digest_equal(&found, &entry->content.digest))
		return CT_ERROR_DIGEST_MISMATCH;
	ct_cache_prove_entry(entry, ct_steal(stream->proved));
	return 0;
}

static int compare_block(const struct stream *stream, size_t index, size_t length)
{
	struct ct_digest digest;
	const struct ct_cache_blocks *blocks = stream->entry->blocks;
	CT_ASSERT(index < blocks->count);
	ct_hash_once(stream->block, length, &digest);
	return ct_digest_equal(&digest, &blocks->digests[index]) ? 0 : CT_ERROR_DIGEST_MISMATCH;
}

/* Reads the block of `position`, unless it is there, and compares it, or adds it to the proof. */
static int load_block(struct stream *stream, uint64_t position)
{
	const struct ct_cache_entry *entry = stream->entry;
	size_t index = (size_t)(position / CT_CACHE_BLOCK_BYTES);
	uint64_t at = (uint64_t)index * CT_CACHE_BLOCK_BYTES;
	if (stream->block_bytes > 0 && stream->block_at == at)
		return 0;
	size_t length = block_length(entry->content.size_bytes, at);
	stream->block_bytes = 0;
	int r = read_exactly(entry->content.fd, stream->block, length, at);
	if (r < 0)
		return r;
	r = stream->proved != NULL ? prove_block(stream, index, length)
				   : compare_block(stream, index, length);
	if (r < 0)
		return r;
	stream->block_at = at;
	stream->block_bytes = length;
	return 0;
}

static ssize_t read_stream(void *arg, uint64_t offset, void *ret_data, size_t capacity)
{
	struct stream *stream = arg;
	struct ct_cache_entry *entry = stream->entry;
	CT_ASSERT(offset < stream->length);
	uint64_t position = stream->first + offset;
	int r = load_block(stream, position);
	if (r < 0) {
		ct_log(CT_LOG_ERROR, "cache.body_cut", CT_LOG_TEXT("request", stream->request_id),
		    CT_LOG_TEXT("key", entry->key), CT_LOG_NUMBER("offset", (long long)position),
		    CT_LOG_CODE(r));
		ct_cache_forget_entry(entry->cache, entry);
		return r;
	}
	size_t within = (size_t)(position - stream->block_at);
	uint64_t count = stream->block_bytes - within;
	if (count > capacity)
		count = capacity;
	if (count > stream->length - offset)
		count = stream->length - offset;
	memcpy(ret_data, stream->block + within, (size_t)count);
	return (ssize_t)count;
}

static void free_stream(void *arg)
{
	struct stream *stream = arg;
	ct_cache_entry_unref(stream->entry);
	free(stream->proved);
	free(stream);
}

/* NULL: out of memory. */
static struct stream *stream_new(struct ct_http_request *request, struct ct_cache_entry *entry)
{
	struct stream *stream = malloc(sizeof(*stream));
	if (stream == NULL)
		return NULL;
	ct_cache_entry_ref(entry);
	stream->entry = entry;
	stream->proved = NULL;
	(void)snprintf(
	    stream->request_id, sizeof(stream->request_id), "%s", ct_http_request_id(request));
	stream->first = 0;
	stream->length = entry->content.size_bytes;
	stream->block_at = 0;
	stream->block_bytes = 0;
	return stream;
}

static struct ct_http_response *respond(int status, struct stream *stream)
{
	struct ct_http_response *response = ct_http_response_new(status);
	ct_http_response_stream(response, &(struct ct_http_stream){ .size_bytes = stream->length,
					      .read = read_stream,
					      .free = free_stream,
					      .arg = stream });
	return response;
}

struct ct_http_response *ct_cache_stream_response(int status, struct ct_http_request *request,
    struct ct_cache_entry *entry, uint64_t first, uint64_t length)
{
	CT_ASSERT(entry->blocks != NULL && length > 0);
	CT_ASSERT(first < entry->content.size_bytes && length <= entry->content.size_bytes - first);
	struct stream *stream = stream_new(request, entry);
	if (stream == NULL)
		return NULL;
	stream->first = first;
	stream->length = length;
	return respond(status, stream);
}

struct ct_http_response *ct_cache_proof_response(
    struct ct_http_request *request, struct ct_cache_entry *entry)
{
	CT_ASSERT(entry->is_file);
	struct stream *stream = stream_new(request, entry);
	if (stream == NULL)
		return NULL;
	stream->proved = malloc(ct_cache_blocks_bytes(entry->content.size_bytes));
	if (stream->proved == NULL) {
		free_stream(stream);
		return NULL;
	}
	stream->proved->count = 0;
	ct_hash_init(&stream->whole);
	return respond(200, stream);
}
