/*
 * The files of the page as embed.py puts them into the program.
 */
#ifndef CT_PAGE_ASSETS_H
#define CT_PAGE_ASSETS_H

#include <stddef.h>

struct ct_page_asset {
	const char *name; /* "app.js"; the document is "index.html" */
	const char *type; /* for Content-Type */
	const char *digest;
	const unsigned char *plain;
	size_t plain_bytes;
	const unsigned char *gzip; /* the same, RFC 1952 */
	size_t gzip_bytes;
};

/* Of all files together: another build with other files has another one. */
extern const char ct_page_version[];
extern const struct ct_page_asset ct_page_assets[];
extern const size_t ct_page_asset_count;

#endif
