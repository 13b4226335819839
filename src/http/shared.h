/*
 * Shared bodies: one object, many answers; for the cache. Any thread.
 */
#ifndef CT_HTTP_SHARED_H
#define CT_HTTP_SHARED_H

#include "http/route.h"
#include <stddef.h>
#include <stdint.h>

struct ct_http_request;
struct ct_http_response;
struct ct_http_shared;

/*
 * Bytes in memory, a whole file, or both: then the file has the same bytes, and answers with the
 * object itself are sent from it, which costs no copy. `free` is called when `data` is not needed
 * any more; the file is closed when the last answer has left.
 */
struct ct_http_body {
	const void *data; /* or NULL */
	int fd;		  /* taken over by ct_http_shared_new; or -1 */
	uint64_t size_bytes;
	void (*free)(void *arg); /* for `data` */
	void *arg;
};
struct ct_http_header_field {
	const char *name, *value;
};
/* The headers are fixed for all answers. Takes the body over also when it fails. */
int ct_http_shared_new(const struct ct_http_body *body, const struct ct_http_header_field *headers,
    size_t header_count, struct ct_http_shared **ret_shared);
struct ct_http_shared *ct_http_shared_ref(struct ct_http_shared *shared); /* any thread */
void ct_http_shared_unref(struct ct_http_shared *shared);
/* The fast path: 200 or 304 with the shared object itself. HEAD is handled. */
enum ct_http_next ct_http_answer_shared(
    struct ct_http_request *request, int status, struct ct_http_shared *shared);
/*
 * A response over a part of the shared body (offset 0 and its whole size for all of it), with
 * headers of its own; it holds a reference. For 206, and for a 200 with other headers.
 */
struct ct_http_response *ct_http_response_of_shared(
    int status, struct ct_http_shared *shared, uint64_t offset, uint64_t length_bytes);

#endif
