/*
 * `calotyped fsck`: the database against the files, both ways, while no server runs. Rows first:
 * each blob that has one must be there with its size (--deep: with its digest). Then files: each
 * must have a row, or be so young that a server would still leave it.
 */
#include "app.h"
#include "offline.h"
#include "pairing.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/metadata.h"
#include "metadata/prints.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 256
#define MAX_PENDING 1000 /* uploads that a crash left complete but without a row */
#define MAX_LISTED 1000	 /* findings told one by one with --json; all are counted */

enum kind {
	MISSING_BLOB,
	WRONG_SIZE,
	BAD_HASH,
	UNREADABLE,
	ORPHAN_BLOB,
	ORPHAN_PRINT,
	BAD_PRINT,
	ORPHAN_STAGING,
	KIND_COUNT
};

static const struct {
	const char *name, *text, *repair;
} kinds[KIND_COUNT] = {
	[MISSING_BLOB] = { "missing_blob",
	    "an original that has a row is not there; uploading the same file again heals it",
	    NULL },
	[WRONG_SIZE] = { "wrong_size", "an original has another size than its row",
	    "moved to quarantine/" },
	[BAD_HASH] = { "bad_hash", "an original has another digest than its name",
	    "moved to quarantine/" },
	[UNREADABLE] = { "unreadable", "a file cannot be read", NULL },
	[ORPHAN_BLOB] = { "orphan_blob", "an original has no row", "removed" },
	[ORPHAN_PRINT] = { "orphan_print", "a print has no row", "removed" },
	[BAD_PRINT] = { "bad_print", "a print has another digest than its name",
	    "removed; it is made again when it is asked for" },
	[ORPHAN_STAGING] = { "orphan_staging", "part of an upload that is not known", "removed" },
};

struct name {
	struct ct_digest digest;
	int64_t modified_ms;
};

static const char usage[] =
    "Usage: calotyped fsck --data DIR [--deep] [--repair] [--json]\n"
    "\n"
    "Compares the database with the files of originals, prints and unfinished\n"
    "uploads, while no server runs. What nothing refers to is told only when it is\n"
    "older than --sweep-grace, as a server would leave it until then.\n"
    "\n"
    "  --deep    read all originals and prints, and compare their digests\n"
    "  --repair  remove what nothing refers to, move damaged originals to quarantine/;\n"
    "            a missing original comes back only by uploading it again\n"
    "  --json    one JSON object on standard output\n"
    "  --data DIR, --database FILE, --config FILE, --sweep-grace SECONDS\n"
    "            as for the server, also from its variables (CALOTYPE_DATA)\n"
    "  --help    this text\n"
    "\n"
    "Exit status: 0 clean, or all was repaired; 1 findings are left; 2 wrong usage;\n"
    "3 it could not be checked, as when a server runs.\n";

struct check {
	struct ct_offline offline;
	struct ct_metadata *metadata;
	int64_t before_ms; /* what is younger may still get its row */

	struct ct_digest *pending; /* of uploads whose last transaction a crash has taken */
	int pending_count;
	/* The files of one directory, looked at after it was read. */
	struct name *names;
	size_t name_count, name_capacity;
	struct ct_blob_row *rows;

	uint64_t blobs, prints, stagings, young;
	uint64_t counts[KIND_COUNT], repaired[KIND_COUNT];
	struct ct_json *findings; /* with --json */
	uint64_t told;
};

/* ---- findings ---- */

/* `result`: of the repair; 1: there was none. */
static void tell(struct check *check, enum kind kind, const char *name, int result)
{
	check->counts[kind]++;
	if (result == 0)
		check->repaired[kind]++;
	if (check->findings == NULL) {
		ct_offline_progress(&check->offline, "", 0, 0);
		(void)printf("%s %s: %s%s%s\n", kinds[kind].name, name, kinds[kind].text,
		    result == 0 ? "; " : "", result == 0 ? kinds[kind].repair : "");
		/* whether all was written is asked at the end */
	} else if (check->told++ < MAX_LISTED) {
		struct ct_json *item = ct_json_object();
		ct_json_set_text(item, "kind", kinds[kind].name);
		ct_json_set_text(item, "name", name);
		ct_json_set_bool(item, "repaired", result == 0);
		ct_json_append(check->findings, item);
	}
	if (result < 0)
		(void)ct_offline_fail(&check->offline, name, result);
}

