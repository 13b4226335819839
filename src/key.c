/*
 * API keys: made, listed and revoked on the data directory, also beside a running server. Only the
 * SHA-256 of a key is kept; its text is shown once.
 */
#include "app.h"
#include "pairing.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/key_text.h"
#include "config/config.h"
#include "calotype/error.h"
#include "metadata/api_keys.h"
#include "metadata/metadata.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define MAX_LISTED 1000
#define MAX_PASSED_ON 16
#define MAX_LIFETIME_MS (36500LL * 86400000) /* a hundred years */

CT_DEFINE_CLEANUP(cleanup_config, struct ct_config *, ct_config_free)
CT_DEFINE_CLEANUP(cleanup_metadata, struct ct_metadata *, ct_metadata_close)

enum verb { VERB_NONE = 0, VERB_ADD = 1, VERB_LIST = 2, VERB_REVOKE = 4 };
#define EVERY_VERB (VERB_ADD | VERB_LIST | VERB_REVOKE)

static const struct {
	const char *name;
	enum verb verb;
} verbs[] = { { "add", VERB_ADD }, { "list", VERB_LIST }, { "revoke", VERB_REVOKE } };

enum flag {
	FLAG_SCOPE,
	FLAG_NAME,
	FLAG_EXPIRES,
	FLAG_IF_NONE,
	FLAG_JSON,
	FLAG_HELP,
	FLAG_PASSED_ON
};

/* Those that are passed on are options of the server: where its data lies. */
static const struct flag_row {
	const char *name;
	bool has_value;
	unsigned verbs;
	enum flag flag;
} flags[] = {
	{ "--scope", true, VERB_ADD, FLAG_SCOPE },
	{ "--name", true, VERB_ADD, FLAG_NAME },
	{ "--expires", true, VERB_ADD, FLAG_EXPIRES },
	{ "--if-none", false, VERB_ADD, FLAG_IF_NONE },
	{ "--json", false, EVERY_VERB, FLAG_JSON },
	{ "--help", false, EVERY_VERB, FLAG_HELP },
	{ "-h", false, EVERY_VERB, FLAG_HELP },
	{ "--data", true, EVERY_VERB, FLAG_PASSED_ON },
	{ "--database", true, EVERY_VERB, FLAG_PASSED_ON },
	{ "--config", true, EVERY_VERB, FLAG_PASSED_ON },
};

/* What the command line says. */
struct request {
	enum verb verb;
	const char *name;
	const char *id; /* as it was given: the id, or the whole key */
	unsigned scopes;
	int64_t lifetime_ms; /* 0: for ever */
	bool if_none;
	bool json;
	bool help;
	int passed_count;
	const char *passed[MAX_PASSED_ON];
};

static int parse_scopes(const char *text, unsigned *ret_scopes)
{
	struct ct_slice rest = ct_slice_from_string(text);
	unsigned found = 0;
	while (rest.data) {
		struct ct_slice word = ct_slice_trim(ct_slice_cut(&rest, ','));
		unsigned bit = 0;
		for (unsigned i = 0; i < CT_SCOPE_COUNT; i++)
			if (ct_slice_equal(word, ct_scope_name(1u << i)))
				bit = 1u << i;
		if (!bit)
			return -EINVAL;
		found |= bit;
	}
	*ret_scopes = found;
	return 0;
}

static void show_usage(FILE *file)
{
	(void)fputs(
	    "Usage: calotyped key add --scope read,write,admin [--name NAME]\n"
	    "                         [--expires 90d] [--if-none]\n"
	    "       calotyped key list\n"
	    "       calotyped key revoke ID\n\n"
	    "Works on the data directory, also beside a running server, which obeys within a\n"
	    "second. A key is shown once, when it is made. A revoked one stays in the list, and\n"
	    "a server that had keys stays closed.\n\n"
	    "  --scope LIST   read: images, jobs, blobs, originals; write: uploads and deletes;\n"
	    "                 admin: the operation of the server\n"
	    "  --name NAME    to know it again in the list, at most 63 bytes\n"
	    "  --expires TIME after this it is no key any more: 30s, 15m, 12h or 90d\n"
	    "  --if-none      do nothing when there is a key already\n"
	    "  --json         one JSON object on standard output\n"
	    "  --data DIR, --database FILE, --config FILE\n"
	    "                 as for the server, also from its variables (CALOTYPE_DATA)\n"
	    "  --help         this text\n\n"
	    "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
	    file); /* a full disk under the help is no news */
}

static int usage_error(const char *format, ...) ct_printf(1, 2);

static int usage_error(const char *format, ...)
{
	va_list arguments;
	(void)fputs("calotyped key: ", stderr); /* there is nowhere else to complain */
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fputs("; see calotyped key --help\n", stderr);
	return EXIT_USAGE;
}

