/*
 * API keys: made, listed and revoked on the data directory, also beside a running server. Only the
 * SHA-256 of a key is kept; its text is shown once.
 */
#include "app.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/key_text.h"
#include "config/config.h"
#include "calotype/error.h"
#include "metadata/api_keys.h"
#include "metadata/metadata.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define MAX_LISTED 1000

static const struct {
	const char *name;
	unsigned bit;
} scopes[] = { { "read", CT_SCOPE_READ }, { "write", CT_SCOPE_WRITE },
	{ "admin", CT_SCOPE_ADMIN } };

CT_DEFINE_CLEANUP(cleanup_config, struct ct_config *, ct_config_free)
CT_DEFINE_CLEANUP(cleanup_metadata, struct ct_metadata *, ct_metadata_close)

/* What the command line says, beside the options that the server has too. */
struct request {
	const char *verb;
	const char *name;
	const char *id;
	unsigned scopes;
	bool if_none;
	int rest_count;
	char *rest[64];
};

static int parse_scopes(const char *text, unsigned *ret_scopes)
{
	struct ct_slice rest = ct_slice_from_string(text);
	unsigned found = 0;
	while (rest.data) {
		struct ct_slice word = ct_slice_trim(ct_slice_cut(&rest, ','));
		unsigned bit = 0;
		for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
			if (ct_slice_equal(word, scopes[i].name))
				bit = scopes[i].bit;
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
	    "Usage: calotyped key add --scope read,write,admin [--name NAME] [--if-none]\n"
	    "       calotyped key list\n"
	    "       calotyped key revoke ID\n\n"
	    "Works on the data directory (--data DIR, default ./data), also beside a running\n"
	    "server, which obeys within a second. A key is shown once, when it is made.\n\n"
	    "  --scope LIST   read: images, jobs, blobs, originals; write: uploads and deletes;\n"
	    "                 admin: the operation of the server\n"
	    "  --name NAME    to know it again in the list, at most 63 bytes\n"
	    "  --if-none      do nothing when there is a key already\n",
	    file);
}

static int usage_error(const char *text, const char *value)
{
	(void)fprintf(stderr, "calotyped key: %s%s; see calotyped key --help\n", text, value);
	return EXIT_USAGE;
}

