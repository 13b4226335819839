#include "app.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "config/config.h"
#include "start.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

#define EXIT_USAGE 2
#define HELP_MAX_BYTES 65536

CT_DEFINE_CLEANUP(cleanup_config, struct ct_config *, ct_config_free)

static int show_help(void)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, HELP_MAX_BYTES);
	ct_buffer_append_string(&buffer,
	    "Usage: calotyped [OPTION...]\n"
	    "       calotyped key add|list|revoke ...    API keys; see calotyped key --help\n"
	    "       calotyped fsck --data DIR            checks the data of a server that is "
	    "stopped\n"
	    "       calotyped reindex --data DIR         a new database of the originals\n\n"
	    "The image service: takes photos, makes prints, serves both. It logs to standard "
	    "error\n"
	    "and says `listening on URL` on standard output when it is ready. SIGTERM ends it.\n\n"
	    "Each option may be a flag, an environment variable (CALOTYPE_MAX_FILE=300M) or a "
	    "line\n"
	    "of the file named by --config FILE or CALOTYPE_CONFIG (max_file = 300M); the flag "
	    "wins,\n"
	    "then the variable. Defaults stand in brackets.\n\n");
	ct_config_help(&buffer);
	ct_buffer_append_string(&buffer,
	    "  --config FILE\n        read options from this file first\n"
	    "  --check-sandbox\n        say which layers of the worker's sandbox hold here; "
	    "status 0 when all do that must\n"
	    "  --help, --version\n        this text; the version\n");
	if (ct_buffer_error(&buffer) < 0)
		return EXIT_FAILURE;
	return fputs(buffer.data, stdout) < 0 || fflush(stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void set_log_level(const char *name)
{
	static const char *const names[] = { "debug", "info", "warning", "error" };
	for (int level = CT_LOG_DEBUG; level <= CT_LOG_ERROR; level++)
		if (strcmp(name, names[level]) == 0)
			ct_log_set_level(level);
}

/* Before the first thread starts, so that all inherit it: the main thread waits for these. */
static void block_signals(void)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* Takes a word out of the arguments; was it there? */
static bool take_argument(int *count, char **arguments, const char *word)
{
	bool found = false;
	int kept = 0;
	for (int i = 0; i < *count; i++) {
		if (strcmp(arguments[i], word) == 0)
			found = true;
		else
			arguments[kept++] = arguments[i];
	}
	*count = kept;
	return found;
}

int main(int argument_count, char **arguments)
{
	if (argument_count > 1 && strcmp(arguments[1], "key") == 0)
		return ct_key_command(argument_count - 2, arguments + 2, environ);
	if (argument_count > 1 && strcmp(arguments[1], "fsck") == 0)
		return ct_fsck_command(argument_count - 2, arguments + 2, environ);
	if (argument_count > 1 && strcmp(arguments[1], "reindex") == 0)
		return ct_reindex_command(argument_count - 2, arguments + 2, environ);
	for (int i = 1; i < argument_count; i++) {
		if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0)
			return show_help();
		if (strcmp(arguments[i], "--version") == 0)
			return puts("calotyped " CALOTYPE_VERSION) < 0 ? EXIT_FAILURE
								       : EXIT_SUCCESS;
	}
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	bool only_check = take_argument(&argument_count, arguments, "--check-sandbox");
	int r = ct_config_load(argument_count - 1, arguments + 1, environ, &config, &message);
	if (r < 0) {
		(void)fprintf(stderr, "calotyped: %s\n", message ? message : strerror(-r));
		return EXIT_USAGE;
	}
	set_log_level(config->log_level.text);
	if (only_check)
		return ct_start_show_sandbox(config);
	block_signals();
	return ct_app_run(config) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
