#include "config/config_priv.h"

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
#define SHOWN_BYTES 80
#define FLAG_BYTES 64
#define SOURCE_BYTES 512
#define INI_LINE_BYTES 198 /* of the library as Debian builds it */

static const struct ct_option_row rows[] = {
#define CT_ROW(field, kind, flag, otherwise, argument, help) \
	{ flag, CT_OPTION_##kind, otherwise, argument, help, offsetof(struct ct_config, field) },
#include "config/options.def"
#undef CT_ROW
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* While loading: where the value at hand comes from, for messages. */
struct loading {
	struct ct_config *config;
	char **message;
	bool failed;
};

/* The file of options, read line by line. */
struct ini {
	struct loading *loading;
	const char *path;
	FILE *file;
	int line;
	bool is_too_long;
};

CT_DEFINE_CLEANUP(cleanup_config, struct ct_config *, ct_config_free)

static struct ct_config_value *value_of(struct ct_config *config, const struct ct_option_row *row)
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
	/* One line, whatever the bytes are that it repeats. */
	for (char *p = *loading->message; p && *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	loading->failed = true;
	return -EINVAL;
}

/* `source` is as in struct ct_config_value. */
static int set_value(
    struct loading *loading, const struct ct_option_row *row, const char *source, const char *text)
{
	char reason[CT_OPTION_REASON_BYTES];
	struct ct_config_value value = { .source = NULL };
	int r = ct_option_parse(row, text, &value.text, &value.number, reason);
	if (r == -EINVAL)
		return fail(loading, "%s: '%.*s' %s", source, SHOWN_BYTES, text, reason);
	if (r < 0)
		return r;
	value.source = strdup(source);
	if (!value.source) {
		free(value.text);
		return -ENOMEM;
	}
	struct ct_config_value *old = value_of(loading->config, row);
	free(old->text);
	free(old->source);
	*old = value;
	return 0;
}

static const struct ct_option_row *find_row(const char *name, size_t length, char separator)
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

static void variable_name(const struct ct_option_row *row, char *name, size_t capacity)
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
    struct loading *loading, const struct ct_option_row *row, const char *name, const char *path)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, SECRET_MAX_BYTES);
	int r = ct_file_read_line(path, &buffer);
	if (r < 0)
		return fail(loading, "%s: %s cannot be read: %s", name, path,
		    r == -EMSGSIZE ? "its first line is too long" : strerror(-r));
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
		if (rows[i].kind != CT_OPTION_SECRET || text)
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
	struct ini *ini = user;
	char source[SOURCE_BYTES];
	const struct ct_option_row *row = find_row(name, strlen(name), '_');
	if (section[0])
		return fail(ini->loading, "%s, line %d: the file has no sections", ini->path,
			   ini->line) == 0;
	if (!row)
		return fail(ini->loading,
			   "%s, line %d: there is no option %s; see calotyped --help", ini->path,
			   ini->line, name) == 0;
	(void)snprintf(
	    source, sizeof(source), "%s in %s, line %d", name, ini->path, ini->line); /* or cut */
	return set_value(ini->loading, row, source, value) == 0;
}

/* Like fgets(3), for the parser: it would take the rest of a long line for another one. */
static char *read_ini_line(char *text, int capacity, void *stream)
{
	struct ini *ini = stream;
	if (ini->loading->failed || !fgets(text, capacity, ini->file))
		return NULL;
	ini->line++;
	size_t length = strlen(text);
	if (length + 1 < (size_t)capacity || text[length - 1] == '\n')
		return text;
	int next = fgetc(ini->file);
	ini->is_too_long = next != EOF;
	return ini->is_too_long ? NULL : text;
}

static int parse_file(struct ini *ini)
{
	/* The parser hands the source of lines and our own pointer on, which are the same here. */
	int r = ini_parse_stream(read_ini_line, ini, on_ini_line, ini);
	if (ini->loading->failed)
		return -EINVAL;
	if (ini->is_too_long)
		return fail(ini->loading,
		    "%s, line %d: the line is too long; up to %d bytes are read", ini->path,
		    ini->line, INI_LINE_BYTES);
	if (ferror(ini->file))
		return fail(ini->loading, "the configuration %s cannot be read: %s", ini->path,
		    strerror(errno));
	if (r > 0)
		return fail(
		    ini->loading, "%s, line %d: right would be `name = value`", ini->path, r);
	return r < 0 ? -ENOMEM : 0;
}

static int load_file(struct loading *loading, const char *path)
{
	if (!path)
		return 0;
	struct ini ini = { .loading = loading, .path = path, .file = fopen(path, "re") };
	if (!ini.file)
		return fail(
		    loading, "the configuration %s cannot be read: %s", path, strerror(errno));
	int r = parse_file(&ini);
	(void)fclose(ini.file); /* it was only read */
	return r;
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
	const struct ct_option_row *row = find_row(name, length, '-');
	if (!row && length > 3 && strncmp(name, "no-", 3) == 0) {
		row = find_row(name + 3, length - 3, '-');
		negated = row && row->kind == CT_OPTION_BOOL;
	}
	if (!row || (!negated && strncmp(name, "no-", 3) == 0))
		return fail(loading, "there is no option %.*s; see --help",
		    (int)(equals ? equals - flag : (ptrdiff_t)strlen(flag)), flag);
	if (row->kind == CT_OPTION_SECRET)
		return fail(loading,
		    "%s would show the secret to every process of this machine; set "
		    "CALOTYPE_API_KEY_FILE instead",
		    flag);
	char source[FLAG_BYTES];
	(void)snprintf(
	    source, sizeof(source), "--%s%s", negated ? "no-" : "", row->flag); /* fits */
	*ret_used = 1;
	if (negated && equals)
		return fail(loading, "%s takes no value", source);
	if (row->kind == CT_OPTION_BOOL)
		return set_value(loading, row, source,
		    equals    ? equals + 1
		    : negated ? "no"
			      : "yes");
	if (equals)
		return set_value(loading, row, source, equals + 1);
	if (count < 2)
		return fail(loading, "%s needs a value: %s", flag, row->argument);
	*ret_used = 2;
	return set_value(loading, row, source, arguments[1]);
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
		char source[FLAG_BYTES];
		(void)snprintf(source, sizeof(source), "--%s", rows[i].flag); /* it fits */
		int r = set_value(loading, &rows[i], source, rows[i].otherwise);
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
	for (size_t i = 0; i < ROW_COUNT; i++) {
		free(value_of(config, &rows[i])->text);
		free(value_of(config, &rows[i])->source);
	}
	free(config);
}

void ct_config_help(struct ct_buffer *buffer)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct ct_option_row *row = &rows[i];
		char name[64], range[CT_OPTION_RANGE_BYTES];
		variable_name(row, name, sizeof(name));
		ct_option_range(row, range);
		if (row->kind == CT_OPTION_SECRET)
			ct_buffer_printf(buffer, "  %s or %s_FILE\n", name, name);
		else
			ct_buffer_printf(buffer, "  --%s%s%s\n", row->flag,
			    row->argument[0] ? " " : "", row->argument);
		ct_buffer_printf(buffer, "        %s%s%s", row->help, range[0] ? "; " : "", range);
		if (row->otherwise[0])
			ct_buffer_printf(buffer, " [%s]", row->otherwise);
		ct_buffer_append_string(buffer, "\n");
	}
}
