#include "jobs/jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void ct_cursor_format(int64_t at, const char *id, char ret_text[64])
{
	(void)snprintf(ret_text, 64, "%" PRId64 "-%s", at, id); /* 20 + 1 + 32 characters at most */
}

int ct_cursor_parse(const char *text, int64_t *ret_at, char ret_id[CT_ID_CHARS + 1])
{
	struct ct_slice id = ct_slice_from_string(text);
	struct ct_slice number = ct_slice_cut(&id, '-');
	uint64_t at;
	if (number.data == NULL || id.data == NULL || !ct_id_is_valid(id))
		return -EINVAL;
	if (ct_slice_to_u64(number, INT64_MAX, &at) < 0)
		return -EINVAL;
	*ret_at = (int64_t)at;
	return ct_slice_copy(id, ret_id, CT_ID_CHARS + 1);
}