static void tell_digest(
    struct check *check, enum kind kind, const struct ct_digest *digest, int result)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(digest, hex);
	tell(check, kind, hex, result);
}

static int remove_file(
    struct check *check, enum ct_blob_class class, const struct ct_digest *digest)
{
	return check->offline.repair ? ct_blob_remove(check->offline.store, class, digest) : 1;
}

/* ---- rows ---- */

static void check_bytes(struct check *check, enum ct_blob_class class,
    const struct ct_digest *digest, struct ct_blob_reader *reader)
{
	int r = check->offline.deep ? ct_blob_reader_verify(reader) : 0;
	if (r == CT_ERROR_DIGEST_MISMATCH)
		tell_digest(check, class == CT_BLOB_PRINT ? BAD_PRINT : BAD_HASH, digest,
		    check->offline.repair ? ct_blob_set_aside(reader) : 1);
	else if (r < 0)
		tell_digest(check, UNREADABLE, digest, 1);
}

static void check_row(struct check *check, const struct ct_blob_row *row)
{
	struct ct_blob_reader *reader;
	int r = ct_blob_reader_open(check->offline.store, CT_BLOB_ORIGINAL, &row->digest, &reader);
	check->blobs++;
	if (r < 0) {
		tell_digest(
		    check, r == CT_ERROR_NOT_FOUND ? MISSING_BLOB : UNREADABLE, &row->digest, 1);
		return;
	}
	if (ct_blob_reader_size(reader) != row->size_bytes)
		tell_digest(check, WRONG_SIZE, &row->digest,
		    check->offline.repair ? ct_blob_set_aside(reader) : 1);
	else
		check_bytes(check, CT_BLOB_ORIGINAL, &row->digest, reader);
	ct_blob_reader_close(reader);
}

static int list_rows(struct check *check, const struct ct_digest *after)
{
	struct ct_metadata_view *view;
	int r = ct_metadata_borrow(check->metadata, &view);
	if (r < 0)
		return r;
	r = ct_blob_list(view, after, check->rows, BATCH);
	ct_metadata_give_back(check->metadata, view);
	return r;
}

static int check_rows(struct check *check)
{
	struct ct_digest after;
	int count = list_rows(check, NULL);
	while (count > 0) {
		for (int i = 0; i < count; i++)
			check_row(check, &check->rows[i]);
		after = check->rows[count - 1].digest;
		ct_offline_progress(&check->offline, "rows", after.bytes[0] + 1u, CT_BLOB_SHARDS);
		count = list_rows(check, &after);
	}
	return count;
}

/* ---- files ---- */

static int add_name(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg)
{
	struct check *check = arg;
	if (check->name_count == check->name_capacity) {
		size_t capacity = check->name_capacity ? 2 * check->name_capacity : BATCH;
		struct name *names = realloc(check->names, capacity * sizeof(*names));
		if (names == NULL)
			return -ENOMEM;
		check->names = names;
		check->name_capacity = capacity;
	}
	check->names[check->name_count++] = (struct name){ *digest, info->modified_ms };
	return 0;
}

static bool is_pending(const struct check *check, const struct ct_digest *digest)
{
	for (int i = 0; i < check->pending_count; i++)
		if (ct_digest_equal(&check->pending[i], digest))
			return true;
	return false;
}

/* 1 or 0, or an error. */
static int has_row(struct check *check, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct ct_metadata_view *view;
	struct ct_blob_row row;
	bool used = false;
	int r = ct_metadata_borrow(check->metadata, &view);
	if (r < 0)
		return r;
	if (class == CT_BLOB_PRINT) {
		r = ct_print_is_used(view, digest, &used);
	} else {
		r = ct_blob_get(view, digest, &row);
		used = r == 0;
		r = r == CT_ERROR_NOT_FOUND ? 0 : r;
	}
	ct_metadata_give_back(check->metadata, view);
	return r < 0 ? r : used;
}

static void check_print(struct check *check, const struct ct_digest *digest)
{
	struct ct_blob_reader *reader;
	if (!check->offline.deep)
		return;
	int r = ct_blob_reader_open(check->offline.store, CT_BLOB_PRINT, digest, &reader);
	if (r < 0) {
		tell_digest(check, UNREADABLE, digest, 1);
		return;
	}
	check_bytes(check, CT_BLOB_PRINT, digest, reader);
	ct_blob_reader_close(reader);
}

