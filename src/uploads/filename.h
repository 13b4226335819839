/*
 * File names as clients send them: hostile bytes that are stored and shown, never opened. Pure.
 */
#ifndef CT_UPLOADS_FILENAME_H
#define CT_UPLOADS_FILENAME_H

#include "base/slice.h"
#include "metadata/metadata.h"

/*
 * What is behind the last slash or backslash, without control characters and without marks that
 * turn the direction of writing; blanks at the ends and the names "." and ".." go too, so the
 * result may be empty. -EINVAL: not UTF-8; -ENAMETOOLONG: more than CT_FILENAME_MAX bytes.
 */
int ct_filename_clean(struct ct_slice name, char ret_name[CT_FILENAME_MAX + 1]);

/*
 * The file name of a Content-Disposition (RFC 6266), cleaned: filename* in UTF-8 (RFC 8187) before
 * filename. Empty when there is none. -EINVAL: malformed.
 */
int ct_filename_from_disposition(struct ct_slice header, char ret_name[CT_FILENAME_MAX + 1]);

#endif
