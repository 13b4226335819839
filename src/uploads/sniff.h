/*
 * The media type of a file by its first bytes, over libmagic. It answers the same for the same
 * bytes, always. Any thread; the database is loaded at the first call and callers take turns.
 */
#ifndef CT_UPLOADS_SNIFF_H
#define CT_UPLOADS_SNIFF_H

#include <stddef.h>

#define CT_SNIFF_BYTES                                                            \
	((size_t)64 << 10) /* what it looks at, or the whole file if that is less \
			    */

struct ct_sniffer;

int ct_sniffer_new(struct ct_sniffer **ret_sniffer);
void ct_sniffer_free(struct ct_sniffer *sniffer); /* NULL is allowed */

/*
 * "image/jpeg"; "application/octet-stream" when nothing is known. -ENOENT: libmagic's database is
 * missing; -EIO: it failed.
 */
int ct_sniff(
    struct ct_sniffer *sniffer, const void *data, size_t length, char *ret_type, size_t capacity);

#endif
