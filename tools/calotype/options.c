#include "options.h"

#include "base/cleanup.h"
#include "base/slice.h"
#include "calotype/digest.h"
#include "format.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIST_LIMIT 1000000000
#define MAX_ERROR_BYTES 4096

enum option {
	OPTION_URL,
	OPTION_JSON,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_NO_WAIT,
	OPTION_LIMIT_RATE,
	OPTION_CHUNK_SIZE,
	OPTION_LIMIT,
	OPTION_STATE,
	OPTION_OUTPUT
};

#define EVERY_COMMAND ~0u
#define ONLY(command) (1u << (command))

static const struct option_row {
	const char *name;
	char letter; /* 0: none */
	bool has_value;
	unsigned commands;
	enum option option;
} rows[] = {
	{ "url", 'u', true, EVERY_COMMAND, OPTION_URL },
	{ "json", 'j', false, EVERY_COMMAND, OPTION_JSON },
	{ "help", 'h', false, EVERY_COMMAND, OPTION_HELP },
	{ "version", 'V', false, EVERY_COMMAND, OPTION_VERSION },
	{ "no-wait", 0, false, ONLY(CT_COMMAND_PUT), OPTION_NO_WAIT },
	{ "limit-rate", 0, true, ONLY(CT_COMMAND_PUT), OPTION_LIMIT_RATE },
	{ "chunk-size", 0, true, ONLY(CT_COMMAND_PUT), OPTION_CHUNK_SIZE },
	{ "limit", 'n', true, ONLY(CT_COMMAND_LIST), OPTION_LIMIT },
	{ "state", 's', true, ONLY(CT_COMMAND_LIST), OPTION_STATE },
	{ "output", 'o', true, ONLY(CT_COMMAND_GET), OPTION_OUTPUT },
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static const char *const command_names[CT_COMMAND_COUNT] = {
	[CT_COMMAND_NONE] = "",
	[CT_COMMAND_PUT] = "put",
	[CT_COMMAND_STATUS] = "status",
	[CT_COMMAND_GET] = "get",
	[CT_COMMAND_LIST] = "ls",
	[CT_COMMAND_REMOVE] = "rm",
};

struct parser {
	int argc;
	char **argv;
	int at; /* the next word */
	bool options_ended;
	bool url_given;
	unsigned used; /* bits of rows, checked once the command is known */
	struct ct_options *options;
	char *error;
};

/* Says what is wrong with `word`, which may hold anything. */
static int complain(struct parser *parser, const char *what, const char *word)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	ct_buffer_init(&text, MAX_ERROR_BYTES);
	ct_buffer_append_string(&text, what);
	if (word != NULL) {
		size_t length = strnlen(word, CT_OPTIONS_ERROR_CHARS / 8);
		ct_buffer_append_string(&text, ": ");
		ct_escape_append(&text, (struct ct_slice){ word, length });
	}
	(void)snprintf(parser->error, CT_OPTIONS_ERROR_CHARS + 1, "%s",
	    ct_buffer_error(&text) == 0 ? text.data : what); /* cut where it is too long */
	return -EINVAL;
}

static int set_url(struct parser *parser, const char *text)
{
	int r = ct_url_normalize(text, parser->options->url, sizeof(parser->options->url));
	parser->url_given = true;
	if (r < 0)
		return complain(parser, "not an http or https address of a server", text);
	return 0;
}

static int set_bytes(struct parser *parser, const char *text, uint64_t *ret_bytes)
{
	if (ct_parse_bytes(text, ret_bytes) < 0 || *ret_bytes == 0)
		return complain(parser, "not a number of bytes (like 65536, 64K or 2M)", text);
	return 0;
}

static int set_limit(struct parser *parser, const char *text)
{
	int r =
	    ct_slice_to_u64(ct_slice_from_string(text), MAX_LIST_LIMIT, &parser->options->limit);
	if (r < 0 || parser->options->limit == 0)
		return complain(parser, "not a number from 1 on", text);
	return 0;
}

static int set_state(struct parser *parser, const char *text)
{
	if (strcmp(text, "ready") != 0 && strcmp(text, "pending") != 0 &&
	    strcmp(text, "failed") != 0)
		return complain(parser, "the state is ready, pending or failed, not", text);
	parser->options->state = text;
	return 0;
}

static int apply(struct parser *parser, enum option option, const char *value)
{
	struct ct_options *options = parser->options;
	switch (option) {
	case OPTION_URL: return set_url(parser, value);
	case OPTION_JSON: options->json = true; return 0;
	case OPTION_HELP: options->help = true; return 0;
	case OPTION_VERSION: options->version = true; return 0;
	case OPTION_NO_WAIT: options->no_wait = true; return 0;
	case OPTION_LIMIT_RATE: return set_bytes(parser, value, &options->limit_rate);
	case OPTION_CHUNK_SIZE: return set_bytes(parser, value, &options->chunk_size);
	case OPTION_LIMIT: return set_limit(parser, value);
	case OPTION_STATE: return set_state(parser, value);
	case OPTION_OUTPUT:
		options->output = value;
		return value[0] != '\0' ? 0 : complain(parser, "--output names no file", NULL);
	}
	return -EINVAL;
}

