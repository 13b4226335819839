/*
 * A borrowed piece of memory: bytes from the network are a pointer and a length, never a string.
 * A plain value; whoever made it says how long it lives. Comparisons ignore the locale.
 */
#ifndef CT_BASE_SLICE_H
#define CT_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ct_slice {
	const char *data; /* NULL: absent, as against empty */
	size_t length;
};

#define CT_SLICE_ABSENT ((struct ct_slice){ NULL, 0 })
#define CT_SLICE_OF(literal) ((struct ct_slice){ (literal), sizeof(literal) - 1 })

struct ct_slice ct_slice_from_string(const char *string); /* NULL gives an absent one */
bool ct_slice_equal(struct ct_slice slice, const char *string);
bool ct_slice_equal_ignore_case(struct ct_slice slice, const char *string); /* ASCII */
bool ct_slice_starts_with(struct ct_slice slice, const char *prefix);
struct ct_slice ct_slice_trim(struct ct_slice slice); /* spaces and tabs at both ends */

/*
 * Cuts the piece before the first `separator` off `*rest` and returns it; without one, returns
 * all and leaves `*rest` absent. Loop while rest->data != NULL.
 */
struct ct_slice ct_slice_cut(struct ct_slice *rest, char separator);

/* Decimal digits only, no sign, no blanks; -EINVAL, or -ERANGE above `max`. */
int ct_slice_to_u64(struct ct_slice slice, uint64_t max, uint64_t *ret_value);

/* A NUL-terminated copy; -ENAMETOOLONG, or -EINVAL if it holds a NUL byte. */
int ct_slice_copy(struct ct_slice slice, char *ret_string, size_t capacity);

bool ct_slice_is_utf8(struct ct_slice slice); /* RFC 3629: no overlong forms, no surrogates */

#endif
