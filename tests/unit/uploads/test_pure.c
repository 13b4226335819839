/* What needs neither disk nor threads: metadata header, names, patterns, types. */
#include "samples.h"

#include "uploads/accept.h"
#include "uploads/filename.h"
#include "uploads/parts.h"
#include "uploads/sniff.h"
#include "uploads/tus_checksum.h"
#include "uploads/tus_metadata.h"

#include <stdlib.h>
#include <pthread.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int parse(const char *header, struct ct_tus_metadata *ret)
{
	return ct_tus_metadata_parse(ct_slice_from_string(header), ret);
}

Test(tus_metadata, takes_names_and_type)
{
	struct ct_tus_metadata metadata;

	cr_assert_eq(
	    parse("filename d29ybGQucG5n,filetype aW1hZ2UvcG5n,is_confidential", &metadata), 0);
	cr_expect_str_eq(metadata.filename, "world.png");
	cr_expect_str_eq(metadata.filetype, "image/png");
	cr_assert_eq(parse("name Yi5wbmc=, other ,relativePath bnVsbA==", &metadata), 0);
	cr_expect_str_eq(metadata.filename, "b.png");
	cr_assert_eq(parse("name Yi5wbmc=,filename YS5wbmc=", &metadata), 0);
	cr_expect_str_eq(metadata.filename, "a.png", "filename goes before name");
	cr_assert_eq(parse("", &metadata), 0);
	cr_assert_eq(ct_tus_metadata_parse(CT_SLICE_ABSENT, &metadata), 0);
	cr_expect_str_eq(metadata.filename, "");
}

Test(tus_metadata, refuses_what_is_malformed)
{
	static const char *const headers[] = { ",", "a YQ==,", ",a YQ==", "a YQ==,a YQ==", "a,a",
		" ", "a YQ", "a Y!==", "a YQ== YQ==", "a\tYQ==", "k\xc3\xa4y YQ==", "a YQ==\x01" };
	struct ct_tus_metadata metadata;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		cr_expect_eq(parse(headers[i], &metadata), -EINVAL, "%s", headers[i]);
	cr_expect_eq(parse("filename gICA", &metadata), -EILSEQ);
	cr_expect_eq(parse("name gICA", &metadata), -EILSEQ);
}

Test(tus_metadata, has_limits)
{
	struct ct_tus_metadata metadata;
	char header[CT_UPLOAD_METADATA_MAX + 2];
	size_t length = 0;

	memset(header, 'a', sizeof(header));
	header[CT_UPLOAD_METADATA_MAX] = '\0';
	cr_expect_eq(parse(header, &metadata), 0);
	header[CT_UPLOAD_METADATA_MAX] = 'a';
	header[CT_UPLOAD_METADATA_MAX + 1] = '\0';
	cr_expect_eq(parse(header, &metadata), -ENAMETOOLONG);

	for (int i = 0; i < CT_TUS_METADATA_MAX_PAIRS; i++)
		length += (size_t)snprintf(
		    header + length, sizeof(header) - length, "%sk%d", i > 0 ? "," : "", i);
	cr_expect_eq(parse(header, &metadata), 0);
	(void)snprintf(header + length, sizeof(header) - length, ",z");
	cr_expect_eq(parse(header, &metadata), -ENAMETOOLONG);
}

static void expect_clean(const char *name, const char *expected)
{
	char clean[CT_FILENAME_MAX + 1];

	cr_assert_eq(ct_filename_clean(ct_slice_from_string(name), clean), 0, "%s", name);
	cr_expect_str_eq(clean, expected);
}

Test(filename, is_cleaned)
{
	expect_clean("photo.jpg", "photo.jpg");
	expect_clean("../../etc/passwd", "passwd");
	expect_clean("C:\\fakepath\\x.png", "x.png");
	expect_clean("a\r\nSet-Cookie: b\x7f.jpg", "aSet-Cookie: b.jpg");
	expect_clean("  \xc3\xa4 b.jpg ", "\xc3\xa4 b.jpg");
	expect_clean("gpj.\xe2\x80\xae"
		     "exe",
	    "gpj.exe");
	expect_clean("a\xc2\x85"
		     "b",
	    "ab");
	expect_clean("..", "");
	expect_clean("a/.", "");
	expect_clean("", "");
	expect_clean("/", "");
}

