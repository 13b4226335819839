/*
 * multipart/form-data, cut into its parts as the bytes come in (RFC 7578, RFC 2046 section 5.1).
 * Pieces may be of any size: the same bytes give the same events, however they are cut; only where
 * the DATA of a part is divided may differ. Nothing of a part's data is kept here; a parser is some
 * 9 KiB.
 *
 * How strict: lines end in CRLF, a bare CR or LF in a delimiter line or a part's head is malformed;
 * blanks may follow a boundary, anything else behind it is malformed; folded head lines are taken.
 * Ignored are what stands before the first boundary, up to CT_MULTIPART_MAX_PREAMBLE_BYTES, and
 * what follows the last. A form without any part is well-formed. A body that ends before its last
 * boundary is not: ct_multipart_finish() says so.
 *
 * A parser belongs to one thread at a time.
 */
#ifndef CT_UPLOADS_MULTIPART_H
#define CT_UPLOADS_MULTIPART_H

#include "base/slice.h"

#define CT_MULTIPART_MAX_BOUNDARY 70 /* RFC 2046 section 5.1.1 */
#define CT_MULTIPART_MAX_PREAMBLE_BYTES 8192
#define CT_MULTIPART_MAX_HEAD_BYTES 8192  /* of one part */
#define CT_MULTIPART_MAX_HEAD_LINES 32	  /* of one part */
#define CT_MULTIPART_MAX_PADDING_BYTES 64 /* blanks behind one boundary */
#define CT_MULTIPART_MAX_PARTS 256

struct ct_multipart;

/*
 * The boundary of a Content-Type: 1, or 0 when the type is not multipart/form-data (any case), or
 * -EINVAL: it is, but has no boundary, or two, or one that is not 1 to 70 visible characters
 * (blanks inside may be quoted). More characters are taken than RFC 2046 lists: clients use them.
 */
int ct_multipart_boundary(
    struct ct_slice content_type, char ret_boundary[CT_MULTIPART_MAX_BOUNDARY + 1]);

/* Copies the boundary, which is one that ct_multipart_boundary() gives. -ENOMEM. */
int ct_multipart_new(const char *boundary, struct ct_multipart **ret_multipart);
void ct_multipart_free(struct ct_multipart *multipart); /* NULL is allowed */

enum ct_multipart_event_kind {
	CT_MULTIPART_MORE, /* all bytes are used up */
	CT_MULTIPART_PART, /* a part begins: `head` */
	CT_MULTIPART_DATA, /* some of its bytes: `data`, never empty */
	CT_MULTIPART_PART_END,
	CT_MULTIPART_END /* the last boundary has come; once */
};

/* Fields of a part's head, unfolded and trimmed; absent when missing. Others are ignored. */
struct ct_multipart_head {
	struct ct_slice disposition;	   /* Content-Disposition */
	struct ct_slice transfer_encoding; /* Content-Transfer-Encoding */
};

/* What it points to, in the given bytes or in the parser, is good until the next call. */
struct ct_multipart_event {
	enum ct_multipart_event_kind kind;
	struct ct_multipart_head head;
	struct ct_slice data;
};

/*
 * Takes bytes off the front of `*bytes` up to the next event. Call until MORE. After an error,
 * which stays: CT_ERROR_MALFORMED_FORM, CT_ERROR_TOO_MANY_PARTS.
 */
int ct_multipart_next(
    struct ct_multipart *multipart, struct ct_slice *bytes, struct ct_multipart_event *ret_event);

/* No more bytes will come: 0, or CT_ERROR_MALFORMED_FORM: the form is cut off; or the error. */
int ct_multipart_finish(struct ct_multipart *multipart);

/* After an error: what was wrong, static text for the client. */
const char *ct_multipart_why(const struct ct_multipart *multipart);

#endif
