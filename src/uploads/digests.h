/*
 * Digest fields (RFC 9530) of a request that brings bytes: Content-Digest is of its body,
 * Repr-Digest of the whole file, Want-Repr-Digest asks for the one that arrived. SHA-256 only:
 * other algorithms are ignored, as section 2 and section 4 allow.
 */
#ifndef CT_UPLOADS_DIGESTS_H
#define CT_UPLOADS_DIGESTS_H

#include "base/hash.h"
#include "http/http.h"

/* A plain value. */
struct ct_digests {
	bool has_content, has_repr, wants_repr;
	struct ct_digest content, repr;
};

/*
 * NULL; or what is wrong: a field is no dictionary of byte sequences, or its sha-256 has not 32
 * bytes. Want-Repr-Digest is only a wish (section 4): malformed, it is none.
 */
const char *ct_digests_read(const struct ct_http_request *request, struct ct_digests *ret_digests);

/* One body against its Content-Digest, as it comes. A plain value of one thread; zeros: none. */
struct ct_body_check {
	bool is_on;
	struct ct_digest expected;
	struct ct_hash hash;
};

void ct_body_check_begin(struct ct_body_check *check, const struct ct_digests *digests);
void ct_body_check_update(struct ct_body_check *check, const void *data, size_t length);
/* At the body's end: NULL, or the problem CONTENT_DIGEST_MISMATCH, which names both. */
struct ct_http_response *ct_body_check_end(
    struct ct_body_check *check, const struct ct_http_request *request);
struct ct_http_response *ct_digests_content_problem(const struct ct_http_request *request,
    const struct ct_digest *expected, const struct ct_digest *found);

#endif
