#include "housekeeper.h"
#include "sweeper.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "images/images.h"
#include "metadata/events.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metrics/metrics.h"
#include "storage/scrub.h"
#include "uploads/uploads.h"
#include "jobs/jobs.h"

#include <errno.h>
#include <stdlib.h>

#define TICK_MS 1000
#define PERIOD_MS 60000
#define FLUSH_MS 5000
#define PURGE_ROUNDS 100
#define PURGE_LIMIT 100 /* rows a transaction */
#define FAILED_LIMIT 16 /* failed images a round */
/* Its job is forgotten by then, so that nobody can ask for another attempt. */
#define FAILED_KEEP_MS (CT_JOB_KEEP_MS + 3600 * 1000LL)
#define SWEEP_DELAY_MS 120000 /* first what a crash left unfinished is finished, then swept */

struct ct_housekeeper {
	/* set once */
	struct ct_housekeeper_options options;
	int64_t period_ms;
	pthread_t thread;

	struct ct_lock lock;
	struct ct_condition changed;
	bool stopping; /* under lock */

	/* the thread's; monotonic times */
	struct ct_sweeper sweeper;
	struct ct_scrub *scrub;
	int64_t next_round_ms, next_flush_ms, sweep_from_ms, scrubbed_ms;
};

static void report(const char *what, int result)
{
	if (result < 0)
		ct_log(CT_LOG_WARNING, "housekeeping.failed", CT_LOG_TEXT("what", what),
		    CT_LOG_CODE(result));
}

/* ---- retention ---- */

static int purge_jobs(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	return ct_job_purge(view, ct_clock_wall_ms() - CT_JOB_KEEP_MS, PURGE_LIMIT);
}

static int purge_events(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	return ct_event_purge(view, ct_clock_wall_ms() - CT_EVENT_KEEP_MS, PURGE_LIMIT);
}

static void purge(struct ct_metadata *metadata, ct_transaction_fn run, const char *what)
{
	int count = PURGE_LIMIT;
	for (int i = 0; i < PURGE_ROUNDS && count == PURGE_LIMIT; i++)
		count = ct_metadata_write(metadata, run, NULL);
	report(what, count);
}

/* ---- the sweep ---- */

/* So many directories that all of them are seen about once in a grace period. */
static int list_failed(struct ct_metadata *metadata, struct ct_image_row rows[FAILED_LIMIT])
{
	static const char least_id[] = "00000000000000000000000000000000";
	struct ct_metadata_view *view = NULL;
	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = ct_image_list(view, CT_IMAGE_FAILED, ct_clock_wall_ms() - FAILED_KEEP_MS, least_id,
	    rows, FAILED_LIMIT);
	ct_metadata_give_back(metadata, view);
	return r;
}

/* What could not be decoded is kept as long as its job, then deleted like any other image. */
static int delete_failed(struct ct_housekeeper *housekeeper)
{
	ct_cleanup(ct_free_pointer) struct ct_image_row *rows = calloc(FAILED_LIMIT, sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	int count = list_failed(housekeeper->options.metadata, rows);
	for (int i = 0; i < count; i++) {
		int r = ct_images_delete(housekeeper->options.images, rows[i].id);
		if (r < 0 && r != CT_ERROR_NOT_FOUND)
			return r;
		ct_log(CT_LOG_INFO, "image.failed_removed", CT_LOG_TEXT("id", rows[i].id));
	}
	return count;
}

static unsigned directories_a_round(const struct ct_housekeeper *housekeeper)
{
	int64_t count = CT_BLOB_SHARDS * housekeeper->period_ms / housekeeper->options.grace_ms + 1;
	return count < CT_BLOB_SHARDS ? (unsigned)count : CT_BLOB_SHARDS;
}

static void sweep(struct ct_housekeeper *housekeeper)
{
	struct ct_sweep_report sum = { 0 };
	int r = ct_sweeper_run(&housekeeper->sweeper, directories_a_round(housekeeper), &sum);
	report("sweep", r);
	ct_metrics_add(CT_METRIC_SWEPT_FILES, sum.removed);
	ct_metrics_add(CT_METRIC_SWEPT_BYTES, sum.removed_bytes);
	if (sum.removed > 0)
		ct_log(CT_LOG_INFO, "sweep.removed", CT_LOG_NUMBER("files", sum.removed),
		    CT_LOG_NUMBER("bytes", sum.removed_bytes));
}

/* ---- the scrub ---- */

static void found_damage(
    enum ct_blob_class class, const struct ct_digest *digest, int error, void *arg)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	(void)arg;
	ct_digest_to_hex(digest, hex);
	ct_metrics_add(CT_METRIC_SCRUB_DAMAGED, 1);
	ct_log(class == CT_BLOB_PRINT ? CT_LOG_WARNING : CT_LOG_ERROR, "scrub.damaged",
	    CT_LOG_TEXT("class", class == CT_BLOB_PRINT ? "print" : "original"),
	    CT_LOG_TEXT("sha256", hex), CT_LOG_CODE(error),
	    CT_LOG_TEXT("detail", error != CT_ERROR_DIGEST_MISMATCH
				      ? "it could not be read, and was left"
				  : class == CT_BLOB_PRINT
				      ? "removed; it is made again when it is asked for"
				      : "moved to quarantine/; uploading the same file heals it"));
}

