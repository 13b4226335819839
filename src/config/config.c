#include "config/config.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/slice.h"
#include "config/image_types.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_MAX_BYTES 4096

enum kind { KIND_TEXT, KIND_BYTES, KIND_COUNT, KIND_SECONDS, KIND_BOOL, KIND_CHOICE, KIND_SECRET };

struct option_row {
	const char *flag;
	enum kind kind;
	const char *otherwise;
	const char *argument;
	const char *help;
	size_t offset;
};

static const struct option_row rows[] = {
#define CT_ROW(field, kind, flag, otherwise, argument, help) \
	{ flag, KIND_##kind, otherwise, argument, help, offsetof(struct ct_config, field) },
#include "config/options.def"
#undef CT_ROW
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* While loading: where the value at hand comes from, for messages. */
struct loading {
	struct ct_config *config;
	char **message;
	const char *file;
	bool failed;
};

CT_DEFINE_CLEANUP(cleanup_config, struct ct_config *, ct_config_free)

static struct ct_config_value *value_of(struct ct_config *config, const struct option_row *row)
{
	return (struct ct_config_value *)((char *)config + row->offset);
}

ct_printf(2, 3) static int fail(struct loading *loading, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	if (!loading->failed && vasprintf(loading->message, format, arguments) < 0)
		*loading->message = NULL;
	va_end(arguments);
	loading->failed = true;
	return -EINVAL;
}

static int parse_number(const char *text, bool with_suffix, uint64_t *ret_number)
{
	struct ct_slice slice = ct_slice_from_string(text);
	uint64_t factor = 1;
	if (with_suffix && slice.length > 0) {
		const char *suffixes = "KMGT";
		const char *found =
		    strchr(suffixes, toupper((unsigned char)slice.data[slice.length - 1]));
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

/* `source` is "--data", "CALOTYPE_DATA" or "data in FILE". */
static int set_value(
    struct loading *loading, const struct option_row *row, const char *source, const char *text)
{
	struct ct_config_value *value = value_of(loading->config, row);
	uint64_t number = 0;
	switch (row->kind) {
	case KIND_BYTES:
		if (parse_number(text, true, &number) < 0)
			return fail(loading, "%s: '%s' is not a size; right would be 300M or 2G",
			    source, text);
		break;
	case KIND_COUNT:
	case KIND_SECONDS:
		if (parse_number(text, false, &number) < 0)
			return fail(loading, "%s: '%s' is not a whole number", source, text);
		break;
	case KIND_BOOL:
		if (!parse_bool(text, &number))
			return fail(loading, "%s: '%s' is neither yes nor no", source, text);
		break;
	case KIND_CHOICE:
		if (!is_choice(row->argument, text))
			return fail(loading, "%s: '%s' is none of %s", source, text, row->argument);
		break;
	case KIND_TEXT:
	case KIND_SECRET: break;
	}
	bool is_number =
	    row->kind == KIND_BYTES || row->kind == KIND_COUNT || row->kind == KIND_SECONDS;
	if (is_number && number == 0)
		return fail(loading, "%s: it must be at least 1", source);
	if (is_number && row->kind != KIND_BYTES && number > INT32_MAX)
		return fail(loading, "%s: it must be at most %d", source, INT32_MAX);
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(value->text);
	value->text = copy;
	value->number = number;
	return 0;
}

static const struct option_row *find_row(const char *name, size_t length, char separator)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const char *flag = rows[i].flag;
		size_t k = 0;
		while (k < length && flag[k] &&
		       (name[k] == flag[k] || (flag[k] == '-' && name[k] == separator)))
			k++;
		if (k == length && !flag[k])
			return &rows[i];
	}
	return NULL;
}

static void variable_name(const struct option_row *row, char *name, size_t capacity)
{
	(void)snprintf(name, capacity, "CALOTYPE_%s", row->flag); /* flags are short */
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

static const char *find_variable(char *const *environment, const char *name)
{
	size_t length = strlen(name);
	for (; environment && *environment; environment++)
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	return NULL;
}

static int load_secret_file(
    struct loading *loading, const struct option_row *row, const char *name, const char *path)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, SECRET_MAX_BYTES);
	int r = ct_file_read_line(path, &buffer);
	if (r < 0)
		return fail(loading, "%s: cannot read %s: %s", name, path, strerror(-r));
	return set_value(loading, row, name, buffer.data ? buffer.data : "");
}

static int load_environment(struct loading *loading, char *const *environment)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		char name[64], file_name[80];
		variable_name(&rows[i], name, sizeof(name));
		const char *text = find_variable(environment, name);
		int r = text ? set_value(loading, &rows[i], name, text) : 0;
		if (r < 0)
			return r;
		if (rows[i].kind != KIND_SECRET || text)
			continue;
		(void)snprintf(file_name, sizeof(file_name), "%s_FILE", name);
		const char *path = find_variable(environment, file_name);
		r = path ? load_secret_file(loading, &rows[i], file_name, path) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_ini_line(void *user, const char *section, const char *name, const char *value)
{
	struct loading *loading = user;
	char source[512];
	(void)snprintf(source, sizeof(source), "%s in %s", name, loading->file);
	const struct option_row *row = find_row(name, strlen(name), '_');
	if (!row || section[0]) {
		(void)fail(loading, "%s: there is no such option%s", source,
		    section[0] ? " (the file has no sections)" : "");
		return 0;
	}
	return set_value(loading, row, source, value) == 0;
}

static int load_file(struct loading *loading, const char *path)
{
	if (!path)
		return 0;
	loading->file = path;
	int r = ini_parse(path, on_ini_line, loading);
	if (loading->failed)
		return -EINVAL;
	if (r < 0)
		return fail(loading, "cannot read the configuration %s: %s", path, strerror(errno));
	if (r > 0)
		return fail(loading, "%s: line %d is not `name = value`", path, r);
	return 0;
}

/* Sets `*ret_used` to the count of arguments that were taken. */
static int load_flag(struct loading *loading, int count, char *const *arguments, int *ret_used)
{
	const char *flag = arguments[0];
	if (strncmp(flag, "--", 2) != 0)
		return fail(loading, "'%s' is not an option; see --help", flag);
	const char *equals = strchr(flag, '=');
	const char *name = flag + 2;
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	bool negated = false;
	const struct option_row *row = find_row(name, length, '-');
	if (!row && length > 3 && strncmp(name, "no-", 3) == 0) {
		row = find_row(name + 3, length - 3, '-');
		negated = row && row->kind == KIND_BOOL;
	}
	if (!row || (!negated && strncmp(name, "no-", 3) == 0))
		return fail(loading, "there is no option %s; see --help", flag);
	if (row->kind == KIND_SECRET)
		return fail(loading,
		    "%s would show the secret to every process of this machine; set "
		    "CALOTYPE_API_KEY_FILE instead",
		    flag);
	*ret_used = 1;
	if (row->kind == KIND_BOOL)
		return set_value(loading, row, flag, equals ? equals + 1 : negated ? "no" : "yes");
	if (equals)
		return set_value(loading, row, flag, equals + 1);
	if (count < 2)
		return fail(loading, "%s needs a value: %s", flag, row->argument);
	*ret_used = 2;
	return set_value(loading, row, flag, arguments[1]);
}

static bool is_config_flag(const char *argument, const char **ret_path)
{
	if (strncmp(argument, "--config", 8) != 0 || (argument[8] && argument[8] != '='))
		return false;
	*ret_path = argument[8] ? argument + 9 : NULL;
	return true;
}

static int find_config_file(struct loading *loading, int count, char *const *arguments,
    char *const *environment, const char **ret_path)
{
	*ret_path = find_variable(environment, "CALOTYPE_CONFIG");
	for (int i = 0; i < count; i++) {
		const char *path = NULL;
		if (!is_config_flag(arguments[i], &path))
			continue;
		if (!path && i + 1 >= count)
			return fail(loading, "--config needs a value: FILE");
		*ret_path = path ? path : arguments[i + 1];
	}
	return 0;
}

static int load_flags(struct loading *loading, int count, char *const *arguments)
{
	for (int i = 0; i < count;) {
		const char *path = NULL;
		int used = 1;
		if (is_config_flag(arguments[i], &path))
			used = path ? 1 : 2;
		else {
			int r = load_flag(loading, count - i, arguments + i, &used);
			if (r < 0)
				return r;
		}
		i += used;
	}
	return 0;
}

static int load_all(
    struct loading *loading, int count, char *const *arguments, char *const *environment)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		int r = set_value(loading, &rows[i], rows[i].flag, rows[i].otherwise);
		if (r < 0)
			return r;
	}
	const char *path = NULL;
	int r = find_config_file(loading, count, arguments, environment, &path);
	if (r == 0)
		r = load_file(loading, path);
	if (r == 0)
		r = load_environment(loading, environment);
	if (r == 0)
		r = load_flags(loading, count, arguments);
	return r;
}