static int take_scopes(const char *text, unsigned *ret_scopes)
{
	if (parse_scopes(text, ret_scopes) < 0)
		return usage_error(
		    "--scope: '%s' is not right; it would be read, write, admin, or some of "
		    "them with commas between",
		    text);
	return 0;
}

static int take_name(const char *text, const char **ret_name)
{
	struct ct_slice name = ct_slice_from_string(text);
	bool is_plain = ct_slice_is_utf8(name);
	for (size_t i = 0; i < name.length; i++)
		is_plain = is_plain && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
	if (name.length >= sizeof(((struct ct_api_key_row *)0)->name))
		return usage_error("--name: it has %zu bytes, at most 63 are kept", name.length);
	if (!is_plain)
		return usage_error("--name: only UTF-8 without control characters is taken");
	*ret_name = text;
	return 0;
}

static int take_lifetime(const char *text, int64_t *ret_ms)
{
	static const struct {
		char suffix;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	struct ct_slice number = ct_slice_from_string(text);
	uint64_t count = 0;
	for (size_t i = 0; number.length > 0 && i < sizeof(units) / sizeof(units[0]); i++) {
		if (number.data[number.length - 1] != units[i].suffix)
			continue;
		number.length--;
		if (ct_slice_to_u64(number, (uint64_t)(MAX_LIFETIME_MS / units[i].ms), &count) ==
			0 &&
		    count > 0) {
			*ret_ms = (int64_t)count * units[i].ms;
			return 0;
		}
		break;
	}
	return usage_error(
	    "--expires: '%s' is no time; right would be 30s, 15m, 12h or 90d, at most "
	    "36500d",
	    text);
}

/* `value` is NULL for a flag that has none. 0, or the exit status after a message. */
static int take_flag(struct request *request, const struct flag_row *row, const char *value)
{
	switch (row->flag) {
	case FLAG_SCOPE: return take_scopes(value, &request->scopes);
	case FLAG_NAME: return take_name(value, &request->name);
	case FLAG_EXPIRES: return take_lifetime(value, &request->lifetime_ms);
	case FLAG_IF_NONE: request->if_none = true; return 0;
	case FLAG_JSON: request->json = true; return 0;
	case FLAG_HELP: request->help = true; return 0;
	case FLAG_PASSED_ON: break;
	}
	if (request->passed_count + 2 > MAX_PASSED_ON)
		return usage_error("too many arguments");
	request->passed[request->passed_count++] = row->name;
	request->passed[request->passed_count++] = value;
	return 0;
}

static int parse_flag(struct request *request, const char *word, const char *next, int *ret_used)
{
	const char *equals = strchr(word, '=');
	struct ct_slice name = { word, equals ? (size_t)(equals - word) : strlen(word) };
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		const struct flag_row *row = &flags[i];
		const char *value = equals ? equals + 1 : row->has_value ? next : NULL;
		if (!ct_slice_equal(name, row->name))
			continue;
		if (!(row->verbs & request->verb))
			return usage_error("this command has no option %s", row->name);
		if (row->has_value && !value)
			return usage_error("%s needs a value", row->name);
		if (!row->has_value && equals)
			return usage_error("%s takes no value", row->name);
		*ret_used = row->has_value && !equals ? 2 : 1;
		return take_flag(request, row, value);
	}
	return usage_error("there is no option %.*s", (int)name.length, word);
}

static int parse_arguments(struct request *request, int count, char *const *arguments)
{
	for (int i = 0, used = 1; i < count; i += used) {
		const char *next = i + 1 < count ? arguments[i + 1] : NULL;
		int r = 0;
		used = 1;
		if (arguments[i][0] == '-')
			r = parse_flag(request, arguments[i], next, &used);
		else if (request->id || request->verb != VERB_REVOKE)
			r = usage_error("'%s' is one argument too many", arguments[i]);
		else
			request->id = arguments[i];
		if (r != 0 || request->help)
			return r;
	}
	return 0;
}

/* 0, or the exit status after a message. */
static int parse_request(int count, char *const *arguments, struct request *ret_request)
{
	*ret_request = (struct request){ .name = "" };
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(arguments[0], verbs[i].name) == 0)
			ret_request->verb = verbs[i].verb;
	if (ret_request->verb == VERB_NONE)
		return usage_error(
		    "there is no command '%s'; right would be add, list or revoke", arguments[0]);
	int r = parse_arguments(ret_request, count - 1, arguments + 1);
	if (r != 0 || ret_request->help)
		return r;
	if (ret_request->verb == VERB_ADD && !ret_request->scopes)
		return usage_error("--scope is missing");
	if (ret_request->verb == VERB_REVOKE && !ret_request->id)
		return usage_error("the id of a key is missing; `calotyped key list` shows them");
	return 0;
}

