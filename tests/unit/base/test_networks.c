#include "base/networks.h"

#include "base/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

CT_DEFINE_CLEANUP(cleanup_networks, struct ct_networks *, ct_networks_free)

static bool is_in(const char *list, const char *text)
{
	ct_cleanup(cleanup_networks) struct ct_networks *networks = NULL;
	uint8_t address[CT_ADDRESS_BYTES];
	cr_assert_eq(ct_networks_parse(list, &networks), 0, "%s", list);
	cr_assert_eq(ct_address_parse(ct_slice_from_string(text), address), 0, "%s", text);
	return ct_networks_contain(networks, address);
}

Test(networks, contain)
{
	cr_expect(is_in("10.0.0.0/8", "10.255.0.1"));
	cr_expect_not(is_in("10.0.0.0/8", "11.0.0.0"));
	cr_expect(is_in("172.16.0.0/12", "172.31.255.255"));
	cr_expect_not(is_in("172.16.0.0/12", "172.32.0.0"));
	cr_expect(is_in("192.0.2.1", "192.0.2.1"));
	cr_expect_not(is_in("192.0.2.1", "192.0.2.0"));
	cr_expect(is_in("1.2.3.4, 2001:db8::/32 ,5.6.7.8/32", "2001:db8:ffff::1"));
	cr_expect_not(is_in("2001:db8::/33", "2001:db8:8000::1"));
	cr_expect(is_in("2001:db8::/33", "2001:db8:7fff::1"));
	cr_expect(is_in("0.0.0.0/0", "1.2.3.4"));
	cr_expect_not(is_in("0.0.0.0/0", "::1"));
	cr_expect(is_in("::/0", "1.2.3.4"), "mapped addresses are IPv6 addresses");
	cr_expect(is_in("10.0.0.0/8", "::ffff:10.0.0.1"));
	cr_expect_not(is_in("", "10.0.0.1"));
	cr_expect_not(is_in("unix", "127.0.0.1"));
	cr_expect_not(ct_networks_contain(NULL, (const uint8_t[CT_ADDRESS_BYTES]){ 0 }));
}

Test(networks, unix_sockets)
{
	ct_cleanup(cleanup_networks) struct ct_networks *with = NULL, *without = NULL;
	cr_assert_eq(ct_networks_parse("127.0.0.1,unix", &with), 0);
	cr_assert_eq(ct_networks_parse("127.0.0.1", &without), 0);
	cr_assert(ct_networks_contain_unix(with));
	cr_assert_not(ct_networks_contain_unix(without));
	cr_assert_not(ct_networks_contain_unix(NULL));
}

Test(networks, refusals)
{
	static const char *const bad[] = { "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",
		"10.0.0.0/8/8", "10.0.0/8", "host", "10.0.0.0/8,,::1", "2001:db8::/129",
		"2001:db8::1/64", "[::1]", "127.0.0.1:80", "fe80::1%eth0", "all",
		"10.0.0.0/8;::1" };
	struct ct_networks *networks = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(ct_networks_parse(bad[i], &networks), -EINVAL, "%s", bad[i]);
	char many[(CT_NETWORKS_MAX + 1) * 8];
	for (size_t i = 0; i <= CT_NETWORKS_MAX; i++)
		memcpy(many + i * 8, "1.2.3.4,", 8);
	many[sizeof(many) - 1] = '\0';
	cr_assert_eq(ct_networks_parse(many, &networks), -E2BIG);
	many[sizeof(many) - 9] = '\0';
	cr_assert_eq(ct_networks_parse(many, &networks), 0);
	ct_networks_free(networks);
}

Test(networks, loopback)
{
	static const struct {
		const char *text;
		bool is_loopback;
	} rows[] = { { "127.0.0.1", true }, { "127.255.0.9", true }, { "::1", true },
		{ "::ffff:127.0.0.1", true }, { "128.0.0.1", false }, { "::", false },
		{ "::2", false }, { "0.0.0.1", false } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t address[CT_ADDRESS_BYTES];
		cr_assert_eq(ct_address_parse(ct_slice_from_string(rows[i].text), address), 0);
		cr_expect_eq(
		    ct_address_is_loopback(address), rows[i].is_loopback, "%s", rows[i].text);
	}
}
