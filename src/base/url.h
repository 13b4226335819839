/*
 * Addresses of servers, as people write them into options. Pure.
 */
#ifndef CT_BASE_URL_H
#define CT_BASE_URL_H

#include "base/slice.h"
#include <stddef.h>
#include <stdint.h>

#define CT_URL_MAX 2048

/*
 * http:// or https://, a host (a name, an IPv4 address, or an IPv6 address in brackets), perhaps a
 * port from 1 to 65535 and a path; no user, query, fragment or blanks (RFC 3986 section 3).
 * Written without the slashes at its end. -EINVAL, -ENAMETOOLONG.
 */
int ct_url_normalize(const char *text, char *ret_url, size_t capacity);

/* "https://photos.example.org", as a browser sends it: no path, no slash at the end. */
bool ct_url_is_origin(struct ct_slice text);

/*
 * An address of ours: `base` (NULL or empty: the address is relative), less the slashes at its end,
 * and the path that `format` gives, which begins with a slash. -ENAMETOOLONG.
 */
int ct_url_under(char *ret_url, size_t capacity, const char *base, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * "host:port" (RFC 3986 section 3.2): a name, an IPv4 address, an IPv6 address in brackets, which
 * are not part of `*ret_host`, or no host at all. A piece of `text`. `*ret_port` is UINT64_MAX
 * when there is none. -EINVAL: no such host; -ERANGE: a port above 65535.
 */
int ct_url_split_authority(struct ct_slice text, struct ct_slice *ret_host, uint64_t *ret_port);

#endif
