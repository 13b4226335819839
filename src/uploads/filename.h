/*
 * File names as clients send them: hostile bytes that are stored and shown, never opened. Pure.
 */
#ifndef CT_UPLOADS_FILENAME_H
#define CT_UPLOADS_FILENAME_H

#include "base/slice.h"
#include "metadata/metadata.h"
#include <stdbool.h>

/*
 * What is behind the last slash or backslash, without control characters and without marks that
 * turn the direction of writing; blanks at the ends and the names "." and ".." go too, so the
 * result may be empty. -EINVAL: not UTF-8; -ENAMETOOLONG: more than CT_FILENAME_MAX bytes.
 */
int ct_filename_clean(struct ct_slice name, char ret_name[CT_FILENAME_MAX + 1]);

/*
 * The file name of a Content-Disposition (RFC 6266), cleaned: filename* in UTF-8 (RFC 8187) before
 * filename. Empty when there is none. -EINVAL: malformed, or one of them twice; -ENAMETOOLONG.
 */
int ct_filename_from_disposition(struct ct_slice header, char ret_name[CT_FILENAME_MAX + 1]);

/*
 * The same of a form's part (RFC 7578 section 4.2), quoted as browsers and curl do it
 * (parameters.h); filename* is taken too, though nobody should send it there. A part that has
 * either is a file, also when the name is empty. -EINVAL also when it is not form-data.
 */
int ct_filename_from_form(
    struct ct_slice disposition, char ret_name[CT_FILENAME_MAX + 1], bool *ret_is_file);

#endif