int ct_config_load(int argument_count, char *const *arguments, char *const *environment,
    struct ct_config **ret_config, char **ret_message)
{
	ct_cleanup(cleanup_config) struct ct_config *config = calloc(1, sizeof(*config));
	*ret_message = NULL;
	if (!config)
		return -ENOMEM;
	struct loading loading = { .config = config, .message = ret_message };
	int r = load_all(&loading, argument_count, arguments, environment);
	if (r < 0)
		return r;
	*ret_config = ct_steal(config);
	return 0;
}

void ct_config_free(struct ct_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < ROW_COUNT; i++)
		free(value_of(config, &rows[i])->text);
	free(config);
}

void ct_config_help(struct ct_buffer *buffer)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct option_row *row = &rows[i];
		char name[64];
		variable_name(row, name, sizeof(name));
		if (row->kind == KIND_SECRET)
			ct_buffer_printf(buffer, "  %s or %s_FILE\n", name, name);
		else
			ct_buffer_printf(buffer, "  --%s%s%s\n", row->flag,
			    row->argument[0] ? " " : "", row->argument);
		ct_buffer_printf(buffer, "        %s", row->help);
		if (row->otherwise[0])
			ct_buffer_printf(buffer, " [%s]", row->otherwise);
		ct_buffer_append_string(buffer, "\n");
	}
}