static void scrub(struct ct_housekeeper *housekeeper, int64_t now_ms)
{
	int64_t passed_ms = now_ms - housekeeper->scrubbed_ms;
	uint64_t bytes = 0;
	if (housekeeper->scrub == NULL)
		return;
	housekeeper->scrubbed_ms = now_ms;
	/* What was not read while the thread was busy elsewhere is not made up for. */
	if (passed_ms > TICK_MS)
		passed_ms = TICK_MS;
	uint64_t budget = housekeeper->options.scrub_rate * (uint64_t)passed_ms / 1000;
	report("scrub", ct_scrub_step(housekeeper->scrub, budget, &bytes));
	ct_metrics_add(CT_METRIC_SCRUBBED_BYTES, bytes);
}

/* ---- the thread ---- */

static void keep_house(struct ct_housekeeper *housekeeper, int64_t now_ms)
{
	struct ct_metadata *metadata = housekeeper->options.metadata;
	if (now_ms >= housekeeper->next_flush_ms) {
		/* The rows after the bytes they point to. */
		report("flush", ct_blob_store_flush(housekeeper->options.store));
		report("database flush", ct_metadata_flush(metadata));
		housekeeper->next_flush_ms = now_ms + FLUSH_MS;
	}
	scrub(housekeeper, now_ms);
	if (now_ms < housekeeper->next_round_ms)
		return;
	report("uploads", ct_uploads_tick(housekeeper->options.uploads));
	purge(metadata, purge_jobs, "jobs");
	purge(metadata, purge_events, "events");
	report("failed images", delete_failed(housekeeper));
	if (now_ms >= housekeeper->sweep_from_ms)
		sweep(housekeeper);
	housekeeper->next_round_ms = ct_clock_monotonic_ms() + housekeeper->period_ms;
}

static void *run(void *arg)
{
	struct ct_housekeeper *housekeeper = arg;
	int64_t next_ms = ct_clock_monotonic_ms() + TICK_MS;
	ct_lock_take(&housekeeper->lock);
	while (!housekeeper->stopping) {
		if (ct_condition_wait_until(&housekeeper->changed, &housekeeper->lock, next_ms) !=
		    -ETIMEDOUT)
			continue;
		ct_lock_release(&housekeeper->lock);
		keep_house(housekeeper, ct_clock_monotonic_ms());
		next_ms = ct_clock_monotonic_ms() + TICK_MS;
		ct_lock_take(&housekeeper->lock);
	}
	ct_lock_release(&housekeeper->lock);
	return NULL;
}

static void free_all(struct ct_housekeeper *housekeeper)
{
	ct_scrub_free(housekeeper->scrub);
	ct_condition_done(&housekeeper->changed);
	ct_lock_done(&housekeeper->lock);
	free(housekeeper);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void plan(struct ct_housekeeper *housekeeper)
{
	const struct ct_housekeeper_options *options = &housekeeper->options;
	int64_t now_ms = ct_clock_monotonic_ms();
	int64_t period_ms = least(PERIOD_MS, least(options->upload_expiry_ms, options->grace_ms));
	housekeeper->period_ms = period_ms > TICK_MS ? period_ms : TICK_MS;
	housekeeper->next_round_ms = now_ms + housekeeper->period_ms;
	housekeeper->next_flush_ms = now_ms + FLUSH_MS;
	housekeeper->sweep_from_ms = now_ms + least(SWEEP_DELAY_MS, options->grace_ms);
	housekeeper->scrubbed_ms = now_ms;
	ct_sweeper_init(
	    &housekeeper->sweeper, options->metadata, options->store, options->grace_ms);
	/* A restart begins anywhere, or the last directories might never be reached. */
	housekeeper->sweeper.files.shard = (unsigned)(ct_clock_wall_ms() % CT_BLOB_SHARDS);
}

int ct_housekeeper_start(
    const struct ct_housekeeper_options *options, struct ct_housekeeper **ret_housekeeper)
{
	struct ct_housekeeper *housekeeper = calloc(1, sizeof(*housekeeper));
	int r = 0;
	if (housekeeper == NULL)
		return -ENOMEM;
	housekeeper->options = *options;
	ct_lock_init(&housekeeper->lock, CT_LOCK_LEAF);
	ct_condition_init(&housekeeper->changed);
	plan(housekeeper);
	if (options->scrub_rate > 0)
		r = ct_scrub_new(
		    &(struct ct_scrub_options){
			.store = options->store,
			.first_shard = housekeeper->sweeper.files.shard,
			.found = found_damage,
		    },
		    &housekeeper->scrub);
	if (r == 0)
		r = ct_thread_start("ct-housekeeper", run, housekeeper, &housekeeper->thread);
	if (r < 0) {
		free_all(housekeeper);
		return r;
	}
	*ret_housekeeper = housekeeper;
	return 0;
}

void ct_housekeeper_stop(struct ct_housekeeper *housekeeper)
{
	if (housekeeper == NULL)
		return;
	ct_lock_take(&housekeeper->lock);
	housekeeper->stopping = true;
	ct_condition_broadcast(&housekeeper->changed);
	ct_lock_release(&housekeeper->lock);
	(void)pthread_join(housekeeper->thread, NULL); /* our own thread, joined once */
	free_all(housekeeper);
}
