/*
 * Addresses. A server's answer may name another host than the one it was asked at (its public
 * address), so calls are never made to an address out of an answer: only the id in it is used,
 * and the key stays with the server that the user has named. Pure functions.
 */
#ifndef CT_CLI_URLS_H
#define CT_CLI_URLS_H

#include "base/slice.h"
#include "base/text.h"
#include "base/url.h"
#include <stddef.h>

/* For people: absolute references stay, others go behind `base`. -ENAMETOOLONG. */
int ct_url_join(const char *base, const char *reference, char *ret_url, size_t capacity);

/* The id of ".../<folder>/<id>"; -EINVAL. */
int ct_url_last_id(struct ct_slice reference, const char *folder, char ret_id[CT_ID_CHARS + 1]);

/* The target of a Link field (RFC 8288) with that relation; absent when there is none. */
struct ct_slice ct_link_find(struct ct_slice field, const char *relation);

#endif
