#include "config/config.h"

#include "base/cleanup.h"
#include "config/image_types.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

CT_DEFINE_CLEANUP(cleanup_config, struct ct_config *, ct_config_free)

static int load(char *const *arguments, char *const *environment, struct ct_config **ret_config,
    char **ret_message)
{
	int count = 0;
	while (arguments[count])
		count++;
	return ct_config_load(count, arguments, environment, ret_config, ret_message);
}

/* Fails with -EINVAL and a message that holds `word`. */
static void expect_refusal(char *const *arguments, char *const *environment, const char *word)
{
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	cr_assert_eq(load(arguments, environment, &config, &message), -EINVAL);
	cr_assert_not_null(message);
	cr_assert_not_null(strstr(message, word), "'%s' lacks '%s'", message, word);
}

#define ARGUMENTS(...) ((char *const *)(const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

Test(config, defaults)
{
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	cr_assert_eq(load(ARGUMENTS(), ARGUMENTS(), &config, &message), 0);
	cr_assert_str_eq(config->listen.text, "127.0.0.1:8080");
	cr_assert_str_eq(config->data.text, "./data");
	cr_assert_eq(config->max_file.number, 200u << 20);
	cr_assert_eq(config->insecure.number, 0);
	cr_assert_eq(config->upload_expiry.number, 86400);
}

Test(config, flag_beats_environment_beats_file)
{
	char path[] = "/tmp/ct-config-XXXXXX";
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd, "; a comment\nmax_file = 1K\ncache = 2M\nworkers=7\n"), 0);
	cr_assert_eq(close(fd), 0);
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	int r = load(ARGUMENTS("--config", path, "--max-file=3K", "--no-access-log"),
	    ARGUMENTS("CALOTYPE_MAX_FILE=2K", "CALOTYPE_CACHE=5M", "CALOTYPE_URL=http://x"),
	    &config, &message);
	cr_assert_eq(r, 0, "%s", message ? message : "");
	cr_assert_eq(config->max_file.number, 3072);
	cr_assert_eq(config->cache.number, 5u << 20);
	cr_assert_eq(config->workers.number, 7);
	cr_assert_eq(config->access_log.number, 0);
	cr_assert_eq(unlink(path), 0);
}

Test(config, image_types_are_those_of_the_table)
{
	cr_assert_str_eq(CT_IMAGE_TYPES_ACCEPTED, "image/jpeg,image/png,image/webp,image/gif");
	const struct ct_image_type *type = ct_image_type_find("image/png");
	cr_assert_not_null(type);
	cr_assert(type->is_shown);
	cr_assert_null(ct_image_type_find("image/svg+xml"));
	cr_assert_null(ct_image_type_find("image/"));
}

Test(config, refusals_name_what_is_wrong)
{
	expect_refusal(ARGUMENTS("--nonsense"), ARGUMENTS(), "--nonsense");
	expect_refusal(ARGUMENTS("nonsense"), ARGUMENTS(), "nonsense");
	expect_refusal(ARGUMENTS("--data"), ARGUMENTS(), "DIR");
	expect_refusal(ARGUMENTS("--config"), ARGUMENTS(), "FILE");
	expect_refusal(ARGUMENTS("--no-data"), ARGUMENTS(), "--no-data");
	expect_refusal(ARGUMENTS("--max-file", "12X"), ARGUMENTS(), "300M");
	expect_refusal(ARGUMENTS("--max-file", "99999999999999999999"), ARGUMENTS(), "--max-file");
	expect_refusal(ARGUMENTS("--max-file", "9999999999T"), ARGUMENTS(), "--max-file");
	expect_refusal(ARGUMENTS("--workers", "-1"), ARGUMENTS(), "whole number");
	expect_refusal(ARGUMENTS("--max-file", "0"), ARGUMENTS(), "at least 1");
	expect_refusal(ARGUMENTS("--max-connections", "4294967297"), ARGUMENTS(), "at most");
	expect_refusal(ARGUMENTS("--originals", "all"), ARGUMENTS(), "scoped|public");
	expect_refusal(ARGUMENTS(), ARGUMENTS("CALOTYPE_INSECURE=maybe"), "CALOTYPE_INSECURE");
	expect_refusal(ARGUMENTS("--config", "/nonexistent"), ARGUMENTS(), "/nonexistent");
}

Test(config, file_with_unknown_option_or_section)
{
	static const char *const texts[] = { "max_fill = 1K\n", "[server]\ndata = x\n", "data\n" };
	static const char *const words[] = { "max_fill", "sections", "line 1" };
	for (int i = 0; i < 3; i++) {
		char path[] = "/tmp/ct-config-XXXXXX";
		int fd = mkstemp(path);
		cr_assert_geq(fd, 0);
		cr_assert_gt(dprintf(fd, "%s", texts[i]), 0);
		cr_assert_eq(close(fd), 0);
		expect_refusal(ARGUMENTS("--config", path), ARGUMENTS(), words[i]);
		cr_assert_eq(unlink(path), 0);
	}
}

Test(config, secrets_come_from_files_and_never_from_flags)
{
	char path[] = "/tmp/ct-config-XXXXXX", variable[64];
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd, "the secret\nmore\n"), 0);
	cr_assert_eq(close(fd), 0);
	cr_assert_gt(snprintf(variable, sizeof(variable), "CALOTYPE_API_KEY_FILE=%s", path), 0);
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	cr_assert_eq(load(ARGUMENTS(), ARGUMENTS(variable), &config, &message), 0);
	cr_assert_str_eq(config->api_key.text, "the secret");
	cr_assert_eq(unlink(path), 0);
	expect_refusal(ARGUMENTS("--api-key", "x"), ARGUMENTS(), "CALOTYPE_API_KEY_FILE");
	expect_refusal(ARGUMENTS(), ARGUMENTS(variable), "CALOTYPE_API_KEY_FILE");
}

Test(config, help_names_every_option)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 65536);
	ct_config_help(&buffer);
	cr_assert_eq(ct_buffer_error(&buffer), 0);
	cr_assert_not_null(strstr(buffer.data, "--listen ADDR:PORT"));
	cr_assert_not_null(strstr(buffer.data, "CALOTYPE_API_KEY_FILE"));
	cr_assert_null(strstr(buffer.data, "--api-key"));
}
