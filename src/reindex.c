/*
 * `calotyped reindex`: a database of the originals alone, for when the old one is lost. Each file
 * becomes an image that is pending, with a job that makes it ready: the job hashes the file before
 * it decodes it. The database is built under another name and renamed at the end, so a run that
 * breaks off leaves none.
 */
#include "app.h"
#include "offline.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "imaging/process.h"
#include "jobs/jobs.h"
#include "metadata/blobs.h"
#include "metadata/events.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/metadata.h"
#include "uploads/sniff.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 100 /* files a transaction */

static const char usage[] =
    "Usage: calotyped reindex --data DIR [--json]\n"
    "\n"
    "Makes a new database of the originals, while no server runs and when there is none: for\n"
    "when it is lost. Each original becomes an image, its type found again, its time that of\n"
    "the file, and is developed when the server starts. File names, ids, API keys and\n"
    "unfinished uploads are lost. A backup of the database is better.\n"
    "\n"
    "  --json    one JSON object on standard output\n"
    "  --data DIR, --database FILE, --config FILE\n"
    "            as for the server, also from its variables (CALOTYPE_DATA)\n"
    "  --help    this text\n"
    "\n"
    "Exit status: 0 done; 1 done, but some originals could not be read; 2 wrong usage;\n"
    "3 it could not be done, as when a server runs or there is a database.\n";

struct file {
	struct ct_digest digest;
	uint64_t size_bytes;
	int64_t modified_ms;
	char type[CT_TYPE_MAX + 1];
};

struct index {
	struct ct_offline offline;
	char path[PATH_MAX], new_path[PATH_MAX];
	struct ct_metadata *metadata;
	struct ct_sniffer *sniffer;
	char *head; /* CT_SNIFF_BYTES */

	/* The files of one directory. */
	struct file *files;
	size_t count, capacity;
	/* The transaction that runs now: files from `first`, `batch` of them. */
	size_t first, batch;

	uint64_t images, unreadable;
};

/* ---- one file ---- */

static int sniff_file(struct index *index, struct file *file)
{
	struct ct_blob_reader *reader;
	int r = ct_blob_reader_open(index->offline.store, CT_BLOB_ORIGINAL, &file->digest, &reader);
	if (r < 0)
		return r;
	file->size_bytes = ct_blob_reader_size(reader);
	size_t length =
	    file->size_bytes < CT_SNIFF_BYTES ? (size_t)file->size_bytes : CT_SNIFF_BYTES;
	r = ct_blob_reader_read(reader, 0, index->head, length);
	ct_blob_reader_close(reader);
	if (r < 0)
		return r;
	return ct_sniff(index->sniffer, index->head, length, file->type, sizeof(file->type));
}

static int append_event(
    struct ct_metadata_view *view, const struct ct_image_row *image, int64_t now)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(&image->digest, hex);
	struct ct_json *json = ct_json_object();
	ct_json_set_text(json, "image", image->id);
	ct_json_set_text(json, "job", image->job_id);
	ct_json_set_text(json, "sha256", hex);
	ct_json_set_number(json, "size", (int64_t)image->size_bytes);
	ct_json_set_text(json, "type", image->type);
	ct_cleanup(ct_free_pointer) char *data = ct_json_to_text(json);
	ct_json_free(json);
	return data == NULL ? -ENOMEM
			    : ct_event_append(view, "image.created", image->id, data, now);
}

static int insert_job(struct ct_metadata_view *view, const struct ct_image_row *image, int64_t now)
{
	struct ct_job_row job = {
		.kind = CT_PROCESS_IMAGE,
		.state = CT_JOB_QUEUED,
		.max_attempts = CT_JOB_MAX_ATTEMPTS,
		.version = 1,
		.run_at = now,
		.created_at = now,
	};
	memcpy(job.id, image->job_id, sizeof(job.id));
	memcpy(job.image_id, image->id, sizeof(job.image_id));
	return ct_job_insert(view, &job);
}

static int insert_file(struct ct_metadata_view *view, const struct file *file)
{
	int64_t now = ct_clock_wall_ms();
	struct ct_blob_row blob = {
		.digest = file->digest,
		.size_bytes = file->size_bytes,
		.created_at = file->modified_ms,
		.last_ref_at = now,
	};
	struct ct_image_row image = {
		.state = CT_IMAGE_PENDING,
		.digest = file->digest,
		.size_bytes = file->size_bytes,
		.created_at = file->modified_ms,
	};
	memcpy(blob.type, file->type, sizeof(blob.type));
	memcpy(image.type, file->type, sizeof(image.type));
	int r = ct_id_generate(image.id);
	if (r == 0)
		r = ct_id_generate(image.job_id);
	if (r == 0)
		r = ct_blob_reference(view, &blob);
	if (r == 0)
		r = ct_image_insert(view, &image);
	if (r == 0)
		r = insert_job(view, &image, now);
	return r < 0 ? r : append_event(view, &image, now);
}

/* ---- all files ---- */

static int insert_batch(struct ct_metadata_view *view, void *arg)
{
	const struct index *index = arg;
	int r = 0;
	for (size_t i = 0; r == 0 && i < index->batch; i++)
		if (index->files[index->first + i].type[0] != '\0')
			r = insert_file(view, &index->files[index->first + i]);
	return r;
}

static int add_file(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg)
{
	struct index *index = arg;
	if (index->count == index->capacity) {
		size_t capacity = index->capacity ? 2 * index->capacity : BATCH;
		struct file *files = realloc(index->files, capacity * sizeof(*files));
		if (files == NULL)
			return -ENOMEM;
		index->files = files;
		index->capacity = capacity;
	}
	index->files[index->count++] = (struct file){
		.digest = *digest,
		.modified_ms = info->modified_ms,
	};
	return 0;
}