static int insert_key(struct ct_metadata_view *view, void *arg)
{
	return ct_api_key_insert(view, arg);
}

static int key_exists(struct ct_metadata *metadata, bool *ret_exists)
{
	struct ct_metadata_view *view = NULL;
	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = ct_api_key_exists(view, ret_exists);
	ct_metadata_give_back(metadata, view);
	return r;
}

static struct ct_json *key_to_json(const struct ct_api_key_row *row)
{
	struct ct_json *json = ct_json_object();
	struct ct_json *list = ct_json_array();
	ct_json_set_text(json, "id", row->id);
	ct_json_set_text(json, "name", row->name);
	for (unsigned i = 0; i < CT_SCOPE_COUNT; i++)
		if (row->scopes & 1u << i)
			ct_json_append_text(list, ct_scope_name(1u << i));
	ct_json_set(json, "scopes", list);
	ct_json_set_time(json, "created_at", row->created_at);
	ct_json_set_time(json, "expires_at", row->expires_at);
	ct_json_set_time(json, "revoked_at", row->revoked_at);
	return json;
}

/* Takes `json` over. */
static int print_json(struct ct_json *json)
{
	ct_cleanup(ct_free_pointer) char *text = ct_json_to_text(json);
	ct_json_free(json);
	if (!text)
		return -ENOMEM;
	return puts(text) < 0 || fflush(stdout) < 0 ? -EIO : 0;
}

static int show_new_key(
    const struct request *request, const struct ct_api_key_row *row, const char *text)
{
	if (!request->json)
		return puts(text) < 0 || fflush(stdout) < 0 ? -EIO : 0;
	struct ct_json *json = key_to_json(row);
	ct_json_set_text(json, "key", text);
	return print_json(json);
}

static int add_key(struct ct_metadata *metadata, const struct request *request)
{
	bool exists = false;
	int r = request->if_none ? key_exists(metadata, &exists) : 0;
	if (r < 0)
		return r;
	if (exists)
		return request->json ? print_json(ct_json_object()) : 0;
	char text[CT_KEY_TEXT_CHARS + 1];
	struct ct_api_key_row row = { .scopes = request->scopes, .created_at = ct_clock_wall_ms() };
	if (request->lifetime_ms > 0)
		row.expires_at = row.created_at + request->lifetime_ms;
	r = ct_key_text_generate(text);
	if (r == 0)
		r = ct_slice_copy(ct_slice_from_string(request->name), row.name, sizeof(row.name));
	if (r == 0)
		r = ct_key_text_parse(ct_slice_from_string(text), row.id, &row.secret);
	if (r == 0)
		r = ct_metadata_write(metadata, insert_key, &row);
	if (r == 0)
		r = show_new_key(request, &row, text);
	explicit_bzero(text, sizeof(text));
	return r;
}

static const char *scope_or_dash(const struct ct_api_key_row *row, unsigned scope)
{
	return row->scopes & scope ? ct_scope_name(scope) : "-";
}

static void print_row(const struct ct_api_key_row *row)
{
	char created[CT_TIME_RFC3339_CHARS + 1], expires[CT_TIME_RFC3339_CHARS + 1];
	char note[CT_TIME_RFC3339_CHARS + 16] = "";
	ct_time_format_rfc3339(row->created_at, created);
	if (row->revoked_at)
		(void)snprintf(note, sizeof(note), "(revoked) "); /* both fit */
	else if (row->expires_at && row->expires_at <= ct_clock_wall_ms())
		(void)snprintf(note, sizeof(note), "(expired) ");
	else if (row->expires_at) {
		ct_time_format_rfc3339(row->expires_at, expires);
		(void)snprintf(note, sizeof(note), "(until %s) ", expires);
	}
	(void)printf("%s  %s %-5s %-5s %-5s  %s%s\n", row->id, created,
	    scope_or_dash(row, CT_SCOPE_READ), scope_or_dash(row, CT_SCOPE_WRITE),
	    scope_or_dash(row, CT_SCOPE_ADMIN), note,
	    row->name); /* whether all of it was written is asked at the end */
}

static int print_rows(const struct request *request, const struct ct_api_key_row *rows, int count)
{
	if (!request->json) {
		for (int i = 0; i < count; i++)
			print_row(&rows[i]);
		return fflush(stdout) < 0 || ferror(stdout) ? -EIO : 0;
	}
	struct ct_json *json = ct_json_object();
	struct ct_json *items = ct_json_array();
	for (int i = 0; i < count; i++)
		ct_json_append(items, key_to_json(&rows[i]));
	ct_json_set(json, "items", items);
	return print_json(json);
}

