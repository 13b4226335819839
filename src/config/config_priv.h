/*
 * What the files of this folder share: the table of options, and values checked one by one.
 */
#ifndef CT_CONFIG_PRIV_H
#define CT_CONFIG_PRIV_H

#include "config/config.h"

enum ct_option_kind {
	CT_OPTION_TEXT,
	CT_OPTION_ADDRESS,
	CT_OPTION_URL,
	CT_OPTION_ORIGINS,
	CT_OPTION_NETWORKS,
	CT_OPTION_BYTES,
	CT_OPTION_COUNT,
	CT_OPTION_SECONDS,
	CT_OPTION_BOOL,
	CT_OPTION_CHOICE,
	CT_OPTION_SECRET
};

struct ct_option_row {
	const char *flag;
	enum ct_option_kind kind;
	const char *otherwise;
	const char *argument;
	const char *help;
	size_t offset;
};

#define CT_OPTION_REASON_BYTES 192

/*
 * `text` as `row` wants it: `*ret_text` is malloc'd, `*ret_number` as config.h says. -EINVAL: then
 * `ret_reason` goes behind the quoted text, "is not a size; right would be 300M or 2G". -ENOMEM.
 */
int ct_option_parse(const struct ct_option_row *row, const char *text, char **ret_text,
    uint64_t *ret_number, char ret_reason[CT_OPTION_REASON_BYTES]);

#define CT_OPTION_RANGE_BYTES 64

/* "256M to 1T" of a number that has limits of its own (limits.def), else empty. */
void ct_option_range(const struct ct_option_row *row, char ret_range[CT_OPTION_RANGE_BYTES]);

#endif
