/*
 * An LRU cache of whole answers, bounded in bytes. An entry is one shared response object
 * (http.h), hashed whole before its first hit; a miss is filled once, however many wait.
 *
 * The bound holds at every moment for what is kept: bodies, and an overhead for each. What is not
 * kept any more, or never was, lives on until its last answer has left: at most one body of
 * CT_CACHE_MEMORY_MAX for each running transfer and two for each thread of the fill pool come on
 * top.
 *
 * The caller decides beforehand whether the request may see the content at all: a hit asks nobody.
 * Purging is by tag and takes effect before it returns: an entry is gone, and what is under way, a
 * fill or the first answers over a large file, ends for those who have asked but is not kept.
 *
 * Threads: any. The lock is never held over a fill, a send or a callback.
 */
#ifndef CT_CACHE_H
#define CT_CACHE_H

#include "base/thread_pool.h"
#include "calotype/digest.h"
#include "http/http.h"
#include <stdint.h>

struct ct_cache;

#define CT_CACHE_KEY_MAX 159
#define CT_CACHE_TAG_MAX 2 /* tags of an entry: image id, digest */
#define CT_CACHE_TAG_CHARS 64
#define CT_CACHE_DETAIL_BYTES 512
/*
 * Larger bodies stay in their file. The first answers that send all of it begin at once and hash it
 * on the way: the last block leaves when the digest was right, and the entry is kept. Who wants
 * less waits until it has been hashed in the fill pool. Later each block is hashed again before it
 * is sent. A mismatch is logged, cuts the connection and drops the entry. 1/4096 of such a body
 * counts as the entry's bytes, for its list of digests; an answer under way holds one block of
 * 128 KiB, and a first one a list.
 */
#define CT_CACHE_MEMORY_MAX (16u << 20)

/*
 * Bodies in memory from 512 KiB up lie in sealed memory files, from which the kernel sends without
 * a copy; they count in whole pages. Where max_sealed descriptors are in use, they lie on the heap.
 */

struct ct_cache_options {
	uint64_t max_bytes;   /* bodies and entries together [64 MiB] */
	unsigned max_files;   /* open descriptors of large bodies [256] */
	unsigned max_sealed;  /* descriptors of bodies in memory [1/4 of RLIMIT_NOFILE] */
	unsigned max_waiters; /* of all fills together [1024] */
	struct ct_thread_pool *fill_pool; /* where fills run; they may block */
	const char *name;		  /* in Cache-Status, RFC 9211 ["calotype"] */
};

/* What a fill brings. Strings are copied. */
struct ct_cache_content {
	void *data; /* malloc'd, taken over; or NULL and: */
	int fd;	    /* of a file that is not empty, taken over */
	uint64_t size_bytes;
	struct ct_digest digest; /* the cache hashes all bytes against it, but for `data` if: */
	bool is_verified;	 /* the fill has done so */
	char type[128];
	char etag[80]; /* with its quotes; strong */
	char cache_control[128];
	char disposition[320]; /* Content-Disposition, or empty */
	bool no_store;	       /* answer those who wait, keep nothing */
};

struct ct_cache_fill {
	/*
	 * In fill_pool, may block. 0 with `*ret_content`, or an error with a detail, which holds no
	 * content: all who wait are answered with that problem, nothing is kept; a 5xx is logged.
	 * Content of other bytes than its digest is dropped with CT_ERROR_DIGEST_MISMATCH (of a
	 * file the connections that were sending it are cut).
	 */
	int (*fill)(void *arg, struct ct_cache_content *ret_content,
	    char ret_detail[CT_CACHE_DETAIL_BYTES]);
	void (*free)(void *arg); /* of arg, once, whether `fill` ran or not */
	void *arg;
};

int ct_cache_new(const struct ct_cache_options *options, struct ct_cache **ret_cache);
void ct_cache_free(struct ct_cache *cache); /* fills have ended */

/*
 * Answers a GET or HEAD: hit at once, or waits for the fill (the result is for `return`). Handles
 * If-Match, If-None-Match, If-Range, single ranges (RFC 9110 sections 13 and 14), Cache-Status and
 * the CSP sandbox. CT_ERROR_LIMIT_REACHED (503) to whom max_waiters or the fill pool turns away.
 * `tags` (NULL: none) are known beforehand, so that a purge also meets a fill under way. `fill` is
 * taken over in any case.
 */
enum ct_http_next ct_cache_answer(struct ct_cache *cache, struct ct_http_request *request,
    const char *key, const char *const tags[CT_CACHE_TAG_MAX], const struct ct_cache_fill *fill);

void ct_cache_purge_tag(struct ct_cache *cache, const char *tag);

struct ct_cache_figures {
	uint64_t bytes, entries, hits, misses, collapsed, evictions;
};
void ct_cache_figures(struct ct_cache *cache, struct ct_cache_figures *ret_figures);

#endif
