/*
 * What a single option may be.
 */
#include "config/config_priv.h"

#include "base/assert.h"
#include "base/networks.h"
#include "base/slice.h"
#include "base/url.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#define MAX_BYTES (1LL << 50)
#define NUMBER_BYTES 24

static const char suffixes[] = "KMGT";

struct limits {
	size_t offset;
	uint64_t least, most;
};

static const struct limits limits[] = {
#define CT_ROW(field, least, most) { offsetof(struct ct_config, field), least, most },
#include "config/limits.def"
#undef CT_ROW
};

static struct limits limits_of(const struct ct_option_row *row)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i].offset == row->offset)
			return limits[i];
	return (
	    struct limits){ row->offset, 1, row->kind == CT_OPTION_BYTES ? MAX_BYTES : INT32_MAX };
}

static int give_reason(char *ret_reason, const char *format, ...) ct_printf(2, 3);

static int give_reason(char *ret_reason, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(ret_reason, CT_OPTION_REASON_BYTES, format, arguments); /* or cut */
	va_end(arguments);
	return -EINVAL;
}

/* -EINVAL, -ERANGE. */
static int parse_number(const char *text, bool with_suffix, uint64_t *ret_number)
{
	struct ct_slice slice = ct_slice_from_string(text);
	uint64_t factor = 1;
	if (with_suffix && slice.length > 0) {
		int last = toupper((unsigned char)slice.data[slice.length - 1]);
		const char *found = strchr(suffixes, last);
		if (found) {
			factor = 1ULL << (10 * (found - suffixes + 1));
			slice.length--;
		}
	}
	int r = ct_slice_to_u64(slice, INT64_MAX / factor, ret_number);
	if (r < 0)
		return r;
	*ret_number *= factor;
	return 0;
}

/* 268435456 as "256M". */
static void print_number(uint64_t number, bool with_suffix, char ret_text[NUMBER_BYTES])
{
	size_t suffix = 0;
	while (
	    with_suffix && number >= 1024 && number % 1024 == 0 && suffix < sizeof(suffixes) - 1) {
		number /= 1024;
		suffix++;
	}
	(void)snprintf(ret_text, NUMBER_BYTES, "%llu%.*s", (unsigned long long)number,
	    suffix > 0 ? 1 : 0, suffix > 0 ? &suffixes[suffix - 1] : ""); /* it fits */
}

void ct_option_range(const struct ct_option_row *row, char ret_range[CT_OPTION_RANGE_BYTES])
{
	char least[NUMBER_BYTES], most[NUMBER_BYTES];
	ret_range[0] = '\0';
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (limits[i].offset != row->offset)
			continue;
		print_number(limits[i].least, row->kind == CT_OPTION_BYTES, least);
		print_number(limits[i].most, row->kind == CT_OPTION_BYTES, most);
		(void)snprintf(
		    ret_range, CT_OPTION_RANGE_BYTES, "%s to %s", least, most); /* fits */
	}
}

static int check_number(
    const struct ct_option_row *row, const char *text, uint64_t *ret_number, char *ret_reason)
{
	bool is_size = row->kind == CT_OPTION_BYTES;
	struct limits limit = limits_of(row);
	char least[NUMBER_BYTES], most[NUMBER_BYTES];
	print_number(limit.least, is_size, least);
	print_number(limit.most, is_size, most);
	int r = parse_number(text, is_size, ret_number);
	if (r == -EINVAL && is_size)
		return give_reason(ret_reason,
		    "is not a size; right would be 300M or 2G, from %s to %s", least, most);
	if (r == -EINVAL)
		return give_reason(ret_reason, "is not a whole number; right would be %s to %s%s",
		    least, most, row->kind == CT_OPTION_SECONDS ? " seconds" : "");
	if (r < 0 || *ret_number > limit.most)
		return give_reason(
		    ret_reason, "is too large; right would be %s to %s", least, most);
	if (*ret_number < limit.least)
		return give_reason(
		    ret_reason, "is too small; right would be %s to %s", least, most);
	return 0;
}

static bool is_choice(const char *choices, const char *text)
{
	struct ct_slice rest = ct_slice_from_string(choices);
	while (rest.data)
		if (ct_slice_equal(ct_slice_cut(&rest, '|'), text))
			return true;
	return false;
}

static bool parse_bool(const char *text, uint64_t *ret_number)
{
	static const char *const words[2][4] = { { "no", "false", "0", "off" },
		{ "yes", "true", "1", "on" } };
	for (unsigned number = 0; number < 2; number++)
		for (unsigned i = 0; i < 4; i++)
			if (strcasecmp(text, words[number][i]) == 0) {
				*ret_number = number;
				return true;
			}
	return false;
}

