#include "uploads/digests.h"
#include "base/structured.h"

/* 1: it has a sha-256; 0: it is absent, or has none; -1: malformed. */
static int read_field(struct ct_slice field, struct ct_digest *ret_digest)
{
	struct ct_structured walk;
	struct ct_structured_member member;
	size_t length = 0;
	int found = 0;

	if (field.data == NULL)
		return 0;
	if (ct_structured_dictionary(field, &walk) < 0)
		return -1;
	while (ct_structured_next(&walk, &member)) {
		if (member.value.type != CT_STRUCTURED_BYTES)
			return -1;
		if (!ct_slice_equal(member.key, "sha-256"))
			continue;
		if (ct_structured_bytes(
			&member.value, ret_digest->bytes, CT_DIGEST_BYTES, &length) < 0 ||
		    length != CT_DIGEST_BYTES)
			return -1;
		found = 1;
	}
	return found;
}

/* A preference from 1 to 10; 0 is "not acceptable". */
static bool read_wish(struct ct_slice field)
{
	struct ct_structured walk;
	struct ct_structured_member member;

	if (ct_structured_dictionary(field, &walk) < 0 ||
	    !ct_structured_find(&walk, "sha-256", &member))
		return false;
	return member.value.type == CT_STRUCTURED_INTEGER && member.value.number >= 1 &&
	       member.value.number <= 10;
}

const char *ct_digests_read(const struct ct_http_request *request, struct ct_digests *ret_digests)
{
	int content = read_field(ct_http_header(request, "Content-Digest"), &ret_digests->content);
	int repr = read_field(ct_http_header(request, "Repr-Digest"), &ret_digests->repr);

	ret_digests->has_content = content > 0;
	ret_digests->has_repr = repr > 0;
	ret_digests->wants_repr = read_wish(ct_http_header(request, "Want-Repr-Digest"));
	if (content < 0)
		return "Content-Digest must be a dictionary of byte sequences, for example "
		       "sha-256=:<base64 of 32 bytes>:";
	if (repr < 0)
		return "Repr-Digest must be a dictionary of byte sequences, for example "
		       "sha-256=:<base64 of 32 bytes>:";
	return NULL;
}

void ct_body_check_begin(struct ct_body_check *check, const struct ct_digests *digests)
{
	check->is_on = digests->has_content;
	check->expected = digests->content;
	if (check->is_on)
		ct_hash_init(&check->hash);
}

void ct_body_check_update(struct ct_body_check *check, const void *data, size_t length)
{
	if (check->is_on)
		ct_hash_update(&check->hash, data, length);
}

struct ct_http_response *ct_digests_content_problem(const struct ct_http_request *request,
    const struct ct_digest *expected, const struct ct_digest *found)
{
	char said[CT_DIGEST_FIELD_CHARS + 1], has[CT_DIGEST_FIELD_CHARS + 1];

	ct_digest_to_field(expected, said);
	ct_digest_to_field(found, has);
	return ct_http_problem(request, CT_ERROR_CONTENT_DIGEST_MISMATCH,
	    "Content-Digest said %s, and the body has %s; nothing of it was kept", said, has);
}

struct ct_http_response *ct_body_check_end(
    struct ct_body_check *check, const struct ct_http_request *request)
{
	struct ct_digest found;

	if (!check->is_on)
		return NULL;
	check->is_on = false;
	ct_hash_final(&check->hash, &found);
	if (ct_digest_equal(&found, &check->expected))
		return NULL;
	return ct_digests_content_problem(request, &check->expected, &found);
}
