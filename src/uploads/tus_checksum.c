#include "uploads/tus_checksum.h"

#include "base/assert.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ct_tus_checksum {
	bool awaits;
	struct ct_tus_checksum_value expected;		/* unless it awaits it */
	struct ct_checksum *running[CT_CHECKSUM_COUNT]; /* NULL: not asked for */
};

int ct_tus_checksum_parse(struct ct_slice field, struct ct_tus_checksum_value *ret_value)
{
	struct ct_tus_checksum_value value = { .algorithm = CT_CHECKSUM_SHA1 };
	struct ct_slice rest = field;
	struct ct_slice name = ct_slice_cut(&rest, ' ');
	size_t length;

	if (name.length == 0 || rest.length == 0)
		return -EINVAL;
	if (!ct_checksum_by_name(name, &value.algorithm))
		return -EOPNOTSUPP;
	if (ct_base64_decode(rest, value.bytes, sizeof(value.bytes), &length) < 0 ||
	    length != ct_checksum_size(value.algorithm))
		return -EINVAL;
	*ret_value = value;
	return 0;
}

bool ct_tus_checksum_is_announced(struct ct_slice trailer)
{
	struct ct_slice rest = trailer;

	while (rest.data != NULL) {
		struct ct_slice name = ct_slice_trim(ct_slice_cut(&rest, ','));
		if (ct_slice_equal_ignore_case(name, "Upload-Checksum"))
			return true;
	}
	return false;
}

int ct_tus_checksum_new(
    const struct ct_tus_checksum_value *expected, struct ct_tus_checksum **ret_checksum)
{
	struct ct_tus_checksum *checksum = calloc(1, sizeof(*checksum));

	if (checksum == NULL)
		return -ENOMEM;
	checksum->awaits = expected == NULL;
	if (expected != NULL)
		checksum->expected = *expected;
	for (int i = 0; i < CT_CHECKSUM_COUNT; i++) {
		if (expected != NULL && i != (int)expected->algorithm)
			continue;
		int r = ct_checksum_new((enum ct_checksum_algorithm)i, &checksum->running[i]);
		if (r < 0) {
			ct_tus_checksum_free(checksum);
			return r;
		}
	}
	*ret_checksum = checksum;
	return 0;
}

void ct_tus_checksum_free(struct ct_tus_checksum *checksum)
{
	if (checksum == NULL)
		return;
	for (int i = 0; i < CT_CHECKSUM_COUNT; i++)
		ct_checksum_free(checksum->running[i]);
	free(checksum);
}

bool ct_tus_checksum_awaits(const struct ct_tus_checksum *checksum)
{
	return checksum->awaits;
}

void ct_tus_checksum_expect(
    struct ct_tus_checksum *checksum, const struct ct_tus_checksum_value *value)
{
	CT_ASSERT(checksum->awaits);
	checksum->expected = *value;
	checksum->awaits = false;
}

void ct_tus_checksum_update(struct ct_tus_checksum *checksum, const void *data, size_t length)
{
	for (int i = 0; i < CT_CHECKSUM_COUNT; i++) {
		if (checksum->running[i] != NULL)
			ct_checksum_update(checksum->running[i], data, length);
	}
}

bool ct_tus_checksum_matches(struct ct_tus_checksum *checksum)
{
	enum ct_checksum_algorithm algorithm = checksum->expected.algorithm;
	uint8_t found[CT_CHECKSUM_MAX_BYTES];

	CT_ASSERT(!checksum->awaits && checksum->running[algorithm] != NULL);
	ct_checksum_final(checksum->running[algorithm], found);
	return memcmp(found, checksum->expected.bytes, ct_checksum_size(algorithm)) == 0;
}
