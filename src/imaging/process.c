/*
 * One piece of work (struct work) serves the job and the remake: develop() fills it without the
 * database, one transaction writes its rows. The original is hashed before a byte of it is
 * decoded, so that damage on the disk is told as such and no print is made of wrong bytes.
 */
#include "imaging/process.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "calotype/error.h"
#include "config/image_types.h"
#include "images/images.h"
#include "imaging/pool.h"
#include "metadata/blobs.h"
#include "metadata/events.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/prints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COPY_BYTES (64 * 1024)
/* Nearly all of the time is spent on decoding; the rest is the transaction. */
#define PROGRESS_VERIFIED 0.1
#define PROGRESS_DECODED 0.7
#define PROGRESS_PRINTS 0.25

struct ct_process {
	/* Set once. */
	struct ct_metadata *metadata;
	struct ct_blob_store *store;
	struct ct_imaging_pool *pool;
	char *public_url; /* or NULL */
};

struct work {
	struct ct_process *process;
	struct ct_jobs *jobs;	      /* NULL: a remake, as is an empty image_id */
	const struct ct_job_row *job; /* while it runs */
	struct ct_imaging_cut cut;
	char job_id[CT_ID_CHARS + 1];
	char image_id[CT_ID_CHARS + 1]; /* empty: a remake */
	struct ct_digest source;
	struct ct_developed developed;
	struct ct_imaging_failure failure;
	size_t print_count;
	struct ct_print_row prints[CT_PLAN_MAX_PRINTS];
	int replaced_count; /* a remake: rows before it */
	struct ct_print_row replaced[CT_IMAGE_PRINTS_MAX];
	bool unwanted; /* the prints: developing broke off, or the image is gone */
	struct ct_image_row
	    twin; /* ready, of the same bytes: its facts are ours; else id is empty */
};

CT_DEFINE_CLEANUP(reader_cleanup, struct ct_blob_reader *, ct_blob_reader_close)
CT_DEFINE_CLEANUP(writer_cleanup, struct ct_blob_writer *, ct_blob_writer_discard)

bool ct_process_is_decodable(const char *type)
{
	return ct_image_type_find(type) != NULL;
}

static void free_work(void *arg)
{
	struct work *work = arg;
	if (work == NULL)
		return;
	if (work->unwanted && work->print_count > 0) {
		int r = ct_images_remove_prints(
		    work->process->metadata, work->process->store, work->prints, work->print_count);
		if (r < 0)
			ct_log(CT_LOG_WARNING, "process.prints_left",
			    CT_LOG_TEXT("image", work->image_id), CT_LOG_CODE(r));
	}
	ct_developed_done(&work->developed);
	free(work);
}

CT_DEFINE_CLEANUP(work_cleanup, struct work *, free_work)

static struct work *new_work(struct ct_process *process, const struct ct_digest *source)
{
	struct work *work = calloc(1, sizeof(*work));
	if (work == NULL)
		return NULL;
	work->process = process;
	work->source = *source;
	return work;
}

/* ---- files ---- */

static int copy_into(struct ct_blob_writer *writer, int fd, uint64_t size_bytes)
{
	ct_cleanup(ct_free_pointer) char *data = malloc(COPY_BYTES);
	if (data == NULL)
		return -ENOMEM;
	for (uint64_t offset = 0; offset < size_bytes;) {
		uint64_t rest = size_bytes - offset;
		size_t piece = rest < COPY_BYTES ? (size_t)rest : COPY_BYTES;
		int r = ct_file_pread_all(fd, data, piece, offset);
		if (r == 0)
			r = ct_blob_writer_append(writer, data, piece);
		if (r < 0)
			return r;
		offset += piece;
	}
	return 0;
}

static int write_print(struct ct_blob_store *store, const struct ct_developed_print *print,
    struct ct_blob_committed *ret_committed)
{
	const struct ct_blob_writer_options options = {
		.class = CT_BLOB_PRINT,
		.declared_bytes = print->size_bytes,
	};
	ct_cleanup(writer_cleanup) struct ct_blob_writer *writer = NULL;
	int r = ct_blob_writer_begin(store, &options, &writer);
	if (r < 0)
		return r;
	r = copy_into(writer, print->fd, print->size_bytes);
	return r < 0 ? r : ct_blob_writer_commit(writer, ret_committed);
}

/* A file that is there already is compared by the store, and replaced when it is damaged. */
static int store_print(
    struct work *work, const struct ct_developed_print *print, struct ct_print_row *ret_row)
{
	struct ct_blob_committed committed;
	int r = write_print(work->process->store, print, &committed);
	if (r < 0)
		return r;
	*ret_row = (struct ct_print_row){
		.source = work->source,
		.digest = committed.digest,
		.size_bytes = committed.size_bytes,
		.width = print->width,
		.height = print->height,
		.created_at = ct_clock_wall_ms(),
	};
	ct_plan_operations(print->width, ret_row->operations);
	return ct_slice_copy(
	    ct_slice_from_string(print->type), ret_row->type, sizeof(ret_row->type));
}

