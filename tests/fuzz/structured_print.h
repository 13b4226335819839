/*
 * Reads a structured field to its last parameter and writes it again: what the unit test and the
 * fuzz target share.
 */
#ifndef CT_TESTS_STRUCTURED_PRINT_H
#define CT_TESTS_STRUCTURED_PRINT_H

#include "base/structured.h"

enum structured_kind { STRUCTURED_ITEM, STRUCTURED_LIST, STRUCTURED_DICTIONARY };

/*
 * Appends the field's one canonical form to `text`; members whose key comes again stay (the RFC
 * would drop all but the last). 0, -EINVAL: it is none, or an error of the writer.
 */
int structured_print(enum structured_kind kind, struct ct_slice field, struct ct_buffer *text);

#endif
