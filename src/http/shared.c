/*
 * A body that many answers share: one MHD_Response, which libmicrohttpd counts references of
 * while answers run, and a count of ours for those who hold it.
 */
#include "http/response_priv.h"
#include "base/assert.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ct_http_shared {
	/* Set once. */
	struct MHD_Response *response;
	const void *data; /* NULL: fd */
	int fd;		  /* the response's own, or -1 */
	uint64_t size_bytes;
	void (*free)(void *arg); /* of `data` beside a file; else the response frees it */
	void *arg;

	atomic_uint references;
};

static void release_body(const struct ct_http_body *body)
{
	if (body->fd >= 0)
		(void)close(body->fd); /* only read from */
	if (body->data != NULL && body->free != NULL)
		body->free(body->arg);
}

static bool has_both(const struct ct_http_body *body)
{
	return body->data != NULL && body->fd >= 0;
}

static void keep(void *arg)
{
	(void)arg; /* the bytes have no end of their own */
}

static struct MHD_Response *make_response(const struct ct_http_body *body)
{
	if (body->fd >= 0)
		return MHD_create_response_from_fd64(body->size_bytes, body->fd);
	return MHD_create_response_from_buffer_with_free_callback_cls((size_t)body->size_bytes,
	    (void *)(uintptr_t)body->data, body->free != NULL ? body->free : keep, body->arg);
}

static bool add_headers(
    struct MHD_Response *response, const struct ct_http_header_field *headers, size_t count)
{
	if (MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") != MHD_YES)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (MHD_add_response_header(response, headers[i].name, headers[i].value) != MHD_YES)
			return false;
	}
	return true;
}

int ct_http_shared_new(const struct ct_http_body *body, const struct ct_http_header_field *headers,
    size_t header_count, struct ct_http_shared **ret_shared)
{
	CT_ASSERT(body->data != NULL || body->fd >= 0);
	CT_ASSERT(!has_both(body) || body->free != NULL);
	struct ct_http_shared *shared = calloc(1, sizeof(*shared));
	struct MHD_Response *response = shared != NULL ? make_response(body) : NULL;
	if (response == NULL) {
		release_body(body);
		free(shared);
		return -ENOMEM;
	}
	if (!add_headers(response, headers, header_count)) {
		MHD_destroy_response(response); /* and its part of the body with it */
		if (has_both(body))
			body->free(body->arg);
		free(shared);
		return -ENOMEM;
	}
	shared->response = response;
	shared->data = body->data;
	shared->fd = body->fd;
	shared->size_bytes = body->size_bytes;
	shared->free = has_both(body) ? body->free : NULL;
	shared->arg = body->arg;
	atomic_init(&shared->references, 1);
	*ret_shared = shared;
	return 0;
}

struct ct_http_shared *ct_http_shared_ref(struct ct_http_shared *shared)
{
	unsigned before = atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
	CT_ASSERT(before > 0);
	return shared;
}

void ct_http_shared_unref(struct ct_http_shared *shared)
{
	if (shared == NULL)
		return;
	unsigned before = atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel);
	CT_ASSERT(before > 0);
	if (before > 1)
		return;
	MHD_destroy_response(shared->response); /* answers under way keep it */
	if (shared->free != NULL)
		shared->free(shared->arg);
	free(shared);
}

const void *ct_http_shared_data(const struct ct_http_shared *shared, uint64_t *ret_size)
{
	*ret_size = shared->size_bytes;
	return shared->data;
}

struct MHD_Response *ct_http_shared_response(struct ct_http_shared *shared, uint64_t *ret_size)
{
	*ret_size = shared->size_bytes;
	return shared->response;
}

static void unref_part(void *arg)
{
	ct_http_shared_unref(arg);
}

struct MHD_Response *ct_http_shared_part(
    struct ct_http_shared *shared, uint64_t offset, uint64_t length)
{
	if (shared->data != NULL) {
		struct MHD_Response *part = MHD_create_response_from_buffer_with_free_callback_cls(
		    (size_t)length, (char *)(uintptr_t)shared->data + offset, unref_part,
		    ct_http_shared_ref(shared));
		if (part == NULL)
			ct_http_shared_unref(shared);
		return part;
	}
	int fd = fcntl(shared->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	struct MHD_Response *part = MHD_create_response_from_fd_at_offset64(length, fd, offset);
	if (part == NULL)
		(void)close(fd); /* only read from */
	return part;
}

static enum MHD_Result copy_header(
    void *response, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind; /* they have no footers */
	return MHD_add_response_header(response, name, value);
}

struct MHD_Response *ct_http_shared_copy(struct ct_http_shared *shared,
    const struct ct_http_header_field *more, size_t count, uint64_t *ret_size)
{
	struct MHD_Response *copy = ct_http_shared_part(shared, 0, shared->size_bytes);
	if (copy == NULL)
		return NULL;
	int wanted = MHD_get_response_headers(shared->response, NULL, NULL);
	bool ok = MHD_get_response_headers(shared->response, copy_header, copy) == wanted;
	for (size_t i = 0; i < count && ok; i++)
		ok = MHD_add_response_header(copy, more[i].name, more[i].value) == MHD_YES;
	if (!ok || MHD_get_response_headers(copy, NULL, NULL) != wanted + (int)count) {
		MHD_destroy_response(copy);
		return NULL;
	}
	*ret_size = shared->size_bytes;
	return copy;
}
