#include "uploads/parts.h"

#include <errno.h>
#include <string.h>

/* A comma between two addresses would make them one, of the second part alone. */
static bool is_plain(struct ct_slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < 0x20 || text.data[i] > 0x7e || text.data[i] == ',')
			return false;
	}
	return true;
}

/* The last two segments: "uploads" and the id. */
static int parse_address(struct ct_slice address, char ret_id[CT_ID_CHARS + 1])
{
	struct ct_slice rest = address;
	struct ct_slice folder = CT_SLICE_ABSENT, last = CT_SLICE_ABSENT;

	while (rest.data != NULL) {
		folder = last;
		last = ct_slice_cut(&rest, '/');
	}
	if (!ct_slice_equal(folder, "uploads") || !ct_id_is_valid(last))
		return -EINVAL;
	return ct_slice_copy(last, ret_id, CT_ID_CHARS + 1);
}

int ct_parts_parse(struct ct_slice field, struct ct_parts *ret_parts)
{
	struct ct_slice rest = field;

	ret_parts->count = 0;
	ret_parts->kind = CT_UPLOAD_PARTIAL;
	if (ct_slice_equal(field, "partial"))
		return 0;
	if (field.length > CT_UPLOAD_CONCAT_MAX)
		return -ENAMETOOLONG;
	if (!ct_slice_equal(ct_slice_cut(&rest, ';'), "final") || !is_plain(field))
		return -EINVAL;
	ret_parts->kind = CT_UPLOAD_FINAL;
	while (rest.data != NULL) {
		if (ret_parts->count == CT_PARTS_MAX)
			return -ENAMETOOLONG;
		int r = parse_address(ct_slice_cut(&rest, ' '), ret_parts->ids[ret_parts->count++]);
		if (r < 0)
			return r;
	}
	return ret_parts->count > 0 ? 0 : -EINVAL;
}
