/*
 * Bodies in memory that are sent without a copy: sealed memory files, which sendfile() takes.
 */
#ifndef CT_CACHE_SEALED_PRIV_H
#define CT_CACHE_SEALED_PRIV_H

#include "cache/cache.h"

/*
 * Smaller ones are cheaper to copy: a file takes a call of its own, a lock in libmicrohttpd, and a
 * look-up for each page. Measured to nginx's processor time, copied and from a file: 100 KB 0.70
 * and 0.80, 200 KB 0.95 and 1.19, 400 and 800 KB alike, 3 MB 1.55 and 1.01.
 */
#define CT_CACHE_SEALED_MIN (512u << 10)

/* Descriptors for such bodies. One that has left the cache gives its place back at once, though an
 * answer under way still holds the descriptor. */
struct ct_cache_places {
	unsigned max;  /* set once */
	unsigned used; /* atomic */
};

struct ct_cache_sealed {
	int fd; /* goes to the shared response */
	void *data;
	size_t size_bytes;
	struct ct_cache_places *places;
};

/* Moves the content's data, which is NULL then. -EMFILE, -ENOMEM, -errno: it stays where it is. */
int ct_cache_sealed_new(struct ct_cache_places *places, struct ct_cache_content *content,
    struct ct_cache_sealed **ret_sealed);
void ct_cache_sealed_free(void *sealed);	     /* but for the descriptor */
uint64_t ct_cache_sealed_bytes(uint64_t size_bytes); /* whole pages */

#endif