static int check_file(struct check *check, enum ct_blob_class class, const struct name *name)
{
	int used = has_row(check, class, &name->digest);
	if (used < 0)
		return used;
	if (class == CT_BLOB_PRINT)
		check->prints++;
	if (used > 0) {
		if (class == CT_BLOB_PRINT)
			check_print(check, &name->digest);
		return 0;
	}
	if (name->modified_ms >= check->before_ms || is_pending(check, &name->digest)) {
		check->young++;
		return 0;
	}
	tell_digest(check, class == CT_BLOB_PRINT ? ORPHAN_PRINT : ORPHAN_BLOB, &name->digest,
	    remove_file(check, class, &name->digest));
	return 0;
}

static int check_directory(struct check *check, enum ct_blob_class class, unsigned shard)
{
	check->name_count = 0;
	int r = ct_blob_visit(check->offline.store, class, shard, add_name, check);
	for (size_t i = 0; r >= 0 && i < check->name_count; i++)
		r = check_file(check, class, &check->names[i]);
	return r;
}

static int check_files(struct check *check)
{
	int r = 0;
	for (unsigned shard = 0; r >= 0 && shard < CT_BLOB_SHARDS; shard++) {
		ct_offline_progress(&check->offline, "directories", shard + 1, CT_BLOB_SHARDS);
		for (int class = 0; r >= 0 && class < CT_BLOB_CLASS_COUNT; class ++)
			r = check_directory(check, (enum ct_blob_class) class, shard);
	}
	return r;
}

/* ---- staging ---- */

static int is_open_upload(struct check *check, const char *id)
{
	struct ct_metadata_view *view;
	ct_cleanup(ct_free_pointer) struct ct_upload_row *row = calloc(1, sizeof(*row));
	int r = row != NULL ? ct_metadata_borrow(check->metadata, &view) : -ENOMEM;
	if (r < 0)
		return r;
	r = ct_upload_get(view, id, row);
	ct_metadata_give_back(check->metadata, view);
	if (r == CT_ERROR_NOT_FOUND)
		return 0;
	return r < 0 ? r : row->state == CT_UPLOAD_RECEIVING || row->state == CT_UPLOAD_FINISHING;
}

static int see_staging(const char *id, int64_t modified_ms, void *arg)
{
	struct check *check = arg;
	int r = is_open_upload(check, id);
	check->stagings++;
	if (r != 0)
		return r < 0 ? r : 0;
	if (modified_ms >= check->before_ms)
		check->young++;
	else
		tell(check, ORPHAN_STAGING, id,
		    check->offline.repair ? ct_blob_staging_remove(check->offline.store, id) : 1);
	return 0;
}

/* Their blobs are there, and the row comes with the next start. */
static int find_pending(struct check *check)
{
	struct ct_metadata_view *view;
	ct_cleanup(ct_free_pointer) struct ct_upload_row *uploads =
	    calloc(MAX_PENDING, sizeof(*uploads));
	check->pending = calloc(MAX_PENDING, sizeof(*check->pending));
	if (uploads == NULL || check->pending == NULL)
		return -ENOMEM;
	int r = ct_metadata_borrow(check->metadata, &view);
	if (r < 0)
		return r;
	r = ct_upload_list_finishing(view, INT64_MAX, uploads, MAX_PENDING);
	ct_metadata_give_back(check->metadata, view);
	for (int i = 0; i < r; i++) {
		const struct ct_blob_checkpoint *at = &uploads[i].at;
		struct ct_hash hash;
		if (ct_hash_restore(&hash, at->hash_state, at->offset) == 0)
			ct_hash_final(&hash, &check->pending[check->pending_count++]);
	}
	/* More than are looked at: what has no row may be one of theirs, so none is called so. */
	if (r == MAX_PENDING)
		check->before_ms = 0;
	return r;
}

/* ---- the command ---- */

static uint64_t sum(const uint64_t counts[KIND_COUNT])
{
	uint64_t total = 0;
	for (int i = 0; i < KIND_COUNT; i++)
		total += counts[i];
	return total;
}