Test(filename, refuses_bad_bytes_and_length)
{
	char name[CT_FILENAME_MAX + 2];
	char clean[CT_FILENAME_MAX + 1];

	cr_expect_eq(ct_filename_clean(CT_SLICE_OF("a\xff"), clean), -EINVAL);
	cr_expect_eq(ct_filename_clean(CT_SLICE_OF("\xc0\xaf"), clean), -EINVAL);
	memset(name, 'a', sizeof(name));
	cr_expect_eq(ct_filename_clean((struct ct_slice){ name, CT_FILENAME_MAX }, clean), 0);
	cr_expect_eq(strlen(clean), CT_FILENAME_MAX);
	cr_expect_eq(ct_filename_clean((struct ct_slice){ name, CT_FILENAME_MAX + 1 }, clean),
	    -ENAMETOOLONG);
}

static void expect_disposition(const char *header, const char *expected)
{
	char name[CT_FILENAME_MAX + 1];

	cr_assert_eq(
	    ct_filename_from_disposition(ct_slice_from_string(header), name), 0, "%s", header);
	cr_expect_str_eq(name, expected);
}

Test(filename, from_disposition)
{
	expect_disposition("attachment; filename=a.jpg", "a.jpg");
	expect_disposition("inline; filename=\"a; \\\"b\\\".jpg\"; size=3", "a; \"b\".jpg");
	expect_disposition(
	    "inline; filename*=UTF-8''%e2%82%ac.jpg; filename=x", "\xe2\x82\xac.jpg");
	expect_disposition("inline; filename=x; FileName*=utf-8'en'%C3%A4.jpg", "\xc3\xa4.jpg");
	expect_disposition("attachment", "");
	expect_disposition("attachment; filename=\"../up.jpg\"", "up.jpg");
}

Test(filename, refuses_malformed_disposition)
{
	static const char *const headers[] = { "inline; filename=\"open", "inline; filename=\"",
		"inline; filename*=latin1''a", "inline; filename*=UTF-8''%zz",
		"inline; filename*=UTF-8''%ff", "inline; filename*=UTF-8" };
	char name[CT_FILENAME_MAX + 1];

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		cr_expect_lt(ct_filename_from_disposition(ct_slice_from_string(headers[i]), name),
		    0, "%s", headers[i]);
}

Test(accept, matches_patterns)
{
	struct ct_accept *accept;

	cr_assert_eq(ct_accept_new("image/png, video/*", &accept), 0);
	cr_expect(ct_accept_matches(accept, "image/png"));
	cr_expect(ct_accept_matches(accept, "Image/PNG"));
	cr_expect(ct_accept_matches(accept, "video/mp4"));
	cr_expect_not(ct_accept_matches(accept, "image/jpeg"));
	cr_expect_not(ct_accept_matches(accept, "videos/mp4"));
	cr_expect_not(ct_accept_matches(accept, "image/pn"));
	cr_expect_not(ct_accept_matches(accept, ""));
	ct_accept_free(accept);
	cr_assert_eq(ct_accept_new("*/*", &accept), 0);
	cr_expect(ct_accept_matches(accept, "application/octet-stream"));
	ct_accept_free(accept);
}

Test(accept, refuses_bad_lists)
{
	static const char *const lists[] = { "", "image", "image/", "/png", "image/png,", "*/png",
		"image/png;q=1", "a b/c" };
	struct ct_accept *accept;
	char many[CT_ACCEPT_MAX_PATTERNS * 4 + 8];

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		cr_expect_eq(ct_accept_new(lists[i], &accept), -EINVAL, "%s", lists[i]);
	for (size_t i = 0; i <= CT_ACCEPT_MAX_PATTERNS; i++)
		memcpy(many + i * 4, "a/b,", 5);
	many[CT_ACCEPT_MAX_PATTERNS * 4 - 1] = '\0';
	cr_assert_eq(ct_accept_new(many, &accept), 0);
	ct_accept_free(accept);
	many[CT_ACCEPT_MAX_PATTERNS * 4 - 1] = ',';
	many[CT_ACCEPT_MAX_PATTERNS * 4 + 3] = '\0';
	cr_expect_eq(ct_accept_new(many, &accept), -EINVAL);
}

Test(sniff, tells_real_files)
{
	struct ct_sniffer *sniffer;
	char type[CT_TYPE_MAX + 1];
	static const struct {
		const char *data, *type;
	} others[] = {
		{ "%PDF-1.4\n1 0 obj", "application/pdf" },
		{ "<html><script>alert(1)</script></html>", "text/html" },
		{ "\177ELF\2\1\1", "application/octet-stream" },
		{ "\1\2\3\4\5\6", "application/octet-stream" },
		{ "words and words", "text/plain" },
	};

	cr_assert_eq(ct_sniffer_new(&sniffer), 0);
	for (size_t i = 0; i < SAMPLE_COUNT; i++) {
		cr_assert_eq(
		    ct_sniff(sniffer, samples[i].data, samples[i].length, type, sizeof(type)), 0);
		cr_expect_str_eq(type, samples[i].type);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		cr_assert_eq(
		    ct_sniff(sniffer, others[i].data, strlen(others[i].data), type, sizeof(type)),
		    0);
		cr_expect_str_eq(type, others[i].type);
	}
	ct_sniffer_free(sniffer);
}