/* A descriptor of the original, whose bytes were found to be right. */
static int open_verified(struct ct_blob_store *store, const struct ct_digest *source, int *ret_fd)
{
	ct_cleanup(reader_cleanup) struct ct_blob_reader *reader = NULL;
	int r = ct_blob_reader_open(store, CT_BLOB_ORIGINAL, source, &reader);
	if (r == 0)
		r = ct_blob_reader_verify(reader);
	return r < 0 ? r : ct_blob_reader_dup_fd(reader, ret_fd);
}

static void tell_progress(const struct work *work, double progress)
{
	if (work->jobs != NULL)
		ct_jobs_set_progress(work->jobs, work->job, progress);
}

static void cut_off(void *arg)
{
	struct work *work = arg;
	ct_imaging_pool_cut_off(work->process->pool, &work->cut);
}

static int decode(struct work *work, int fd, const char *type)
{
	if (work->jobs != NULL && !ct_jobs_set_cut_off(work->jobs, work->job, cut_off, work)) {
		(void)snprintf(
		    work->failure.message, sizeof(work->failure.message), "the job was canceled");
		return CT_ERROR_CANCELED;
	}
	int r = ct_imaging_pool_develop(work->process->pool, fd, type, ct_plan_widths,
	    ct_plan_width_count, &work->cut, &work->developed, &work->failure);
	if (work->jobs != NULL) /* what is left takes no time */
		(void)ct_jobs_set_cut_off(work->jobs, work->job, NULL, NULL);
	return r;
}

static int develop_and_store(struct work *work, int fd, const char *type)
{
	int r = decode(work, fd, type);
	if (r < 0)
		return r;
	tell_progress(work, PROGRESS_DECODED);
	for (size_t i = 0; i < work->developed.print_count; i++) {
		r = store_print(work, &work->developed.prints[i], &work->prints[i]);
		if (r < 0) {
			(void)snprintf(work->failure.message, sizeof(work->failure.message),
			    "a print could not be stored: %s", ct_error_text(r));
			return r;
		}
		work->print_count = i + 1;
		tell_progress(work, PROGRESS_DECODED + PROGRESS_PRINTS * (double)work->print_count /
							   (double)work->developed.print_count);
	}
	return 0;
}

static int develop(struct work *work, const char *type)
{
	ct_cleanup(ct_close_fd) int fd = -1;
	int r = open_verified(work->process->store, &work->source, &fd);
	if (r < 0)
		(void)snprintf(work->failure.message, sizeof(work->failure.message),
		    "the stored original could not be read: %s", ct_error_text(r));
	if (r == 0) {
		tell_progress(work, PROGRESS_VERIFIED);
		r = develop_and_store(work, fd, type);
	}
	work->unwanted = r < 0;
	return r;
}

/* ---- rows; inside a transaction ---- */

static int put_prints(struct ct_metadata_view *view, const struct work *work)
{
	int r = 0;
	for (size_t i = 0; i < work->print_count && r == 0; i++)
		r = ct_print_put(view, &work->prints[i]);
	return r;
}

/* What does not fit its column is left out: it is ornament. */
static void copy_ornament(const char *text, char *ret_text, size_t capacity)
{
	if (text == NULL || ct_slice_copy(ct_slice_from_string(text), ret_text, capacity) < 0)
		ret_text[0] = '\0';
}

static void fill_row(struct ct_image_row *row, const struct work *work)
{
	const struct ct_developed *developed = &work->developed;
	row->state = CT_IMAGE_READY;
	row->width = developed->width;
	row->height = developed->height;
	row->frames = developed->frames;
	row->orientation = developed->orientation;
	copy_ornament(developed->blurhash, row->blurhash, sizeof(row->blurhash));
	copy_ornament(developed->exif, row->exif, sizeof(row->exif));
}

static void copy_twin(struct ct_image_row *row, const struct ct_image_row *twin)
{
	row->state = CT_IMAGE_READY;
	row->width = twin->width;
	row->height = twin->height;
	row->frames = twin->frames;
	row->orientation = twin->orientation;
	memcpy(row->blurhash, twin->blurhash, sizeof(row->blurhash));
	memcpy(row->exif, twin->exif, sizeof(row->exif));
}

