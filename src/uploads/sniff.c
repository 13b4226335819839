#include "uploads/sniff.h"

#include "base/assert.h"
#include "base/lock.h"
#include "base/slice.h"

#include <errno.h>
#include <magic.h>
#include <stdlib.h>
#include <string.h>

/* What looks inside of archives or parses documents costs much and tells no image. */
#define MAGIC_FLAGS                                                                            \
	(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_TAR | MAGIC_NO_CHECK_CDF | \
	    MAGIC_NO_CHECK_ELF | MAGIC_NO_CHECK_JSON | MAGIC_NO_CHECK_CSV |                    \
	    MAGIC_NO_CHECK_TOKENS | MAGIC_NO_CHECK_APPTYPE)

struct ct_sniffer {
	struct ct_lock lock;
	magic_t cookie; /* under lock; NULL before the first call */
};

int ct_sniffer_new(struct ct_sniffer **ret_sniffer)
{
	struct ct_sniffer *sniffer = calloc(1, sizeof(*sniffer));
	if (sniffer == NULL)
		return -ENOMEM;
	ct_lock_init(&sniffer->lock, CT_LOCK_LEAF);
	*ret_sniffer = sniffer;
	return 0;
}

void ct_sniffer_free(struct ct_sniffer *sniffer)
{
	if (sniffer == NULL)
		return;
	if (sniffer->cookie != NULL)
		magic_close(sniffer->cookie);
	ct_lock_done(&sniffer->lock);
	free(sniffer);
}

static int load_locked(struct ct_sniffer *sniffer)
{
	ct_lock_assert_held(&sniffer->lock);
	if (sniffer->cookie != NULL)
		return 0;
	magic_t cookie = magic_open(MAGIC_FLAGS);
	if (cookie == NULL)
		return -ENOMEM;
	if (magic_load(cookie, NULL) != 0) {
		magic_close(cookie);
		return -ENOENT;
	}
	sniffer->cookie = cookie;
	return 0;
}

static int sniff_locked(
    struct ct_sniffer *sniffer, const void *data, size_t length, char *ret_type, size_t capacity)
{
	int r = load_locked(sniffer);
	if (r < 0)
		return r;
	const char *type = magic_buffer(sniffer->cookie, data, length);
	if (type == NULL)
		return -EIO;
	return ct_slice_copy(ct_slice_from_string(type), ret_type, capacity);
}

int ct_sniff(
    struct ct_sniffer *sniffer, const void *data, size_t length, char *ret_type, size_t capacity)
{
	CT_ASSERT(length > 0);
	if (length > CT_SNIFF_BYTES)
		length = CT_SNIFF_BYTES;
	ct_lock_take(&sniffer->lock);
	int r = sniff_locked(sniffer, data, length, ret_type, capacity);
	ct_lock_release(&sniffer->lock);
	return r;
}
