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
	cr_assert_null(strchr(message, '\n'), "more than one line: '%s'", message);
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
	cr_assert_str_eq(CT_IMAGE_TYPES_ACCEPTED,
	    "image/jpeg,image/png,image/webp,image/gif,image/avif,"
	    "image/heic,image/heif");
	const struct ct_image_type *type = ct_image_type_find("image/png");
	cr_assert_not_null(type);
	cr_assert(type->is_shown);
	cr_assert_not(ct_image_type_find("image/tiff")->is_shown);
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
	expect_refusal(ARGUMENTS("--max-file", "0"), ARGUMENTS(), "too small");
	expect_refusal(ARGUMENTS("--max-connections", "4294967297"), ARGUMENTS(), "too large");
	expect_refusal(ARGUMENTS("--originals", "all"), ARGUMENTS(), "scoped|public");
	expect_refusal(ARGUMENTS(), ARGUMENTS("CALOTYPE_INSECURE=maybe"), "CALOTYPE_INSECURE");
	expect_refusal(ARGUMENTS("--config", "/nonexistent"), ARGUMENTS(), "/nonexistent");
	expect_refusal(ARGUMENTS("--config", "/tmp"), ARGUMENTS(), "directory");
	expect_refusal(ARGUMENTS("--insecure=perhaps"), ARGUMENTS(), "--insecure: 'perhaps'");
	expect_refusal(ARGUMENTS("--no-insecure=no"), ARGUMENTS(), "takes no value");
	expect_refusal(ARGUMENTS("--no\nsense=1\n2"), ARGUMENTS(), "--no?sense;");
	expect_refusal(ARGUMENTS("--accept", "a\nb", "--max-file", "1\n2"), ARGUMENTS(), "'1?2'");
}

