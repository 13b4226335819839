#include "options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef"
#define SHA256 ID ID
#define MAX_WORDS 16

TestSuite(options);

/* Parses a line of words without blanks in them. */
static int parse(const char *line, const char *environment_url, struct ct_options *options,
    char error[CT_OPTIONS_ERROR_CHARS + 1])
{
	static char words[1024];
	char *argv[MAX_WORDS + 1] = { NULL };
	int argc = 0;
	char *at = words;
	cr_assert_lt(strlen(line), sizeof(words));
	memcpy(words, line, strlen(line) + 1);
	while (at != NULL && argc < MAX_WORDS) {
		argv[argc++] = strsep(&at, " ");
	}
	return ct_options_parse(argc, argv, environment_url, options, error);
}

static struct ct_options parsed(const char *line)
{
	struct ct_options options;
	char error[CT_OPTIONS_ERROR_CHARS + 1];
	cr_assert_eq(parse(line, NULL, &options, error), 0, "%s: %s", line, error);
	return options;
}

static void expect_error(const char *line, const char *expected)
{
	struct ct_options options;
	char error[CT_OPTIONS_ERROR_CHARS + 1];
	cr_expect_eq(parse(line, NULL, &options, error), -EINVAL, "%s", line);
	cr_expect_not_null(strstr(error, expected), "%s: %s", line, error);
	ct_options_done(&options);
}

Test(options, put_with_everything)
{
	struct ct_options options =
	    parsed("calotype put a.jpg --no-wait --limit-rate=1M b --chunk-size 64K -j");
	cr_expect_eq(options.command, CT_COMMAND_PUT);
	cr_expect_eq(options.argument_count, 2);
	cr_expect_str_eq(options.arguments[0], "a.jpg");
	cr_expect_str_eq(options.arguments[1], "b");
	cr_expect(options.no_wait && options.json);
	cr_expect_eq(options.limit_rate, 1u << 20);
	cr_expect_eq(options.chunk_size, 65536);
	cr_expect_str_eq(options.url, CT_OPTIONS_DEFAULT_URL);
	ct_options_done(&options);
}

Test(options, options_before_the_command)
{
	struct ct_options options = parsed("calotype --json -uhttp://a:1/ rm " ID);
	cr_expect_eq(options.command, CT_COMMAND_REMOVE);
	cr_expect_str_eq(options.url, "http://a:1");
	ct_options_done(&options);
}

Test(options, two_dashes_end_the_options)
{
	struct ct_options options = parsed("calotype put -- --json -x put");
	cr_expect_not(options.json);
	cr_expect_eq(options.argument_count, 3);
	cr_expect_str_eq(options.arguments[0], "--json");
	ct_options_done(&options);
}

Test(options, the_url_of_the_environment_comes_second)
{
	struct ct_options options;
	char error[CT_OPTIONS_ERROR_CHARS + 1];
	cr_expect_eq(parse("calotype ls", "https://b/", &options, error), 0);
	cr_expect_str_eq(options.url, "https://b");
	ct_options_done(&options);
	cr_expect_eq(parse("calotype ls --url http://c", "nonsense", &options, error), 0);
	cr_expect_str_eq(options.url, "http://c");
	ct_options_done(&options);
	cr_expect_eq(parse("calotype ls", "nonsense", &options, error), -EINVAL);
	ct_options_done(&options);
	cr_expect_eq(parse("calotype ls", "", &options, error), 0);
	cr_expect_str_eq(options.url, CT_OPTIONS_DEFAULT_URL);
	ct_options_done(&options);
}

Test(options, help_needs_nothing_else)
{
	struct ct_options options = parsed("calotype --help");
	cr_expect(options.help && options.command == CT_COMMAND_NONE);
	ct_options_done(&options);
	options = parsed("calotype get --help");
	cr_expect(options.help && options.command == CT_COMMAND_GET);
	ct_options_done(&options);
	options = parsed("calotype -V");
	cr_expect(options.version);
	ct_options_done(&options);
}

Test(options, get_takes_both_kinds_of_names)
{
	struct ct_options options = parsed("calotype get " SHA256 " -o x");
	cr_expect_str_eq(options.output, "x");
	ct_options_done(&options);
	options = parsed("calotype get " ID " --output x");
	ct_options_done(&options);
}

Test(options, ls_with_limits)
{
	struct ct_options options = parsed("calotype ls -n 5 --state failed");
	cr_expect_eq(options.limit, 5);
	cr_expect_str_eq(options.state, "failed");
	ct_options_done(&options);
}

Test(options, usage_errors_are_told)
{
	expect_error("calotype", "no command");
	expect_error("calotype frobnicate", "unknown command");
	expect_error("calotype put", "put needs");
	expect_error("calotype put a --frob", "unknown option: --frob");
	expect_error("calotype put a -x", "unknown option");
	expect_error("calotype put a --json=yes", "takes no value");
	expect_error("calotype put a --limit-rate", "needs a value");
	expect_error("calotype put a --limit-rate 0", "number of bytes");
	expect_error("calotype put a --chunk-size many", "number of bytes");
	expect_error("calotype put a --limit 3", "this command has no option: limit");
	expect_error("calotype ls x", "takes no arguments");
	expect_error("calotype ls --limit 0", "number from 1");
	expect_error("calotype ls --state done", "the state is");
	expect_error("calotype ls --url ftp://x", "address");
	expect_error("calotype get " ID, "-o FILE");
	expect_error("calotype get x -o y", "not an id");
	expect_error("calotype get " ID " " ID " -o y", "one id");
	expect_error("calotype status " SHA256, "not an id");
	expect_error("calotype rm ../x", "not an id");
}

Test(options, hostile_words_are_escaped_in_the_message)
{
	expect_error("calotype \033[31mred", "\\x1b[31mred");
}
