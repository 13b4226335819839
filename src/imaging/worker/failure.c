#include "imaging/worker/failure.h"
#include "calotype/error.h"

#include <stdbool.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vips/vips.h>

/* GLib names the calls that it does not survive so. */
static bool is_about_memory(const char *text)
{
	static const char *const signs[] = { "out of memory", "Out of memory", "nsufficient memory",
		"failed to allocate", "creating thread", "Cannot allocate memory" };
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (strstr(text, signs[i]) != NULL)
			return true;
	}
	return false;
}

static void on_log(const char *domain, GLogLevelFlags level, const char *message, void *arg)
{
	(void)domain;
	(void)arg;
	if ((level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR)) == 0)
		return;
	if (is_about_memory(message))
		_exit(CT_WORKER_EXIT_MEMORY);
	abort();
}

void ct_failure_install(void)
{
	(void)g_log_set_default_handler(on_log, NULL); /* returns the one before */
}

/* The first line, without control bytes. Words that begin with a slash may be paths of ours. */
static void copy_line(const char *text, char *ret_line, size_t capacity)
{
	size_t length = 0;
	bool in_path = false;
	for (; *text != '\0' && *text != '\n' && length + 1 < capacity; text++) {
		bool starts_word = length == 0 || ret_line[length - 1] == ' ';
		in_path = in_path ? *text != ' ' : *text == '/' && starts_word;
		if (!in_path)
			ret_line[length++] = *text >= ' ' && *text <= '~' ? *text : '?';
	}
	while (length > 0 && ret_line[length - 1] == ' ')
		length--;
	ret_line[length] = '\0';
}

int ct_failure_take(char ret_message[CT_WORKER_MESSAGE_BYTES])
{
	const char *text = vips_error_buffer();
	int error = is_about_memory(text) ? CT_ERROR_WORKER_MEMORY : CT_ERROR_UNDECODABLE_IMAGE;
	copy_line(text, ret_message, CT_WORKER_MESSAGE_BYTES);
	vips_error_clear();
	return error;
}
