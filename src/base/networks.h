/*
 * IP addresses and lists of networks. An address is 16 bytes, an IPv4 one mapped into IPv6
 * (RFC 4291 section 2.5.5.2). Any thread.
 */
#ifndef CT_BASE_NETWORKS_H
#define CT_BASE_NETWORKS_H

#include "base/slice.h"

#define CT_ADDRESS_BYTES 16
#define CT_NETWORKS_MAX 64

struct ct_networks;

/* "192.0.2.1" or "2001:db8::1", without port, brackets or zone. -EINVAL. */
int ct_address_parse(struct ct_slice text, uint8_t ret_address[CT_ADDRESS_BYTES]);
bool ct_address_is_loopback(const uint8_t address[CT_ADDRESS_BYTES]);

/*
 * "10.0.0.0/8, 2001:db8::/32, 192.0.2.1, unix": networks and addresses, comma between; "unix"
 * stands for the unix sockets of this machine. Bits behind the prefix must be zero. "" holds
 * nothing. -EINVAL; -E2BIG: more than CT_NETWORKS_MAX; -ENOMEM.
 */
int ct_networks_parse(const char *text, struct ct_networks **ret_networks);
void ct_networks_free(struct ct_networks *networks);

/* NULL for `networks` contains nothing. */
bool ct_networks_contain(
    const struct ct_networks *networks, const uint8_t address[CT_ADDRESS_BYTES]);
bool ct_networks_contain_unix(const struct ct_networks *networks);

#endif