static int list_keys(struct ct_metadata *metadata, const struct request *request)
{
	struct ct_metadata_view *view = NULL;
	ct_cleanup(ct_free_pointer) struct ct_api_key_row *rows = calloc(MAX_LISTED, sizeof(*rows));
	int r = rows ? ct_metadata_borrow(metadata, &view) : -ENOMEM;
	if (r < 0)
		return r;
	r = ct_api_key_list(view, rows, MAX_LISTED);
	ct_metadata_give_back(metadata, view);
	if (r == MAX_LISTED)
		(void)fprintf(stderr, "calotyped key: the %d oldest are shown\n", MAX_LISTED);
	return r < 0 ? r : print_rows(request, rows, r);
}

static int revoke_in_transaction(struct ct_metadata_view *view, void *arg)
{
	struct ct_api_key_row *row = arg;
	int r = ct_api_key_revoke(view, row->id, ct_clock_wall_ms());
	return r < 0 ? r : ct_api_key_get(view, row->id, row);
}

/* Takes the whole key, too: that is what people have at hand. */
static int revoke_key(struct ct_metadata *metadata, const struct request *request)
{
	struct ct_api_key_row row = { .id = "" };
	struct ct_slice given = ct_slice_from_string(request->id);
	if (ct_key_text_parse(given, row.id, &row.secret) < 0) {
		if (!ct_key_id_is_valid(given) || ct_slice_copy(given, row.id, sizeof(row.id)) < 0)
			return CT_ERROR_NOT_FOUND;
	}
	int r = ct_metadata_write(metadata, revoke_in_transaction, &row);
	if (r < 0)
		return r;
	return request->json ? print_json(key_to_json(&row)) : 0;
}

static int open_database(const struct ct_config *config, const struct request *request,
    struct ct_metadata **ret_metadata)
{
	ct_cleanup(ct_free_pointer) char *path = ct_app_database_path(config);
	const char *why = NULL;
	int r = path ? 0 : -ENOMEM;
	if (r == 0 && request->verb == VERB_ADD)
		r = ct_file_make_directories(config->data.text, 0700);
	if (r == 0 && request->verb == VERB_ADD)
		r = ct_pairing_check_file(config->data.text, path, &why);
	else if (r == 0 && access(path, F_OK) < 0)
		r = -errno;
	if (r == 0)
		r = ct_metadata_open(&(struct ct_metadata_options){ .path = path }, ret_metadata);
	if (r < 0)
		(void)fprintf(stderr, "calotyped key: the database %s cannot be opened: %s\n",
		    path ? path : "",
		    why			  ? why
		    : r > -CT_ERROR_FIRST ? strerror(-r)
					  : ct_error_text(r));
	return r;
}

static void explain(const struct ct_config *config, const struct request *request, int error)
{
	if (error == CT_ERROR_NOT_FOUND)
		(void)fprintf(stderr,
		    "calotyped key: there is no key '%s' in %s; `calotyped key list` shows their "
		    "ids, of %d letters and digits\n",
		    request->id, config->data.text, CT_KEY_ID_CHARS);
	else
		(void)fprintf(stderr, "calotyped key: %s: %s\n", config->data.text,
		    error > -CT_ERROR_FIRST ? strerror(-error) : ct_error_text(error));
}

static int execute(const struct ct_config *config, const struct request *request)
{
	ct_cleanup(cleanup_metadata) struct ct_metadata *metadata = NULL;
	int r = open_database(config, request, &metadata);
	if (r < 0)
		return r;
	if (request->verb == VERB_ADD)
		r = add_key(metadata, request);
	else if (request->verb == VERB_LIST)
		r = list_keys(metadata, request);
	else
		r = revoke_key(metadata, request);
	if (r < 0)
		explain(config, request, r);
	return r;
}

int ct_key_command(int argument_count, char *const *arguments, char *const *environment)
{
	bool wants_help = argument_count > 0 &&
			  (strcmp(arguments[0], "--help") == 0 || strcmp(arguments[0], "-h") == 0);
	struct request request;
	int r = 0;
	if (argument_count < 1 || wants_help) {
		show_usage(wants_help ? stdout : stderr);
		return wants_help ? EXIT_SUCCESS : EXIT_USAGE;
	}
	r = parse_request(argument_count, arguments, &request);
	if (r != 0)
		return r;
	if (request.help) {
		show_usage(stdout);
		return EXIT_SUCCESS;
	}
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	r = ct_config_load(
	    request.passed_count, (char *const *)request.passed, environment, &config, &message);
	if (r < 0) {
		(void)fprintf(stderr, "calotyped key: %s\n", message ? message : strerror(-r));
		return EXIT_USAGE;
	}
	return execute(config, &request) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
