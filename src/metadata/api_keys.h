/*
 * Rows of `api_key`: calo_<8>_<43>; only the SHA-256 of the whole key is kept.
 * Thread rule and errors: metadata.h.
 */
#ifndef CT_METADATA_API_KEYS_H
#define CT_METADATA_API_KEYS_H

#include "metadata/metadata.h"

#define CT_SCOPE_READ 1u
#define CT_SCOPE_WRITE 2u
#define CT_SCOPE_ADMIN 4u
#define CT_SCOPE_COUNT 3

/* "read", "write", "admin": of the lowest of these bits, of which there is one. */
const char *ct_scope_name(unsigned scopes);

struct ct_api_key_row {
	char id[16]; /* the eight characters */
	struct ct_digest secret;
	unsigned scopes;
	char name[64];
	int64_t created_at, revoked_at;
	int64_t expires_at; /* 0: never */
};

int ct_api_key_insert(struct ct_metadata_view *view, const struct ct_api_key_row *row);
int ct_api_key_get(struct ct_metadata_view *view, const char *id, struct ct_api_key_row *ret_row);
/* Oldest first, revoked ones too; count. */
int ct_api_key_list(struct ct_metadata_view *view, struct ct_api_key_row *ret_rows, int capacity);
/* Again is fine: the first time counts. */
int ct_api_key_revoke(struct ct_metadata_view *view, const char *id, int64_t now);
/* Was there ever a key? A revoked one counts: a server that had keys stays closed. */
int ct_api_key_exists(struct ct_metadata_view *view, bool *ret_exists);

#endif
