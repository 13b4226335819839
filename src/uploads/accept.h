/*
 * Which media types are taken: a comma list of patterns, "image/png", "image/" and a star, or two
 * stars. Immutable after it was made; any thread.
 */
#ifndef CT_UPLOADS_ACCEPT_H
#define CT_UPLOADS_ACCEPT_H

#include <stdbool.h>

struct ct_accept;

#define CT_ACCEPT_MAX_PATTERNS 64

/* -EINVAL: a pattern is not type/subtype, there is none, or more than the maximum. */
int ct_accept_new(const char *list, struct ct_accept **ret_accept);
void ct_accept_free(struct ct_accept *accept); /* NULL is allowed */

/* `type` is type/subtype without parameters; case is ignored (RFC 9110 section 8.3.1). */
bool ct_accept_matches(const struct ct_accept *accept, const char *type);

/* The list as it was given, for error texts; borrowed. */
const char *ct_accept_list(const struct ct_accept *accept);

#endif