#define SNIFFING_THREADS 12 /* more than there are handles */

static void *sniff_often(void *arg)
{
	struct ct_sniffer *sniffer = arg;
	char type[CT_TYPE_MAX + 1];
	for (int i = 0; i < 200; i++) {
		size_t at = (size_t)i % SAMPLE_COUNT;
		if (ct_sniff(sniffer, samples[at].data, samples[at].length, type, sizeof(type)) <
			0 ||
		    strcmp(type, samples[at].type) != 0)
			return arg;
	}
	return NULL;
}

Test(sniff, answers_many_threads)
{
	struct ct_sniffer *sniffer;
	pthread_t threads[SNIFFING_THREADS];
	cr_assert_eq(ct_sniffer_new(&sniffer), 0);
	for (int i = 0; i < SNIFFING_THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, sniff_often, sniffer), 0);
	for (int i = 0; i < SNIFFING_THREADS; i++) {
		void *failed;
		cr_assert_eq(pthread_join(threads[i], &failed), 0);
		cr_expect_null(failed);
	}
	ct_sniffer_free(sniffer);
}

Test(sniff, is_not_made_without_its_database)
{
	struct ct_sniffer *sniffer = NULL;
	cr_assert_eq(setenv("MAGIC", "/nonexistent/magic", 1), 0);
	cr_expect_eq(ct_sniffer_new(&sniffer), -ENOENT);
	cr_expect_null(sniffer);
}

static int parse_checksum(const char *field, struct ct_tus_checksum_value *ret_value)
{
	return ct_tus_checksum_parse(ct_slice_from_string(field), ret_value);
}

Test(tus_checksum, takes_its_algorithms_only)
{
	struct ct_tus_checksum_value value;

	cr_assert_eq(parse_checksum("sha1 Lve95gjOVATpfV8EL5X4nxwjKHE=", &value), 0);
	cr_expect_eq(value.algorithm, CT_CHECKSUM_SHA1);
	cr_expect_eq(value.bytes[0], 0x2e);
	cr_expect_eq(value.bytes[19], 0x71);
	cr_assert_eq(
	    parse_checksum("sha256 f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk=", &value), 0);
	cr_expect_eq(value.algorithm, CT_CHECKSUM_SHA256);
	cr_expect_eq(value.bytes[31], 0x69);
	cr_expect_eq(parse_checksum("md5 1B2M2Y8AsgTpgAmY7PhCfg==", &value), -EOPNOTSUPP);
	cr_expect_eq(parse_checksum("SHA1 Lve95gjOVATpfV8EL5X4nxwjKHE=", &value), -EOPNOTSUPP);
	cr_expect_eq(parse_checksum("sha-256 Lve95gjOVATpfV8EL5X4nxwjKHE=", &value), -EOPNOTSUPP);
}

Test(tus_checksum, refuses_what_is_malformed)
{
	static const char *const fields[] = { "", " ", "sha1", "sha1 ", "sha1  Lve9", "sha1 !!!",
		" sha1 Lve95gjOVATpfV8EL5X4nxwjKHE=", "sha1 Lve95gjOVATpfV8EL5X4nxwjKHE",
		"sha1 Lve95gjOVATpfV8EL5X4nxwjKHE= ", "sha1 Lve95gjOVATpfV8EL5X4nxwjKA==",
		"sha1 f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk=",
		"sha256 Lve95gjOVATpfV8EL5X4nxwjKHE=" };
	struct ct_tus_checksum_value value;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		cr_expect_eq(parse_checksum(fields[i], &value), -EINVAL, "%s", fields[i]);
	cr_expect_eq(ct_tus_checksum_parse(CT_SLICE_ABSENT, &value), -EINVAL);
}

static bool is_announced(const char *trailer)
{
	return ct_tus_checksum_is_announced(ct_slice_from_string(trailer));
}

Test(tus_checksum, is_announced_by_trailer)
{
	cr_expect(is_announced("Upload-Checksum"));
	cr_expect(is_announced("X-A, upload-checksum ,b"));
	cr_expect_not(is_announced("Upload-Checksum2"));
	cr_expect_not(is_announced(""));
	cr_expect_not(ct_tus_checksum_is_announced(CT_SLICE_ABSENT));
}

