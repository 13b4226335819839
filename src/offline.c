#include "offline.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "calotype/blob_open.h"
#include "calotype/error.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PASSED_ON 16

static int usage_error(const struct ct_offline *offline, const char *word, const char *why)
{
	(void)fprintf(stderr, "calotyped %s: %s %s; see calotyped %s --help\n", offline->command,
	    word, why, offline->command);
	return CT_OFFLINE_EXIT_USAGE;
}

static bool *find_switch(struct ct_offline *offline, const char *word)
{
	const struct {
		const char *name;
		bool *value;
		bool is_known;
	} switches[] = {
		{ "--deep", &offline->deep, offline->has_checks },
		{ "--repair", &offline->repair, offline->has_checks },
		{ "--json", &offline->json, true },
		{ "--help", &offline->help, true },
		{ "-h", &offline->help, true },
	};
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		if (switches[i].is_known && strcmp(word, switches[i].name) == 0)
			return switches[i].value;
	return NULL;
}

/* Options of the server: where its data lies, and how long it keeps what nobody needs. */
static bool is_passed_on(const char *word)
{
	static const char *const names[] = { "--data", "--database", "--config", "--sweep-grace" };
	size_t length = strcspn(word, "=");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == length && strncmp(word, names[i], length) == 0)
			return true;
	return false;
}

/* -1, or the exit status after a message. */
static int parse(struct ct_offline *offline, int count, char *const *arguments,
    const char *ret_passed[MAX_PASSED_ON], int *ret_passed_count)
{
	int passed = 0;
	for (int i = 0; i < count; i++) {
		bool *value = find_switch(offline, arguments[i]);
		if (value != NULL) {
			*value = true;
			continue;
		}
		if (!is_passed_on(arguments[i]))
			return usage_error(offline, arguments[i], "is no argument of it");
		if (passed + 2 > MAX_PASSED_ON)
			return usage_error(offline, arguments[i], "is one argument too many");
		ret_passed[passed++] = arguments[i];
		if (strchr(arguments[i], '=') != NULL)
			continue;
		if (i + 1 == count)
			return usage_error(offline, arguments[i], "needs a value");
		ret_passed[passed++] = arguments[++i];
	}
	*ret_passed_count = passed;
	return -1;
}

int ct_offline_fail(const struct ct_offline *offline, const char *what, int error)
{
	ct_offline_progress(offline, "", 0, 0);
	(void)fprintf(stderr, "calotyped %s: %s: %s\n", offline->command, what,
	    error > -CT_ERROR_FIRST ? strerror(-error) : ct_error_text(error));
	return CT_OFFLINE_EXIT_FAILED;
}

/* Opening would make an empty one of a name that was mistyped. */
static int check_directory(const struct ct_offline *offline)
{
	const char *data = offline->config->data.text;
	char path[PATH_MAX];
	int r = ct_path_join(data, "format", path, sizeof(path));
	if (r == 0 && access(path, F_OK) == 0)
		return -1;
	(void)fprintf(stderr, "calotyped %s: %s is no data directory of Calotype: %s\n",
	    offline->command, data, r < 0 ? strerror(-r) : strerror(errno));
	return CT_OFFLINE_EXIT_FAILED;
}

static int open_store(struct ct_offline *offline)
{
	const struct ct_disk_options options = { .directory = offline->config->data.text };
	int r = ct_blob_store_open_disk(&options, &offline->store);
	if (r == 0)
		return -1;
	if (r != -EBUSY)
		return ct_offline_fail(offline, options.directory, r);
	(void)fprintf(stderr,
	    "calotyped %s: a server runs on %s; stop it first, nothing was changed\n",
	    offline->command, options.directory);
	return CT_OFFLINE_EXIT_FAILED;
}

int ct_offline_begin(struct ct_offline *offline, int argument_count, char *const *arguments,
    char *const *environment)
{
	const char *passed[MAX_PASSED_ON];
	ct_cleanup(ct_free_pointer) char *message = NULL;
	int passed_count = 0;

	int status = parse(offline, argument_count, arguments, passed, &passed_count);
	if (status >= 0)
		return status;
	if (offline->help)
		return fputs(offline->usage, stdout) < 0 || fflush(stdout) < 0
			   ? CT_OFFLINE_EXIT_FAILED
			   : EXIT_SUCCESS;
	offline->is_terminal = !offline->json && isatty(STDERR_FILENO) == 1;
	int r = ct_config_load(
	    passed_count, (char *const *)passed, environment, &offline->config, &message);
	if (r < 0) {
		(void)fprintf(stderr, "calotyped %s: %s\n", offline->command,
		    message != NULL ? message : strerror(-r));
		return CT_OFFLINE_EXIT_USAGE;
	}
	status = check_directory(offline);
	return status >= 0 ? status : open_store(offline);
}

void ct_offline_done(struct ct_offline *offline)
{
	ct_blob_store_close(offline->store);
	ct_config_free(offline->config);
	offline->store = NULL;
	offline->config = NULL;
}

void ct_offline_progress(
    const struct ct_offline *offline, const char *what, unsigned done, unsigned total)
{
	if (!offline->is_terminal)
		return;
	if (total == 0)
		(void)fputs("\r\033[K", stderr); /* ornament */
	else
		(void)fprintf(stderr, "\r\033[K%s: %u of %u", what, done, total);
	(void)fflush(stderr);
}

int ct_offline_print(struct ct_json *json)
{
	ct_cleanup(ct_free_pointer) char *text = ct_json_to_text(json);
	ct_json_free(json);
	if (text == NULL)
		return -ENOMEM;
	return puts(text) < 0 || fflush(stdout) < 0 ? -EIO : 0;
}