static int print_json(struct check *check, uint64_t left)
{
	struct ct_json *json = ct_json_object();
	struct ct_json *checked = ct_json_object();
	struct ct_json *counts = ct_json_object();
	ct_json_set_bool(json, "clean", left == 0);
	ct_json_set_number(checked, "blobs", (int64_t)check->blobs);
	ct_json_set_number(checked, "prints", (int64_t)check->prints);
	ct_json_set_number(checked, "staging", (int64_t)check->stagings);
	ct_json_set_number(checked, "young", (int64_t)check->young);
	ct_json_set(json, "checked", checked);
	for (int i = 0; i < KIND_COUNT; i++)
		ct_json_set_number(counts, kinds[i].name, (int64_t)check->counts[i]);
	ct_json_set(json, "counts", counts);
	ct_json_set_number(json, "repaired", (int64_t)sum(check->repaired));
	ct_json_set(json, "findings", ct_steal(check->findings));
	return ct_offline_print(json);
}

static bool can_be_repaired(const struct check *check)
{
	for (int i = 0; i < KIND_COUNT; i++)
		if (check->counts[i] > check->repaired[i] && kinds[i].repair != NULL)
			return !check->offline.repair;
	return false;
}

static int print_text(const struct check *check, uint64_t found, uint64_t left)
{
	(void)printf("%llu originals, %llu prints, %llu parts of uploads: ",
	    (unsigned long long)check->blobs, (unsigned long long)check->prints,
	    (unsigned long long)check->stagings);
	if (found == 0)
		(void)printf("all is well\n");
	else
		(void)printf("%llu findings, %llu repaired%s\n", (unsigned long long)found,
		    (unsigned long long)(found - left),
		    can_be_repaired(check) ? "; --repair does what can be done" : "");
	return fflush(stdout) < 0 || ferror(stdout) ? -EIO : 0;
}

static int finish(struct check *check)
{
	uint64_t found = sum(check->counts);
	uint64_t left = found - sum(check->repaired);
	ct_offline_progress(&check->offline, "", 0, 0);
	int r = check->offline.json ? print_json(check, left) : print_text(check, found, left);
	if (r < 0)
		return ct_offline_fail(&check->offline, "standard output", r);
	return left > 0 ? CT_OFFLINE_EXIT_FINDINGS : EXIT_SUCCESS;
}

static int open_database(struct check *check)
{
	ct_cleanup(ct_free_pointer) char *path = ct_app_database_path(check->offline.config);
	const char *why = "";
	int r = path == NULL ? -ENOMEM : access(path, F_OK) < 0 ? -errno : 0;
	if (r == 0)
		r = ct_metadata_open(
		    &(struct ct_metadata_options){ .path = path }, &check->metadata);
	if (r == 0)
		r = ct_pairing_check(check->offline.config->data.text, check->metadata, &why);
	if (r == CT_PAIRING_REFUSED)
		(void)fprintf(stderr, "calotyped fsck: %s: %s\n", path, why);
	else if (r < 0)
		(void)ct_offline_fail(&check->offline, path != NULL ? path : "the database", r);
	if (r == -ENOENT)
		(void)fputs("`calotyped reindex` makes a new one of the originals\n", stderr);
	return r;
}

static int run(struct check *check)
{
	if (open_database(check) < 0)
		return CT_OFFLINE_EXIT_FAILED;
	check->before_ms =
	    ct_clock_wall_ms() - (int64_t)check->offline.config->sweep_grace.number * 1000;
	check->rows = calloc(BATCH, sizeof(*check->rows));
	if (check->offline.json)
		check->findings = ct_json_array();
	int r = check->rows != NULL ? find_pending(check) : -ENOMEM;
	if (r >= 0)
		r = check_rows(check);
	if (r >= 0)
		r = check_files(check);
	if (r >= 0)
		r = ct_blob_staging_visit(check->offline.store, see_staging, check);
	if (r < 0)
		return ct_offline_fail(&check->offline, check->offline.config->data.text, r);
	return finish(check);
}

int ct_fsck_command(int argument_count, char *const *arguments, char *const *environment)
{
	struct check check = {
		.offline = {
			.command = "fsck",
			.usage = usage,
			.has_checks = true,
		},
	};
	int status = ct_offline_begin(&check.offline, argument_count, arguments, environment);
	if (status < 0)
		status = run(&check);
	ct_metadata_close(check.metadata);
	ct_json_free(check.findings);
	free(check.pending);
	free(check.names);
	free(check.rows);
	ct_offline_done(&check.offline);
	return status;
}
