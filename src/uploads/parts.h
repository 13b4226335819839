/*
 * The Upload-Concat field of tus 1.0.0 (concatenation extension): `partial`, or `final;` and the
 * addresses of the parts with a blank between. An address is absolute or relative, as the client
 * knows it from Location; which host it names doesn't matter, it ends in /uploads/{id}. Pure.
 */
#ifndef CT_UPLOADS_PARTS_H
#define CT_UPLOADS_PARTS_H

#include "base/slice.h"
#include "metadata/uploads.h"

#define CT_PARTS_MAX 64

struct ct_parts {
	enum ct_upload_kind kind;		 /* partial or final */
	unsigned count;				 /* 0 of a partial one, else at least 1 */
	char ids[CT_PARTS_MAX][CT_ID_CHARS + 1]; /* in order; one may be there more than once */
};

/* -EINVAL: neither of the two; -ENAMETOOLONG: more parts, or more than CT_UPLOAD_CONCAT_MAX bytes.
 */
int ct_parts_parse(struct ct_slice field, struct ct_parts *ret_parts);

#endif
