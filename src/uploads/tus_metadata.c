#include "uploads/tus_metadata.h"

#include "base/text.h"
#include "uploads/filename.h"

#include <errno.h>
#include <string.h>

struct parse {
	struct ct_slice keys[CT_TUS_METADATA_MAX_PAIRS];
	size_t count;
	char value[CT_UPLOAD_METADATA_MAX]; /* decoded; shorter than its Base64 */
	char name[CT_FILENAME_MAX + 1];
	struct ct_tus_metadata result;
};

static bool is_printable(struct ct_slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < 0x20 || text.data[i] > 0x7e)
			return false;
	}
	return true;
}

static bool is_known(const struct parse *parse, struct ct_slice key)
{
	for (size_t i = 0; i < parse->count; i++) {
		if (parse->keys[i].length == key.length &&
		    memcmp(parse->keys[i].data, key.data, key.length) == 0)
			return true;
	}
	return false;
}

/* Told apart from a malformed pair. */
static int take_name(struct ct_slice value, char *ret_name)
{
	int r = ct_filename_clean(value, ret_name);
	return r == -EINVAL ? -EILSEQ : r;
}

static int take_value(struct parse *parse, struct ct_slice key, struct ct_slice value)
{
	if (ct_slice_equal(key, "filename"))
		return take_name(value, parse->result.filename);
	if (ct_slice_equal(key, "name"))
		return take_name(value, parse->name);
	/* A wrong type does no harm: the bytes say what the file is. */
	if (ct_slice_equal(key, "filetype") &&
	    (!is_printable(value) ||
		ct_slice_copy(value, parse->result.filetype, sizeof(parse->result.filetype)) < 0))
		parse->result.filetype[0] = '\0';
	return 0;
}

static int take_pair(struct parse *parse, struct ct_slice pair)
{
	struct ct_slice value = ct_slice_trim(pair);
	struct ct_slice key = ct_slice_cut(&value, ' ');
	size_t length = 0;

	if (key.length == 0 || is_known(parse, key))
		return -EINVAL;
	if (parse->count == CT_TUS_METADATA_MAX_PAIRS)
		return -ENAMETOOLONG;
	parse->keys[parse->count++] = key;
	if (value.length > 0) {
		int r = ct_base64_decode(value, parse->value, sizeof(parse->value), &length);
		if (r < 0)
			return r;
	}
	return take_value(parse, key, (struct ct_slice){ parse->value, length });
}

int ct_tus_metadata_parse(struct ct_slice header, struct ct_tus_metadata *ret_metadata)
{
	struct parse parse = { .count = 0 };
	struct ct_slice rest = header;

	*ret_metadata = (struct ct_tus_metadata){ 0 };
	if (header.length > CT_UPLOAD_METADATA_MAX)
		return -ENAMETOOLONG;
	if (!is_printable(header))
		return -EINVAL;
	if (header.length == 0)
		return 0;
	while (rest.data != NULL) {
		int r = take_pair(&parse, ct_slice_cut(&rest, ','));
		if (r < 0)
			return r;
	}
	if (parse.result.filename[0] == '\0')
		memcpy(parse.result.filename, parse.name, sizeof(parse.name));
	*ret_metadata = parse.result;
	return 0;
}