static int check_address(const char *text, char *ret_reason)
{
	struct ct_slice slice = ct_slice_from_string(text), host;
	uint64_t port = 0;
	if (ct_slice_equal(slice, "systemd"))
		return 0;
	if (ct_slice_starts_with(slice, "unix:")) {
		size_t length = slice.length - strlen("unix:");
		size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
		if (length < 2 || text[strlen("unix:")] != '/')
			return give_reason(ret_reason,
			    "names no file from the root on; right would be "
			    "unix:/run/calotype.sock");
		if (length > most)
			return give_reason(
			    ret_reason, "is longer than the %zu bytes of a socket's path", most);
		return 0;
	}
	int r = ct_url_split_authority(slice, &host, &port);
	if (r == 0 && port <= UINT16_MAX)
		return 0;
	if (r == -ERANGE)
		return give_reason(ret_reason, "has no port from 0 to 65535");
	return give_reason(ret_reason,
	    r == 0 ? "has no port; right would be 127.0.0.1:8080, [::1]:8080 or unix:/PATH"
		   : "is not ADDR:PORT; right would be 127.0.0.1:8080, [::1]:8080 or unix:/PATH");
}

static int check_url(const char *text, char ret_url[CT_URL_MAX], char *ret_reason)
{
	ret_url[0] = '\0';
	if (text[0] == '\0' || ct_url_normalize(text, ret_url, CT_URL_MAX) == 0)
		return 0;
	return give_reason(ret_reason,
	    "is not the address of a server; right would be https://photos.example.org, also with "
	    "a port or a path");
}

/* How many of them an origin is compared with. */
#define MAX_ORIGINS 64

static int check_origins(const char *text, char *ret_reason)
{
	struct ct_slice rest = ct_slice_from_string(text);
	size_t count = 0;
	if (text[0] == '\0' || strcmp(text, "*") == 0)
		return 0;
	while (rest.data) {
		struct ct_slice one = ct_slice_trim(ct_slice_cut(&rest, ','));
		if (!ct_url_is_origin(one))
			return give_reason(ret_reason,
			    "is no list of origins; right would be *, or https://www.example.org "
			    "and "
			    "others with commas between, each without a slash at its end");
		if (++count > MAX_ORIGINS)
			return give_reason(ret_reason, "holds more than %d origins", MAX_ORIGINS);
	}
	return 0;
}

static int check_networks(const char *text, char *ret_reason)
{
	struct ct_networks *networks = NULL;
	int r = ct_networks_parse(text, &networks);
	ct_networks_free(networks);
	if (r == -E2BIG)
		return give_reason(ret_reason, "holds more than %d networks", CT_NETWORKS_MAX);
	if (r == -EINVAL)
		return give_reason(ret_reason,
		    "is no list of networks; right would be 10.0.0.0/8, 192.0.2.1, 2001:db8::/32 "
		    "or "
		    "unix, with commas between and no bits behind the prefix");
	return r;
}

static int check_text(const struct ct_option_row *row, const char *text, char *ret_reason)
{
	if (text[0] == '\0' && row->otherwise[0] != '\0')
		return give_reason(
		    ret_reason, "is empty; right would be %s, as by default", row->otherwise);
	return 0;
}

int ct_option_parse(const struct ct_option_row *row, const char *text, char **ret_text,
    uint64_t *ret_number, char ret_reason[CT_OPTION_REASON_BYTES])
{
	char url[CT_URL_MAX];
	int r = 0;
	*ret_number = 0;
	switch (row->kind) {
	case CT_OPTION_BYTES:
	case CT_OPTION_COUNT:
	case CT_OPTION_SECONDS: r = check_number(row, text, ret_number, ret_reason); break;
	case CT_OPTION_BOOL:
		if (!parse_bool(text, ret_number))
			r = give_reason(ret_reason, "is neither yes nor no");
		break;
	case CT_OPTION_CHOICE:
		if (!is_choice(row->argument, text))
			r = give_reason(ret_reason, "is none of %s", row->argument);
		break;
	case CT_OPTION_ADDRESS: r = check_address(text, ret_reason); break;
	case CT_OPTION_URL:
		r = check_url(text, url, ret_reason);
		text = url;
		break;
	case CT_OPTION_ORIGINS: r = check_origins(text, ret_reason); break;
	case CT_OPTION_NETWORKS: r = check_networks(text, ret_reason); break;
	case CT_OPTION_TEXT: r = check_text(row, text, ret_reason); break;
	case CT_OPTION_SECRET: break;
	}
	if (r < 0)
		return r;
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}
