/*
 * The Upload-Metadata header of tus 1.0.0 (creation extension): pairs of key and Base64 value,
 * comma between. Strict: one malformed pair refuses all. Pure.
 */
#ifndef CT_UPLOADS_TUS_METADATA_H
#define CT_UPLOADS_TUS_METADATA_H

#include "base/slice.h"
#include "metadata/metadata.h"

#define CT_TUS_METADATA_MAX_PAIRS 64

struct ct_tus_metadata {
	char filename[CT_FILENAME_MAX + 1]; /* of `filename`, else `name`; cleaned; may be empty */
	char filetype[CT_TYPE_MAX + 1];	    /* as the client says; never believed */
};

/*
 * -EILSEQ: a file name is not UTF-8. -EINVAL: a key is empty, twice there, or holds other than
 * visible ASCII; a value is not Base64; bytes that no header may hold; a file name that is not
 * UTF-8. -ENAMETOOLONG: more than CT_UPLOAD_METADATA_MAX bytes, too many pairs, or the file name is
 * too long.
 */
int ct_tus_metadata_parse(struct ct_slice header, struct ct_tus_metadata *ret_metadata);

#endif