Test(config, limits_are_told)
{
	static const struct {
		const char *flag, *value, *word;
	} rows[] = {
		{ "--workers", "65", "too large; right would be 1 to 64" },
		{ "--workers", "0", "too small; right would be 1 to 64" },
		{ "--workers", "99999999999999999999999", "too large" },
		{ "--workers", "", "whole number; right would be 1 to 64" },
		{ "--worker-memory", "1M", "too small; right would be 256M to 1T" },
		{ "--worker-memory", "268435455", "too small" },
		{ "--worker-deadline", "3601", "1 to 3600" },
		{ "--worker-deadline", "1s", "1 to 3600 seconds" },
		{ "--max-file", "1025T", "1 to 1024T" },
		{ "--max-connections", "32769", "1 to 32768" },
		{ "--data", "", "'' is empty; right would be ./data" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_refusal(ARGUMENTS(rows[i].flag, rows[i].value), ARGUMENTS(), rows[i].word);
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	int r = load(ARGUMENTS("--workers=64", "--worker-memory=256M", "--max-file=1024T"),
	    ARGUMENTS(), &config, &message);
	cr_assert_eq(r, 0, "%s", message ? message : "");
	cr_assert_eq(config->worker_memory.number, 256u << 20);
}

Test(config, addresses)
{
	static const char *const good[] = { "127.0.0.1:0", ":8080", "[::1]:65535", "localhost:80",
		"unix:/run/x", "systemd" };
	static const char *const bad[] = { "", "8080", "localhost", "1.2.3.4:65536", "1.2.3.4:http",
		"::1:8080", "[::1]", "unix:", "unix:x", "unix:/", "http://localhost:80", "a b:80" };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ct_cleanup(cleanup_config) struct ct_config *config = NULL;
		ct_cleanup(ct_free_pointer) char *message = NULL;
		int r = load(ARGUMENTS("--listen", good[i]), ARGUMENTS(), &config, &message);
		cr_assert_eq(r, 0, "%s", message ? message : "");
		cr_assert_str_eq(config->listen.text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refusal(ARGUMENTS("--listen", bad[i]), ARGUMENTS(), "--listen: '");
}

Test(config, public_url)
{
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	cr_assert_eq(load(ARGUMENTS("--public-url=https://a.example/photos/"), ARGUMENTS(), &config,
			 &message),
	    0);
	cr_assert_str_eq(config->public_url.text, "https://a.example/photos");
	expect_refusal(ARGUMENTS("--public-url", "a.example"), ARGUMENTS(), "https://");
	expect_refusal(
	    ARGUMENTS(), ARGUMENTS("CALOTYPE_PUBLIC_URL=ftp://a"), "CALOTYPE_PUBLIC_URL:");
}

#define TEN                                                                                 \
	"http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://a," \
	"http://a,"

Test(config, origins_and_networks)
{
	static const char *const good[] = { "--cors-origins=", "--cors-origins=*",
		"--cors-origins=https://a.example, http://localhost:3000",
		"--trusted-proxies=", "--trusted-proxies=10.0.0.0/8, ::1,unix" };
	static const char *const bad[] = { "--cors-origins=a.example", "--cors-origins=https://a/",
		"--cors-origins=*,https://a", "--cors-origins=null", "--cors-origins=https://a,",
		"--trusted-proxies=10.0.0.1/8", "--trusted-proxies=proxy", "--trusted-proxies=*" };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ct_cleanup(cleanup_config) struct ct_config *config = NULL;
		ct_cleanup(ct_free_pointer) char *message = NULL;
		int r = load(ARGUMENTS(good[i]), ARGUMENTS(), &config, &message);
		cr_assert_eq(r, 0, "%s", message ? message : "");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refusal(ARGUMENTS(bad[i]), ARGUMENTS(), "; right would be ");
	char many[] =
	    "--cors-origins=" TEN TEN TEN TEN TEN TEN "http://a,http://a,http://a,http://a,"
	    "http://a";
	expect_refusal(ARGUMENTS(many), ARGUMENTS(), "more than 64");
}

Test(config, every_value_knows_its_source)
{
	char path[] = "/tmp/ct-config-XXXXXX", in_file[64];
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd, "# one\n\nmax_file = 1K\n"), 0);
	cr_assert_eq(close(fd), 0);
	ct_cleanup(cleanup_config) struct ct_config *config = NULL;
	ct_cleanup(ct_free_pointer) char *message = NULL;
	cr_assert_eq(load(ARGUMENTS("--config", path, "--no-access-log", "--workers=3"),
			 ARGUMENTS("CALOTYPE_CACHE=5M"), &config, &message),
	    0);
	cr_assert_gt(snprintf(in_file, sizeof(in_file), "max_file in %s, line 3", path), 0);
	cr_assert_str_eq(config->max_file.source, in_file);
	cr_assert_str_eq(config->access_log.source, "--no-access-log");
	cr_assert_str_eq(config->workers.source, "--workers");
	cr_assert_str_eq(config->cache.source, "CALOTYPE_CACHE");
	cr_assert_str_eq(config->data.source, "--data");
	cr_assert_eq(unlink(path), 0);
}

/* The parser takes what is left of a long line for a line of its own. */
Test(config, long_line_of_a_file_is_refused)
{
	for (int extra = 0; extra < 2; extra++) {
		char path[] = "/tmp/ct-config-XXXXXX";
		int fd = mkstemp(path);
		cr_assert_geq(fd, 0);
		cr_assert_gt(dprintf(fd, "\naccept=%0*d\nworkers=3\n", 191 + extra, 1), 0);
		cr_assert_eq(close(fd), 0);
		ct_cleanup(cleanup_config) struct ct_config *config = NULL;
		ct_cleanup(ct_free_pointer) char *message = NULL;
		int r = load(ARGUMENTS("--config", path), ARGUMENTS(), &config, &message);
		cr_assert_eq(r, extra ? -EINVAL : 0, "%s", message ? message : "");
		if (extra)
			cr_assert_not_null(strstr(message, "line 2: the line is too long"));
		else
			cr_assert_eq(strlen(config->accept.text), 191);
		cr_assert_eq(unlink(path), 0);
	}
}

Test(config, file_with_unknown_option_or_section)
{
	static const char *const texts[] = { "max_fill = 1K\n", "[server]\ndata = x\n", "data\n",
		"\n\nworkers = x\ndata = y\n" };
	static const char *const words[] = { "line 1: there is no option max_fill", "sections",
		"line 1", "line 3: 'x'" };
	for (int i = 0; i < 4; i++) {
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
	cr_assert_not_null(strstr(buffer.data, "a worker process; 256M to 1T [512M]\n"));
	cr_assert_not_null(strstr(buffer.data, "open resumable uploads at once; 1 to 1000000 ["));
	cr_assert_not_null(strstr(buffer.data, "largest file [200M]\n")); /* none of its own */
}
