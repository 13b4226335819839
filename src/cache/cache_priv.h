/*
 * Inside of the cache: what an entry is, and how one is turned into an answer.
 */
#ifndef CT_CACHE_PRIV_H
#define CT_CACHE_PRIV_H

#include "base/lock.h"
#include "cache/cache.h"

/* Intrusive lists: a node is out of its list when `where` is NULL. */
struct ct_cache_node {
	struct ct_cache_node *next;
	struct ct_cache_node **where; /* what points to this node */
};

struct ct_cache_blocks;
struct ct_cache_entry;
struct ct_cache_sealed;
struct ct_cache_use {
	struct ct_cache_entry *newer, *older;
};
enum { CT_CACHE_USE_ALL, CT_CACHE_USE_FILES, CT_CACHE_USE_LISTS };

struct ct_cache_tag_node {
	struct ct_cache_node node; /* first: a node of the table by tag is one of these */
	struct ct_cache_entry *entry;
};

/* What libmicrohttpd and the allocator spend on a shared object with its headers, rounded up. */
#define CT_CACHE_OVERHEAD_BYTES 2048

/* An answer that may be given again. Counted: the index holds one reference, each answer one. */
struct ct_cache_entry {
	uint32_t magic;
	unsigned references; /* atomic */

	/* set once */
	struct ct_http_shared *shared;
	struct ct_cache_content content; /* its data and fd belong to `shared` now */
	bool is_file;
	struct ct_cache *cache;
	uint64_t charge_bytes;
	char key[CT_CACHE_KEY_MAX + 1];
	char tags[CT_CACHE_TAG_MAX][CT_CACHE_TAG_CHARS + 1]; /* empty: none */

	/* under the cache's lock; never changed again once it is there, so that who found the entry
	 * in the index reads it without */
	struct ct_cache_blocks *blocks; /* owned; of a file whose bytes are proved: their digests */

	/* under the cache's lock */
	bool indexed;
	bool unproved; /* a file that answers are proving: in the cache's list of those */
	bool doomed;   /* unproved, and not to be kept when it is proved */
	struct ct_cache_node by_key; /* in the index, or in that list */
	struct ct_cache_tag_node by_tag[CT_CACHE_TAG_MAX];
	struct ct_cache_use use[CT_CACHE_USE_LISTS];

	struct ct_cache_entry *next_dropped; /* of the thread that took it out of the index */
};

/* How an answer came about: Cache-Status, RFC 9211. */
enum ct_cache_way { CT_CACHE_HIT, CT_CACHE_STORED, CT_CACHE_COLLAPSED, CT_CACHE_PASSED };

/*
 * Takes over the content's data and fd, or `sealed` with its data instead of them (else NULL), also
 * when it fails. -ENOMEM. The caller sets the tags.
 */
int ct_cache_entry_new(const char *cache_name, const char *key,
    const struct ct_cache_content *content, struct ct_cache_sealed *sealed,
    struct ct_cache_entry **ret_entry);
void ct_cache_entry_ref(struct ct_cache_entry *entry);
void ct_cache_entry_unref(struct ct_cache_entry *entry);

/* Preconditions, range, and the answer (RFC 9110 sections 13 and 14). The entry is borrowed. */
enum ct_http_next ct_cache_answer_entry(struct ct_http_request *request,
    struct ct_cache_entry *entry, const char *cache_name, enum ct_cache_way way);

/* The whole of a file with which nobody has compared its digest yet: the answer does. */
enum ct_http_next ct_cache_answer_unproved(struct ct_http_request *request,
    struct ct_cache_entry *entry, const char *cache_name, enum ct_cache_way way);
/* Is a 200 with the whole content what the request asks for? It may sleep. */
bool ct_cache_wants_whole(
    const struct ct_http_request *request, const struct ct_cache_entry *entry);

/*
 * Takes one out of the index, if it is still there: it has proved to be other than it was. The
 * caller holds a reference.
 */
void ct_cache_forget_entry(struct ct_cache *cache, struct ct_cache_entry *entry);

/*
 * An unproved file has its digest: keeps the entry, unless it was purged meanwhile or somebody else
 * was first. Takes the list over. The caller holds a reference.
 */
void ct_cache_prove_entry(struct ct_cache_entry *entry, struct ct_cache_blocks *blocks);
/* The last reference of an unproved one has gone. */
void ct_cache_abandon_entry(struct ct_cache_entry *entry);

/* ---- stream.c: bodies that stay in their file ---- */

#define CT_CACHE_BLOCK_BYTES (128u << 10)

/*
 * Hashes the file whole and in blocks; free() it. In a fill: blocks. CT_ERROR_DIGEST_MISMATCH,
 * -ENODATA for a file that is too short.
 */
int ct_cache_blocks_new(int fd, uint64_t size_bytes, const struct ct_digest *digest,
    struct ct_cache_blocks **ret_blocks);
uint64_t ct_cache_blocks_bytes(uint64_t size_bytes); /* what a list takes */
/*
 * A response over a part of the entry's file, each block compared before it is sent. It holds a
 * reference, and the memory of one block. NULL: out of memory.
 */
struct ct_http_response *ct_cache_stream_response(int status, struct ct_http_request *request,
    struct ct_cache_entry *entry, uint64_t first, uint64_t length);
/*
 * A 200 with the whole of a file that is not proved yet: it is hashed on its way, and the last
 * block leaves when the digest has been found right, and the entry kept. As above; its list of
 * digests comes on top.
 */
struct ct_http_response *ct_cache_proof_response(
    struct ct_http_request *request, struct ct_cache_entry *entry);

/* ---- pure parts, for the tests ---- */

enum ct_cache_range { CT_CACHE_RANGE_NONE, CT_CACHE_RANGE_ONE, CT_CACHE_RANGE_OUTSIDE };
/*
 * RFC 9110 section 14.1.2, a single range of a body of `size_bytes`. NONE: absent, another unit,
 * several ranges or bad syntax, all of which are to be ignored.
 */
enum ct_cache_range ct_cache_parse_range(
    struct ct_slice field, uint64_t size_bytes, uint64_t *ret_first, uint64_t *ret_length);

#endif
