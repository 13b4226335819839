#include "uploads/sniff.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/lock.h"
#include "base/slice.h"

#include <errno.h>
#include <magic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What looks inside of archives or parses documents costs much and tells no image. */
#define MAGIC_FLAGS                                                                            \
	(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_TAR | MAGIC_NO_CHECK_CDF | \
	    MAGIC_NO_CHECK_ELF | MAGIC_NO_CHECK_JSON | MAGIC_NO_CHECK_CSV |                    \
	    MAGIC_NO_CHECK_TOKENS | MAGIC_NO_CHECK_APPTYPE)

#define MAX_HANDLES 8 /* more than that many HTTP loops take no bodies */

struct ct_sniffer {
	unsigned handle_count; /* set once */
	struct ct_lock lock;
	struct ct_condition returned;
	/* Under lock; who has taken a handle owns it. */
	magic_t idle[MAX_HANDLES];
	unsigned idle_count;
};

/* libmagic's handle is one thread's at a time. */
static int open_handle(magic_t *ret_handle)
{
	magic_t handle = magic_open(MAGIC_FLAGS);
	if (handle == NULL)
		return -ENOMEM;
	if (magic_load(handle, NULL) != 0) {
		magic_close(handle);
		return -ENOENT;
	}
	*ret_handle = handle;
	return 0;
}

CT_DEFINE_CLEANUP(sniffer_cleanup, struct ct_sniffer *, ct_sniffer_free)

int ct_sniffer_new(struct ct_sniffer **ret_sniffer)
{
	ct_cleanup(sniffer_cleanup) struct ct_sniffer *sniffer = calloc(1, sizeof(*sniffer));
	if (sniffer == NULL)
		return -ENOMEM;
	ct_lock_init(&sniffer->lock, CT_LOCK_LEAF);
	ct_condition_init(&sniffer->returned);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned count = cores < 1 ? 1 : cores > MAX_HANDLES ? MAX_HANDLES : (unsigned)cores;
	while (sniffer->handle_count < count) {
		int r = open_handle(&sniffer->idle[sniffer->idle_count]);
		if (r < 0)
			return r;
		sniffer->idle_count++;
		sniffer->handle_count++;
	}
	*ret_sniffer = ct_steal(sniffer);
	return 0;
}

void ct_sniffer_free(struct ct_sniffer *sniffer)
{
	if (sniffer == NULL)
		return;
	CT_ASSERT(sniffer->idle_count == sniffer->handle_count);
	while (sniffer->idle_count > 0)
		magic_close(sniffer->idle[--sniffer->idle_count]);
	ct_condition_done(&sniffer->returned);
	ct_lock_done(&sniffer->lock);
	free(sniffer);
}

static magic_t take_handle(struct ct_sniffer *sniffer)
{
	ct_lock_take(&sniffer->lock);
	while (sniffer->idle_count == 0)
		ct_condition_wait(&sniffer->returned, &sniffer->lock);
	magic_t handle = sniffer->idle[--sniffer->idle_count];
	ct_lock_release(&sniffer->lock);
	return handle;
}

static void give_back(struct ct_sniffer *sniffer, magic_t handle)
{
	ct_lock_take(&sniffer->lock);
	CT_ASSERT(sniffer->idle_count < sniffer->handle_count);
	sniffer->idle[sniffer->idle_count++] = handle;
	ct_condition_signal(&sniffer->returned);
	ct_lock_release(&sniffer->lock);
}

int ct_sniff(
    struct ct_sniffer *sniffer, const void *data, size_t length, char *ret_type, size_t capacity)
{
	CT_ASSERT(length > 0);
	if (length > CT_SNIFF_BYTES)
		length = CT_SNIFF_BYTES;
	magic_t handle = take_handle(sniffer);
	const char *type = magic_buffer(handle, data, length);
	int r = type == NULL ? -EIO : ct_slice_copy(ct_slice_from_string(type), ret_type, capacity);
	give_back(sniffer, handle);
	return r;
}
