#include "base/networks.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct network {
	uint8_t address[CT_ADDRESS_BYTES];
	unsigned bits; /* of the mapped form */
};

struct ct_networks {
	bool has_unix;
	size_t count;
	struct network list[CT_NETWORKS_MAX];
};

CT_DEFINE_CLEANUP(cleanup_networks, struct ct_networks *, ct_networks_free)

static bool is_mapped(const uint8_t address[CT_ADDRESS_BYTES])
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

int ct_address_parse(struct ct_slice text, uint8_t ret_address[CT_ADDRESS_BYTES])
{
	char string[INET6_ADDRSTRLEN];
	uint8_t address[CT_ADDRESS_BYTES];
	if (text.data == NULL || ct_slice_copy(text, string, sizeof(string)) < 0)
		return -EINVAL;
	if (inet_pton(AF_INET, string, address + sizeof(mapped)) == 1)
		memcpy(address, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, string, address) != 1)
		return -EINVAL;
	memcpy(ret_address, address, sizeof(address));
	return 0;
}

bool ct_address_is_loopback(const uint8_t address[CT_ADDRESS_BYTES])
{
	static const uint8_t one[CT_ADDRESS_BYTES] = { [15] = 1 };
	return is_mapped(address) ? address[12] == 127 : memcmp(address, one, sizeof(one)) == 0;
}

static bool is_bit_set(const uint8_t *address, unsigned bit)
{
	return (address[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

static int parse_network(struct ct_slice text, struct network *ret_network)
{
	struct ct_slice prefix = text;
	struct ct_slice address = ct_slice_trim(ct_slice_cut(&prefix, '/'));
	uint64_t bits = CT_ADDRESS_BYTES * 8;
	if (ct_address_parse(address, ret_network->address) < 0)
		return -EINVAL;
	unsigned before = memchr(address.data, ':', address.length) == NULL ? MAPPED_BITS : 0;
	if (prefix.data != NULL) {
		if (ct_slice_to_u64(ct_slice_trim(prefix), bits - before, &bits) < 0)
			return -EINVAL;
		bits += before;
	}
	for (unsigned bit = (unsigned)bits; bit < CT_ADDRESS_BYTES * 8; bit++)
		if (is_bit_set(ret_network->address, bit))
			return -EINVAL;
	ret_network->bits = (unsigned)bits;
	return 0;
}

int ct_networks_parse(const char *text, struct ct_networks **ret_networks)
{
	ct_cleanup(cleanup_networks) struct ct_networks *networks = calloc(1, sizeof(*networks));
	if (networks == NULL)
		return -ENOMEM;
	struct ct_slice rest = ct_slice_from_string(text);
	while (rest.data != NULL && ct_slice_trim(rest).length > 0) {
		struct ct_slice word = ct_slice_trim(ct_slice_cut(&rest, ','));
		if (ct_slice_equal(word, "unix")) {
			networks->has_unix = true;
			continue;
		}
		if (networks->count == CT_NETWORKS_MAX)
			return -E2BIG;
		int r = parse_network(word, &networks->list[networks->count]);
		if (r < 0)
			return r;
		networks->count++;
	}
	*ret_networks = ct_steal(networks);
	return 0;
}

void ct_networks_free(struct ct_networks *networks)
{
	free(networks);
}

static bool contains(const struct network *network, const uint8_t *address)
{
	unsigned whole = network->bits / 8;
	if (memcmp(network->address, address, whole) != 0)
		return false;
	for (unsigned bit = whole * 8; bit < network->bits; bit++)
		if (is_bit_set(network->address, bit) != is_bit_set(address, bit))
			return false;
	return true;
}

bool ct_networks_contain(
    const struct ct_networks *networks, const uint8_t address[CT_ADDRESS_BYTES])
{
	for (size_t i = 0; networks != NULL && i < networks->count; i++)
		if (contains(&networks->list[i], address))
			return true;
	return false;
}

bool ct_networks_contain_unix(const struct ct_networks *networks)
{
	return networks != NULL && networks->has_unix;
}