/* 0, or the exit status after a message. */
static int parse_request(int count, char *const *arguments, struct request *ret_request)
{
	*ret_request = (struct request){ .verb = arguments[0], .name = "" };
	for (int i = 1; i < count; i++) {
		bool has_value = i + 1 < count;
		if (strcmp(arguments[i], "--if-none") == 0) {
			ret_request->if_none = true;
		} else if (strcmp(arguments[i], "--scope") == 0 && has_value) {
			if (parse_scopes(arguments[++i], &ret_request->scopes) < 0)
				return usage_error(
				    "a scope is read, write or admin, not ", arguments[i]);
		} else if (strcmp(arguments[i], "--name") == 0 && has_value) {
			ret_request->name = arguments[++i];
		} else if (arguments[i][0] != '-' && !ret_request->id) {
			ret_request->id = arguments[i];
		} else if (ret_request->rest_count + 2 <= 64) {
			ret_request->rest[ret_request->rest_count++] = arguments[i];
			if (has_value && !strchr(arguments[i], '='))
				ret_request->rest[ret_request->rest_count++] = arguments[++i];
		} else {
			return usage_error("too many arguments", "");
		}
	}
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

static int add_key(struct ct_metadata *metadata, const struct request *request)
{
	bool exists = false;
	int r = request->if_none ? key_exists(metadata, &exists) : 0;
	if (r < 0 || exists)
		return r;
	char text[CT_KEY_TEXT_CHARS + 1];
	struct ct_api_key_row row = { .scopes = request->scopes, .created_at = ct_clock_wall_ms() };
	r = ct_key_text_generate(text);
	if (r == 0)
		r = ct_slice_copy(ct_slice_from_string(request->name), row.name, sizeof(row.name));
	if (r == 0)
		r = ct_key_text_parse(ct_slice_from_string(text), row.id, &row.secret);
	if (r == 0)
		r = ct_metadata_write(metadata, insert_key, &row);
	if (r == 0 && (puts(text) < 0 || fflush(stdout) < 0))
		r = -EIO;
	explicit_bzero(text, sizeof(text));
	return r;
}

static int list_keys(struct ct_metadata *metadata)
{
	struct ct_metadata_view *view = NULL;
	ct_cleanup(ct_free_pointer) struct ct_api_key_row *rows = calloc(MAX_LISTED, sizeof(*rows));
	int r = rows ? ct_metadata_borrow(metadata, &view) : -ENOMEM;
	if (r < 0)
		return r;
	r = ct_api_key_list(view, rows, MAX_LISTED);
	ct_metadata_give_back(metadata, view);
	for (int i = 0; i < r; i++) {
		char created[CT_TIME_RFC3339_CHARS + 1];
		ct_time_format_rfc3339(rows[i].created_at, created);
		(void)printf("%s  %s %-5s %-5s %-5s  %s%s\n", rows[i].id, created,
		    rows[i].scopes & CT_SCOPE_READ ? "read" : "-",
		    rows[i].scopes & CT_SCOPE_WRITE ? "write" : "-",
		    rows[i].scopes & CT_SCOPE_ADMIN ? "admin" : "-",
		    rows[i].revoked_at ? "(revoked) " : "", rows[i].name);
	}
	return r < 0 ? r : 0;
}

static int revoke_in_transaction(struct ct_metadata_view *view, void *arg)
{
	return ct_api_key_revoke(view, arg, ct_clock_wall_ms());
}

static int execute(const struct ct_config *config, const struct request *request)
{
	ct_cleanup(cleanup_metadata) struct ct_metadata *metadata = NULL;
	ct_cleanup(ct_free_pointer) char *path = ct_app_database_path(config);
	bool adds = strcmp(request->verb, "add") == 0;
	int r = path ? 0 : -ENOMEM;
	if (r == 0 && adds)
		r = ct_file_make_directories(config->data.text, 0700);
	else if (r == 0 && access(path, F_OK) < 0)
		r = -errno;
	if (r == 0)
		r = ct_metadata_open(&(struct ct_metadata_options){ .path = path }, &metadata);
	if (r < 0)
		return r;
	if (adds)
		return add_key(metadata, request);
	if (strcmp(request->verb, "list") == 0)
		return list_keys(metadata);
	return ct_metadata_write(metadata, revoke_in_transaction, (void *)request->id);
}

int ct_key_command(int argument_count, char *const *arguments, char *const *environment)
{
	if (argument_count < 1 || strcmp(arguments[0], "--help") == 0) {
		show_usage(argument_count < 1 ? stderr : stdout);
		return argument_count < 1 ? EXIT_USAGE : EXIT_SUCCESS;
	}
	struct request request;
	int r = parse_request(argument_count, arguments, &request);
	if (r != 0)
		return r;
	bool add = strcmp(request.verb, "add") == 0, revoke = strcmp(request.verb, "revoke") == 0;
	if (!add && !revoke && strcmp(request.verb, "list") != 0)
		return usage_error("unknown command ", request.verb);
	if (add && !request.scopes)
		return usage_error("--scope is missing", "");
	if (revoke != (request.id != NULL))
		return usage_error(
		    revoke ? "the id of a key is missing" : "unexpected argument", "");
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	r = ct_config_load(request.rest_count, request.rest, environment, &config, &message);
	if (r < 0) {
		(void)fprintf(stderr, "calotyped key: %s\n", message ? message : strerror(-r));
		return EXIT_USAGE;
	}
	r = execute(config, &request);
	if (r < 0)
		(void)fprintf(stderr, "calotyped key: %s: %s\n", config->data.text,
		    r > -CT_ERROR_FIRST ? strerror(-r) : ct_error_text(r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
