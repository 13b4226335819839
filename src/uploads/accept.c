#include "uploads/accept.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/slice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pattern {
	struct ct_slice type;	 /* into `list`; "*": any */
	struct ct_slice subtype; /* likewise */
};

struct ct_accept {
	char *list;
	struct pattern patterns[CT_ACCEPT_MAX_PATTERNS];
	size_t count;
};

CT_DEFINE_CLEANUP(free_accept, struct ct_accept *, ct_accept_free)

/* tchar of RFC 9110 section 5.6.2 without the ones no media type has. */
static bool is_token(struct ct_slice text)
{
	static const char extra[] = "!#$&-^_.+*";

	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		bool alnum =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && (c == '\0' || strchr(extra, c) == NULL))
			return false;
	}
	return text.length > 0;
}

static int split(struct ct_slice text, struct pattern *ret_pattern)
{
	struct ct_slice rest = ct_slice_trim(text);
	struct ct_slice type = ct_slice_cut(&rest, '/');

	if (rest.data == NULL || !is_token(type) || !is_token(rest))
		return -EINVAL;
	if (ct_slice_equal(type, "*") && !ct_slice_equal(rest, "*"))
		return -EINVAL;
	*ret_pattern = (struct pattern){ type, rest };
	return 0;
}

int ct_accept_new(const char *list, struct ct_accept **ret_accept)
{
	ct_cleanup(free_accept) struct ct_accept *accept = calloc(1, sizeof(*accept));
	if (accept == NULL)
		return -ENOMEM;
	accept->list = strdup(list);
	if (accept->list == NULL)
		return -ENOMEM;

	struct ct_slice rest = ct_slice_from_string(accept->list);
	while (rest.data != NULL) {
		if (accept->count == CT_ACCEPT_MAX_PATTERNS)
			return -EINVAL;
		int r = split(ct_slice_cut(&rest, ','), &accept->patterns[accept->count]);
		if (r < 0)
			return r;
		accept->count++;
	}
	*ret_accept = ct_steal(accept);
	return 0;
}

void ct_accept_free(struct ct_accept *accept)
{
	if (accept == NULL)
		return;
	free(accept->list);
	free(accept);
}

static bool fits(struct ct_slice pattern, struct ct_slice part)
{
	return ct_slice_equal(pattern, "*") ||
	       (pattern.length == part.length &&
		   strncasecmp(pattern.data, part.data, part.length) == 0);
}

bool ct_accept_matches(const struct ct_accept *accept, const char *type)
{
	CT_ASSERT(accept->count > 0);
	struct pattern wanted;

	if (split(ct_slice_from_string(type), &wanted) < 0)
		return false;
	for (size_t i = 0; i < accept->count; i++) {
		const struct pattern *pattern = &accept->patterns[i];
		if (fits(pattern->type, wanted.type) && fits(pattern->subtype, wanted.subtype))
			return true;
	}
	return false;
}

const char *ct_accept_list(const struct ct_accept *accept)
{
	return accept->list;
}
