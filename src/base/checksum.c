#include "base/checksum.h"
#include "base/assert.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct ct_checksum {
	EVP_MD_CTX *context;
};

static const struct {
	const char *name;
	size_t size_bytes;
	const EVP_MD *(*method)(void);
} algorithms[CT_CHECKSUM_COUNT] = {
	[CT_CHECKSUM_SHA1] = { "sha1", 20, EVP_sha1 },
	[CT_CHECKSUM_SHA256] = { "sha256", 32, EVP_sha256 },
};

bool ct_checksum_by_name(struct ct_slice name, enum ct_checksum_algorithm *ret_algorithm)
{
	for (int i = 0; i < CT_CHECKSUM_COUNT; i++) {
		if (ct_slice_equal(name, algorithms[i].name)) {
			*ret_algorithm = (enum ct_checksum_algorithm)i;
			return true;
		}
	}
	return false;
}

const char *ct_checksum_name(enum ct_checksum_algorithm algorithm)
{
	CT_ASSERT((unsigned)algorithm < CT_CHECKSUM_COUNT);
	return algorithms[algorithm].name;
}

size_t ct_checksum_size(enum ct_checksum_algorithm algorithm)
{
	CT_ASSERT((unsigned)algorithm < CT_CHECKSUM_COUNT);
	return algorithms[algorithm].size_bytes;
}

int ct_checksum_new(enum ct_checksum_algorithm algorithm, struct ct_checksum **ret_checksum)
{
	CT_ASSERT((unsigned)algorithm < CT_CHECKSUM_COUNT);
	struct ct_checksum *checksum = malloc(sizeof(*checksum));

	if (checksum == NULL)
		return -ENOMEM;
	checksum->context = EVP_MD_CTX_new();
	if (checksum->context == NULL ||
	    EVP_DigestInit_ex(checksum->context, algorithms[algorithm].method(), NULL) != 1) {
		ct_checksum_free(checksum);
		return -ENOMEM;
	}
	*ret_checksum = checksum;
	return 0;
}

void ct_checksum_free(struct ct_checksum *checksum)
{
	if (checksum == NULL)
		return;
	EVP_MD_CTX_free(checksum->context);
	free(checksum);
}

void ct_checksum_update(struct ct_checksum *checksum, const void *data, size_t length)
{
	CT_ASSERT(EVP_DigestUpdate(checksum->context, data, length) == 1);
}

void ct_checksum_final(struct ct_checksum *checksum, uint8_t ret_bytes[CT_CHECKSUM_MAX_BYTES])
{
	CT_ASSERT(EVP_MD_CTX_get_size(checksum->context) <= CT_CHECKSUM_MAX_BYTES);
	CT_ASSERT(EVP_DigestFinal_ex(checksum->context, ret_bytes, NULL) == 1);
}