/* Are all prints there that this server makes of such an image? */
static int has_prints(struct ct_metadata_view *view, const struct ct_image_row *row, bool *ret_has)
{
	struct ct_plan plan;
	struct ct_print_row print;
	char operations[CT_PLAN_OPERATIONS_CHARS + 1];
	*ret_has = false;
	if (ct_plan_prints(row->width, row->height, ct_plan_widths, ct_plan_width_count, &plan) < 0)
		return 0;
	for (size_t i = 0; i < plan.count; i++) {
		ct_plan_operations(plan.prints[i].width, operations);
		int r = ct_print_get(view, &row->digest, operations, &print);
		if (r < 0)
			return r == CT_ERROR_NOT_FOUND ? 0 : r;
	}
	*ret_has = true;
	return 0;
}

/*
 * Facts and prints follow from the bytes. Nobody takes the prints away meanwhile, though the twin
 * be deleted: our own image, pending as it is, keeps them.
 */
static int find_twin(struct ct_metadata_view *view, struct work *work)
{
	struct ct_image_row row;
	bool has = false;
	int r = ct_image_find_ready(view, &work->source, &row);
	if (r == CT_ERROR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = has_prints(view, &row, &has);
	if (r == 0 && has)
		work->twin = row;
	return r;
}

static int append_event(struct ct_metadata_view *view, const char *type,
    const struct ct_image_row *row, const char *job_id, int error)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(&row->digest, hex);
	struct ct_json *json = ct_json_object();
	ct_json_set_text(json, "image", row->id);
	ct_json_set_text(json, "sha256", hex);
	ct_json_set_text(json, "job", job_id);
	if (error < 0)
		ct_json_set_text(json, "error", ct_error_code(error));
	ct_cleanup(ct_free_pointer) char *data = ct_json_to_text(json);
	ct_json_free(json);
	if (data == NULL)
		return -ENOMEM;
	return ct_event_append(view, type, row->id, data, ct_clock_wall_ms());
}

static int make_ready(struct ct_metadata_view *view, struct ct_job_outcome *outcome)
{
	struct work *work = outcome->arg;
	struct ct_image_row row;
	int r = ct_image_get(view, work->image_id, &row);
	work->unwanted = r == CT_ERROR_NOT_FOUND;
	if (r < 0)
		return r;
	if (work->twin.id[0] != '\0')
		copy_twin(&row, &work->twin);
	else
		fill_row(&row, work);
	r = ct_image_update(view, &row);
	if (r == 0)
		r = put_prints(view, work);
	if (r == 0)
		r = append_event(view, "image.ready", &row, work->job_id, 0);
	if (r < 0)
		return r;
	outcome->response = ct_json_object();
	ct_json_set(
	    outcome->response, "image", ct_image_to_json(view, &row, work->process->public_url));
	return 0;
}

static int make_failed(
    struct ct_metadata_view *view, const struct ct_job_row *job, int error, void *context)
{
	(void)context;
	struct ct_image_row row;
	int r = ct_image_get(view, job->image_id, &row);
	if (r < 0)
		return r;
	row.state = CT_IMAGE_FAILED;
	r = ct_image_update(view, &row);
	return r < 0 ? r : append_event(view, "image.failed", &row, job->id, error);
}

static int make_pending(struct ct_metadata_view *view, const struct ct_job_row *job, void *context)
{
	(void)context;
	struct ct_image_row row;
	int r = ct_image_get(view, job->image_id, &row);
	if (r < 0)
		return r;
	row.state = CT_IMAGE_PENDING;
	r = ct_image_update(view, &row);
	return r < 0 ? r : append_event(view, "image.retried", &row, job->id, 0);
}

/* ---- the job ---- */

static int read_image(struct ct_process *process, const char *id, struct ct_image_row *ret_row)
{
	struct ct_metadata_view *view;
	int r = ct_metadata_borrow(process->metadata, &view);
	if (r < 0)
		return r;
	r = ct_image_get(view, id, ret_row);
	ct_metadata_give_back(process->metadata, view);
	return r;
}

/* The image was deleted: the job ends as canceled. */
static int find_nothing(struct ct_metadata_view *view, struct ct_job_outcome *outcome)
{
	(void)view;
	(void)outcome;
	return CT_ERROR_NOT_FOUND;
}

static void report(const struct ct_job_row *job, int error, const char *message,
    struct ct_job_outcome *ret_outcome)
{
	ret_outcome->error = error;
	ret_outcome->final =
	    error == CT_ERROR_WORKER_CRASHED && job->attempts >= CT_PROCESS_MAX_CRASHES;
	(void)snprintf(ret_outcome->detail, sizeof(ret_outcome->detail), "%s", message);
}

static int look_for_twin(struct work *work)
{
	struct ct_metadata *metadata = work->process->metadata;
	struct ct_metadata_view *view;
	int r = ct_metadata_borrow(metadata, &view);
	if (r == 0) {
		r = find_twin(view, work);
		ct_metadata_give_back(metadata, view);
	}
	if (r < 0)
		(void)snprintf(work->failure.message, sizeof(work->failure.message),
		    "images of the same bytes could not be looked for");
	return r;
}