/* One that cannot be read is told and left out; anything else ends the run. */
static int sniff_files(struct index *index)
{
	for (size_t i = 0; i < index->count; i++) {
		struct file *file = &index->files[i];
		int r = sniff_file(index, file);
		if (r == -EIO || r == -ENODATA) {
			char hex[CT_DIGEST_HEX_CHARS + 1];
			ct_digest_to_hex(&file->digest, hex);
			(void)ct_offline_fail(&index->offline, hex, r);
			index->unreadable++;
			file->type[0] = '\0';
		} else if (r < 0) {
			return r;
		} else {
			index->images++;
		}
	}
	return 0;
}

static int take_directory(struct index *index, unsigned shard)
{
	index->count = 0;
	int r = ct_blob_visit(index->offline.store, CT_BLOB_ORIGINAL, shard, add_file, index);
	if (r >= 0)
		r = sniff_files(index);
	for (index->first = 0; r >= 0 && index->first < index->count; index->first += BATCH) {
		size_t left = index->count - index->first;
		index->batch = left < BATCH ? left : BATCH;
		r = ct_metadata_write(index->metadata, insert_batch, index);
	}
	return r;
}

static int take_all(struct index *index)
{
	int r = 0;
	for (unsigned shard = 0; r >= 0 && shard < CT_BLOB_SHARDS; shard++) {
		ct_offline_progress(&index->offline, "directories", shard + 1, CT_BLOB_SHARDS);
		r = take_directory(index, shard);
	}
	return r;
}

/* ---- the command ---- */

static void remove_new(const struct index *index)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char name[PATH_MAX + 8];
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", index->new_path, suffixes[i]); /* fits */
		(void)unlink(name); /* it may not be there; what stays fails the opening */
	}
}

static int sync_directory_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return ct_file_fsync_directory(".");
	(void)snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path); /* shorter */
	return ct_file_fsync_directory(folder);
}

static int prepare(struct index *index)
{
	ct_cleanup(ct_free_pointer) char *path = ct_app_database_path(index->offline.config);
	if (path == NULL)
		return -ENOMEM;
	int length = snprintf(index->path, sizeof(index->path), "%s", path);
	int new_length = snprintf(index->new_path, sizeof(index->new_path), "%s.reindex", path);
	if (length < 0 || new_length < 0 || (size_t)new_length >= sizeof(index->new_path))
		return -ENAMETOOLONG;
	if (access(index->path, F_OK) == 0)
		return -EEXIST;
	index->head = malloc(CT_SNIFF_BYTES);
	if (index->head == NULL)
		return -ENOMEM;
	remove_new(index);
	int r = ct_sniffer_new(&index->sniffer);
	return r < 0 ? r
		     : ct_metadata_open(&(struct ct_metadata_options){ .path = index->new_path },
			   &index->metadata);
}

/* Whoever closes last empties the log, so the one file is all. */
static int put_in_place(struct index *index)
{
	ct_metadata_close(index->metadata);
	index->metadata = NULL;
	if (rename(index->new_path, index->path) < 0)
		return -errno;
	return sync_directory_of(index->path);
}

static int report(const struct index *index)
{
	ct_offline_progress(&index->offline, "", 0, 0);
	if (index->offline.json) {
		struct ct_json *json = ct_json_object();
		ct_json_set_text(json, "database", index->path);
		ct_json_set_number(json, "images", (int64_t)index->images);
		ct_json_set_number(json, "unreadable", (int64_t)index->unreadable);
		return ct_offline_print(json);
	}
	(void)printf(
	    "%s: %llu images, each to be developed anew when the server starts\n"
	    "Lost are: the ids of images and jobs (all are new), file names, API keys (make new "
	    "ones\nwith calotyped key add), unfinished uploads. Deleted images whose bytes "
	    "were not yet\nswept are back.\n",
	    index->path, (unsigned long long)index->images);
	return fflush(stdout) < 0 || ferror(stdout) ? -EIO : 0;
}

static int run(struct index *index)
{
	int r = prepare(index);
	if (r == -EEXIST) {
		(void)fprintf(stderr,
		    "calotyped reindex: there is a database, %s; it knows more than the originals "
		    "do: move it\naway (with its -wal and -shm) if it is past repair, nothing was "
		    "changed\n",
		    index->path);
		return CT_OFFLINE_EXIT_FAILED;
	}
	if (r >= 0)
		r = take_all(index);
	if (r >= 0)
		r = put_in_place(index);
	if (r >= 0)
		r = report(index);
	if (r < 0)
		return ct_offline_fail(&index->offline, index->offline.config->data.text, r);
	return index->unreadable > 0 ? CT_OFFLINE_EXIT_FINDINGS : EXIT_SUCCESS;
}

int ct_reindex_command(int argument_count, char *const *arguments, char *const *environment)
{
	ct_cleanup(ct_free_pointer) struct index *index = calloc(1, sizeof(*index));
	if (index == NULL)
		return CT_OFFLINE_EXIT_FAILED;
	index->offline = (struct ct_offline){
		.command = "reindex",
		.usage = usage,
	};
	int status = ct_offline_begin(&index->offline, argument_count, arguments, environment);
	if (status < 0) {
		status = run(index);
		ct_metadata_close(index->metadata);
		if (status == CT_OFFLINE_EXIT_FAILED && index->new_path[0] != '\0')
			remove_new(index);
	}
	ct_sniffer_free(index->sniffer);
	free(index->head);
	free(index->files);
	ct_offline_done(&index->offline);
	return status;
}