/* `value` is what was glued to the option, or NULL: then it is the next word. */
static int apply_row(struct parser *parser, size_t index, const char *word, const char *value)
{
	const struct option_row *row = &rows[index];
	if (!row->has_value && value != NULL)
		return complain(parser, "this option takes no value", word);
	if (row->has_value && value == NULL) {
		if (parser->at >= parser->argc)
			return complain(parser, "this option needs a value", word);
		value = parser->argv[parser->at++];
	}
	parser->used |= 1u << index;
	return apply(parser, row->option, value);
}

static int parse_long(struct parser *parser, const char *word)
{
	const char *equals = strchr(word, '=');
	struct ct_slice name = ct_slice_from_string(word + 2);
	if (equals != NULL)
		name.length = (size_t)(equals - word - 2);
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (ct_slice_equal(name, rows[i].name))
			return apply_row(parser, i, word, equals != NULL ? equals + 1 : NULL);
	}
	return complain(parser, "unknown option", word);
}

static int parse_letter(struct parser *parser, const char *word)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (rows[i].letter == word[1])
			return apply_row(parser, i, word, word[2] != '\0' ? word + 2 : NULL);
	}
	return complain(parser, "unknown option", word);
}

static int parse_plain(struct parser *parser, const char *word)
{
	struct ct_options *options = parser->options;
	if (options->command != CT_COMMAND_NONE) {
		options->arguments[options->argument_count++] = word;
		return 0;
	}
	for (int i = CT_COMMAND_NONE + 1; i < CT_COMMAND_COUNT; i++) {
		if (strcmp(word, command_names[i]) == 0) {
			options->command = (enum ct_command)i;
			return 0;
		}
	}
	return complain(parser, "unknown command (see calotype --help)", word);
}

static int parse_word(struct parser *parser, const char *word)
{
	if (parser->options_ended || word[0] != '-' || word[1] == '\0')
		return parse_plain(parser, word);
	if (strcmp(word, "--") == 0) {
		parser->options_ended = true;
		return 0;
	}
	return word[1] == '-' ? parse_long(parser, word) : parse_letter(parser, word);
}

static bool is_digest(const char *text)
{
	struct ct_digest digest;
	return ct_digest_from_hex(text, strlen(text), &digest) == 0;
}

/* All arguments of the commands but put's are ids. */
static int check_ids(struct parser *parser)
{
	const struct ct_options *options = parser->options;
	for (size_t i = 0; i < options->argument_count; i++) {
		const char *text = options->arguments[i];
		bool digest = options->command == CT_COMMAND_GET && is_digest(text);
		if (!digest && !ct_id_is_valid(ct_slice_from_string(text)))
			return complain(parser, "not an id", text);
	}
	return 0;
}

static int check_arguments(struct parser *parser)
{
	static const struct {
		size_t min;
		size_t max;
		const char *what;
	} counts[CT_COMMAND_COUNT] = {
		[CT_COMMAND_PUT] = { 1, SIZE_MAX, "put needs a file or a folder" },
		[CT_COMMAND_STATUS] = { 1, 1, "status needs the id of one job" },
		[CT_COMMAND_GET] = { 1, 1, "get needs one id or SHA-256" },
		[CT_COMMAND_LIST] = { 0, 0, "ls takes no arguments" },
		[CT_COMMAND_REMOVE] = { 1, SIZE_MAX, "rm needs the id of an image" },
	};
	const struct ct_options *options = parser->options;
	size_t count = options->argument_count;
	if (count < counts[options->command].min || count > counts[options->command].max)
		return complain(parser, counts[options->command].what, NULL);
	if (options->command == CT_COMMAND_GET && options->output == NULL)
		return complain(parser, "get needs -o FILE", NULL);
	return options->command != CT_COMMAND_PUT ? check_ids(parser) : 0;
}

static int check(struct parser *parser)
{
	const struct ct_options *options = parser->options;
	if (options->command == CT_COMMAND_NONE)
		return complain(parser, "no command (see calotype --help)", NULL);
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if ((parser->used & 1u << i) != 0 &&
		    (rows[i].commands & ONLY(options->command)) == 0)
			return complain(parser, "this command has no option", rows[i].name);
	}
	return check_arguments(parser);
}

int ct_options_parse(int argc, char **argv, const char *environment_url,
    struct ct_options *ret_options, char ret_error[CT_OPTIONS_ERROR_CHARS + 1])
{
	struct parser parser = {
		.argc = argc, .argv = argv, .at = 1, .options = ret_options, .error = ret_error
	};
	*ret_options = (struct ct_options){ .command = CT_COMMAND_NONE };
	ret_error[0] = '\0';
	ret_options->arguments = calloc((size_t)argc + 1, sizeof(*ret_options->arguments));
	if (ret_options->arguments == NULL)
		return -ENOMEM;
	while (parser.at < argc) {
		int r = parse_word(&parser, argv[parser.at++]);
		if (r < 0)
			return r;
	}
	if (ret_options->help || ret_options->version)
		return 0;
	if (!parser.url_given) {
		bool from_environment = environment_url != NULL && environment_url[0] != '\0';
		int r =
		    set_url(&parser, from_environment ? environment_url : CT_OPTIONS_DEFAULT_URL);
		if (r < 0)
			return r;
	}
	return check(&parser);
}

void ct_options_done(struct ct_options *options)
{
	free(options->arguments);
	options->arguments = NULL;
}