static void discard_work(void *arg)
{
	struct work *work = arg;
	work->unwanted = true;
}

static void run_work(const struct ct_job_row *job, struct work *work, const char *type,
    struct ct_job_outcome *ret_outcome)
{
	ret_outcome->arg = work;
	ret_outcome->discard = discard_work;
	ret_outcome->release = free_work;
	ret_outcome->commit = make_ready;
	if (!ct_process_is_decodable(type))
		return;
	int r = look_for_twin(work);
	if (r == 0 && work->twin.id[0] == '\0')
		r = develop(work, type);
	if (r < 0)
		report(job, r, work->failure.message, ret_outcome);
	ret_outcome->limit = work->failure.limit;
	ret_outcome->value = work->failure.value;
}

static void process_image(struct ct_jobs *jobs, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	struct ct_process *process = context;
	struct ct_image_row row;
	int r = read_image(process, job->image_id, &row);
	if (r == CT_ERROR_NOT_FOUND) {
		ret_outcome->commit = find_nothing;
		return;
	}
	if (r < 0) {
		report(job, r, "the image could not be read from the database", ret_outcome);
		return;
	}
	struct work *work = new_work(process, &row.digest);
	if (work == NULL) {
		report(job, -ENOMEM, "the server is out of memory", ret_outcome);
		return;
	}
	work->jobs = jobs;
	work->job = job;
	memcpy(work->job_id, job->id, sizeof(work->job_id));
	memcpy(work->image_id, row.id, sizeof(work->image_id));
	run_work(job, work, row.type, ret_outcome);
}

struct ct_job_kind ct_process_kind(struct ct_process *process)
{
	return (struct ct_job_kind){
		.name = CT_PROCESS_IMAGE,
		.run = process_image,
		.failed = make_failed,
		.retried = make_pending,
		.context = process,
	};
}

/* ---- the remake ---- */

static int read_blob(
    struct ct_process *process, const struct ct_digest *source, struct ct_blob_row *ret_row)
{
	struct ct_metadata_view *view;
	int r = ct_metadata_borrow(process->metadata, &view);
	if (r < 0)
		return r;
	r = ct_blob_get(view, source, ret_row);
	ct_metadata_give_back(process->metadata, view);
	return r;
}

static int replace_prints(struct ct_metadata_view *view, void *arg)
{
	struct work *work = arg;
	struct ct_image_row row;
	int r = ct_image_list_of_blob(view, &work->source, &row, 1);
	work->unwanted = r == 0;
	if (r <= 0)
		return r < 0 ? r : CT_ERROR_NOT_FOUND;
	r = ct_print_list(view, &work->source, work->replaced, CT_IMAGE_PRINTS_MAX);
	work->replaced_count = r > 0 ? r : 0;
	return r < 0 ? r : put_prints(view, work);
}

int ct_process_remake_prints(struct ct_process *process, const struct ct_digest *source)
{
	struct ct_blob_row blob;
	int r = read_blob(process, source, &blob);
	if (r < 0)
		return r;
	if (!ct_process_is_decodable(blob.type))
		return CT_ERROR_NOT_FOUND;
	ct_cleanup(work_cleanup) struct work *work = new_work(process, source);
	if (work == NULL)
		return -ENOMEM;
	r = develop(work, blob.type);
	if (r == 0)
		r = ct_metadata_write(process->metadata, replace_prints, work);
	if (r < 0)
		return r;
	r = ct_images_remove_prints(
	    process->metadata, process->store, work->replaced, (size_t)work->replaced_count);
	if (r < 0) /* the prints are good all the same */
		ct_log(CT_LOG_WARNING, "process.prints_left", CT_LOG_CODE(r));
	return 0;
}

/* ---- life ---- */

CT_DEFINE_CLEANUP(process_cleanup, struct ct_process *, ct_process_free)

int ct_process_new(const struct ct_process_options *options, struct ct_process **ret_process)
{
	CT_ASSERT(options->metadata != NULL && options->store != NULL && options->pool != NULL);
	ct_cleanup(process_cleanup) struct ct_process *process = calloc(1, sizeof(*process));
	if (process == NULL)
		return -ENOMEM;
	process->metadata = options->metadata;
	process->store = options->store;
	process->pool = options->pool;
	if (options->public_url != NULL) {
		process->public_url = strdup(options->public_url);
		if (process->public_url == NULL)
			return -ENOMEM;
	}
	*ret_process = ct_steal(process);
	return 0;
}

void ct_process_free(struct ct_process *process)
{
	if (process == NULL)
		return;
	free(process->public_url);
	free(process);
}