static bool matches(const char *field, const char *bytes, bool comes_later)
{
	struct ct_tus_checksum_value value;
	struct ct_tus_checksum *checksum;
	size_t length = strlen(bytes);

	cr_assert_eq(parse_checksum(field, &value), 0);
	cr_assert_eq(ct_tus_checksum_new(comes_later ? NULL : &value, &checksum), 0);
	cr_expect_eq(ct_tus_checksum_awaits(checksum), comes_later);
	ct_tus_checksum_update(checksum, bytes, length / 2);
	ct_tus_checksum_update(checksum, bytes + length / 2, length - length / 2);
	if (comes_later)
		ct_tus_checksum_expect(checksum, &value);
	bool result = ct_tus_checksum_matches(checksum);
	ct_tus_checksum_free(checksum);
	return result;
}

Test(tus_checksum, compares_the_whole_chunk)
{
	static const char sha1[] = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
	static const char sha256[] = "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=";

	for (int later = 0; later < 2; later++) {
		cr_expect(matches(sha1, "hello world", later));
		cr_expect(matches(sha256, "hello world", later));
		cr_expect_not(matches(sha1, "hello worle", later));
		cr_expect_not(matches(sha256, "hello worl", later));
		cr_expect_not(matches(sha1, "", later));
	}
}

#define ID_A "0123456789abcdef0123456789abcdef"
#define ID_B "ffffffffffffffffffffffffffffffff"

static int parse_parts(const char *field, struct ct_parts *ret_parts)
{
	return ct_parts_parse(ct_slice_from_string(field), ret_parts);
}

Test(parts, takes_addresses_of_any_form)
{
	static const char *const fields[] = { "final;/uploads/" ID_A " /uploads/" ID_B,
		"final;http://a.example/uploads/" ID_A " https://b.example:1/x/uploads/" ID_B,
		"final;uploads/" ID_A " //c.example/uploads/" ID_B };
	struct ct_parts parts;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		cr_assert_eq(parse_parts(fields[i], &parts), 0, "%s", fields[i]);
		cr_expect_eq(parts.kind, CT_UPLOAD_FINAL);
		cr_assert_eq(parts.count, 2);
		cr_expect_str_eq(parts.ids[0], ID_A);
		cr_expect_str_eq(parts.ids[1], ID_B);
	}
	cr_assert_eq(parse_parts("partial", &parts), 0);
	cr_expect_eq(parts.kind, CT_UPLOAD_PARTIAL);
	cr_expect_eq(parts.count, 0);
}

Test(parts, refuses_what_is_malformed)
{
	static const char *const fields[] = { "", "partial;", "Partial", "final", "final;",
		"final; ", "final;" ID_A, "final;/jobs/" ID_A, "final;/uploads/" ID_A " ",
		"final; /uploads/" ID_A, "final;/uploads/" ID_A "  /uploads/" ID_B,
		"final;/uploads/" ID_A "/", "final;/uploads/" ID_A "?x", "final;/uploads/x",
		"final;/uploads/" ID_A ",/uploads/" ID_B, "final;/uploads/" ID_A "\t/uploads/" ID_B,
		"final;\x01/uploads/" ID_A, "final /uploads/" ID_A };
	struct ct_parts parts;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		cr_expect_eq(parse_parts(fields[i], &parts), -EINVAL, "%s", fields[i]);
	cr_expect_eq(ct_parts_parse(CT_SLICE_ABSENT, &parts), -EINVAL);
}

Test(parts, has_limits)
{
	char field[CT_UPLOAD_CONCAT_MAX + 64] = "final;";
	size_t length = strlen(field);
	struct ct_parts parts;

	for (int i = 0; i < CT_PARTS_MAX; i++)
		length += (size_t)snprintf(
		    field + length, sizeof(field) - length, "%s/uploads/" ID_A, i > 0 ? " " : "");
	cr_expect_eq(parse_parts(field, &parts), 0);
	cr_expect_eq(parts.count, CT_PARTS_MAX);
	(void)snprintf(field + length, sizeof(field) - length, " /uploads/" ID_A);
	cr_expect_eq(parse_parts(field, &parts), -ENAMETOOLONG);
	(void)snprintf(
	    field, sizeof(field), "final;http://%0*d/uploads/" ID_A, CT_UPLOAD_CONCAT_MAX - 54, 1);
	cr_expect_eq(strlen(field), CT_UPLOAD_CONCAT_MAX);
	cr_expect_eq(parse_parts(field, &parts), 0);
	(void)snprintf(
	    field, sizeof(field), "final;http://%0*d/uploads/" ID_A, CT_UPLOAD_CONCAT_MAX - 53, 1);
	cr_expect_eq(parse_parts(field, &parts), -ENAMETOOLONG);
}
