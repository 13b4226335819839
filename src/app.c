/*
 * Parts are built in layer order and stopped in reverse: first no new requests (those that send a
 * body are broken off, their offsets saved; those that wait are answered), then what answers them,
 * the database last but one, the store last.
 */
#include "app.h"
#include "housekeeper.h"
#include "notify.h"
#include "pairing.h"
#include "start.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "cache/cache.h"
#include "calotype/blob.h"
#include "calotype/blob_open.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "delivery/delivery.h"
#include "http/http.h"
#include "images/images.h"
#include "imaging/pool.h"
#include "imaging/process.h"
#include "jobs/jobs.h"
#include "metadata/metadata.h"
#include "operations/operations.h"
#include "page/page.h"
#include "uploads/uploads.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define COMMIT_THREADS 4
#define COMMIT_MAX_QUEUED 4096
#define FILL_THREADS 2
#define FILL_MAX_QUEUED 4096
#define PATH_MAX_BYTES 4096
#define MALLOC_ARENAS 2
#define STOP_CUT_MS 5000 /* after the time-out: for what was cut off to notice it */
#define MAX_DESCRIPTORS 65536

struct app {
	/* set once, before the threads that read them start */
	const struct ct_config *config;
	char owner[CT_ID_CHARS + 1];
	struct ct_blob_store *store;
	struct ct_metadata *metadata;
	struct ct_thread_pool *commit_pool;
	struct ct_thread_pool *fill_pool;
	struct ct_http_server *server;
	struct ct_imaging_pool *workers;
	struct ct_images *images;
	struct ct_process *process;
	struct ct_jobs *jobs;
	struct ct_uploads *uploads;
	struct ct_cache *cache;
	struct ct_delivery *delivery;
	struct ct_page *page;
	struct ct_operations *operations;
	struct ct_housekeeper *housekeeper;

	/* for the stop; under its lock */
	struct ct_lock lock;
	struct ct_condition changed;
	bool stopped;
};

char *ct_app_database_path(const struct ct_config *config)
{
	char path[PATH_MAX_BYTES];
	if (config->database.text[0])
		return strdup(config->database.text);
	if (ct_path_join(config->data.text, "calotype.db", path, sizeof(path)) < 0)
		return NULL;
	return strdup(path);
}

/* ---- the name of this server, for leases ---- */

static int load_owner(struct app *app)
{
	char path[PATH_MAX_BYTES];
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, CT_ID_CHARS + 2);
	int r = ct_path_join(app->config->data.text, "node", path, sizeof(path));
	if (r < 0)
		return r;
	r = ct_file_read_line(path, &buffer);
	if (r == 0 && ct_id_is_valid((struct ct_slice){ buffer.data, buffer.length }))
		return ct_slice_copy((struct ct_slice){ buffer.data, buffer.length }, app->owner,
		    sizeof(app->owner));
	if (r < 0 && r != -ENOENT)
		return r;
	r = ct_id_generate(app->owner);
	return r < 0 ? r : ct_file_replace(path, app->owner, strlen(app->owner), 0600);
}

/* ---- building ---- */

static bool is_async(const struct ct_config *config)
{
	return strcmp(config->durability.text, "async") == 0;
}

static int open_database(struct app *app)
{
	const struct ct_config *config = app->config;
	const char *why = NULL;
	ct_cleanup(ct_free_pointer) char *path = ct_app_database_path(config);
	if (!path)
		return -ENOMEM;
	int r = ct_pairing_check_file(config->data.text, path, &why);
	if (r >= 0)
		r = ct_metadata_open(
		    &(struct ct_metadata_options){ .path = path, .is_async = is_async(config) },
		    &app->metadata);
	if (r >= 0)
		r = ct_pairing_check(config->data.text, app->metadata, &why);
	return ct_start_explain_database(config, r, why);
}

static int open_storage(struct app *app)
{
	const struct ct_config *config = app->config;
	int r = ct_blob_store_open_disk(
	    &(struct ct_disk_options){
		.directory = config->data.text,
		.reserve_bytes = config->reserve.number,
		.is_async = is_async(config),
	    },
	    &app->store);
	if (r < 0)
		return ct_start_explain_data(config, r);
	r = open_database(app);
	return r < 0 ? r : ct_start_explain_data(config, load_owner(app));
}

static int check_access(struct app *app)
{
	return ct_start_check_access(app->config, app->metadata);
}

static int build_pools(struct app *app)
{
	int r = ct_thread_pool_new(
	    &(struct ct_thread_pool_options){ "ct-commit", COMMIT_THREADS, COMMIT_MAX_QUEUED },
	    &app->commit_pool);
	return r < 0 ? r
		     : ct_thread_pool_new(&(struct ct_thread_pool_options){ "ct-fill", FILL_THREADS,
					      FILL_MAX_QUEUED },
			   &app->fill_pool);
}

static const char *public_url(const struct app *app)
{
	return app->config->public_url.text[0] ? app->config->public_url.text : NULL;
}

static int build_http(struct app *app)
{
	const struct ct_config *config = app->config;
	int r = ct_http_server_new(
	    &(struct ct_http_options){
		.listen = config->listen.text,
		.metadata = app->metadata,
		.public_url = public_url(app),
		.insecure = config->insecure.number,
		.plain_keys_anywhere = strcmp(config->plain_keys.text, "any") == 0,
		.trusted_proxies = config->trusted_proxies.text,
		.cors_origins = config->cors_origins.text,
		.max_connections = (unsigned)config->max_connections.number,
		.max_per_address = (unsigned)config->max_per_address.number,
		.access_log = config->access_log.number,
	    },
	    &app->server);
	return ct_start_explain_listen(config, r);
}

static void on_image_deleted(
    void *arg, const char *image_id, const struct ct_digest *digest, bool blob_hidden)
{
	struct app *app = arg;
	ct_delivery_forget(app->delivery, image_id, digest, blob_hidden);
}

static int build_imaging(struct app *app)
{
	const struct ct_config *config = app->config;
	const struct ct_imaging_options options = ct_start_imaging_options(config);
	int r = ct_start_check_worker(config);
	if (r == 0)
		r = ct_start_check_sandbox(config);
	if (r == 0)
		r = ct_imaging_pool_new(&options, &app->workers);
	if (r < 0)
		return r;
	return ct_process_new(
	    &(struct ct_process_options){
		.metadata = app->metadata,
		.store = app->store,
		.pool = app->workers,
		.public_url = public_url(app),
	    },
	    &app->process);
}

static int build_jobs(struct app *app)
{
	struct ct_job_kind kind = ct_process_kind(app->process);
	return ct_jobs_new(
	    &(struct ct_jobs_options){
		.metadata = app->metadata,
		.owner = app->owner,
		.kinds = &kind,
		.kind_count = 1,
		.public_url = public_url(app),
		.workers = (unsigned)app->config->workers.number,
		.readers = app->commit_pool,
	    },
	    &app->jobs);
}

static int build_resources(struct app *app)
{
	const struct ct_config *config = app->config;
	int r = ct_images_new(
	    &(struct ct_images_options){
		.metadata = app->metadata,
		.store = app->store,
		.readers = app->commit_pool,
		.public_url = public_url(app),
		.deleted = on_image_deleted,
		.deleted_arg = app,
	    },
	    &app->images);
	if (r < 0)
		return r;
	r = ct_uploads_new(
	    &(struct ct_uploads_options){
		.metadata = app->metadata,
		.store = app->store,
		.jobs = app->jobs,
		.commit_pool = app->commit_pool,
		.owner = app->owner,
		.public_url = public_url(app),
		.accept = config->accept.text,
		.is_async = is_async(config),
		.max_file_bytes = config->max_file.number,
		.max_open_uploads = (unsigned)config->max_uploads.number,
		.expiry_ms = (int64_t)config->upload_expiry.number * 1000,
	    },
	    &app->uploads);
	return ct_start_explain_uploads(config, r);
}

static int build_delivery(struct app *app)
{
	const struct ct_config *config = app->config;
	int r = ct_cache_new(
	    &(struct ct_cache_options){
		.max_bytes = config->cache.number,
		.fill_pool = app->fill_pool,
	    },
	    &app->cache);
	if (r < 0)
		return r;
	return ct_delivery_new(
	    &(struct ct_delivery_options){
		.metadata = app->metadata,
		.store = app->store,
		.cache = app->cache,
		.process = app->process,
		.originals_public = strcmp(config->originals.text, "public") == 0,
		.blobs_public = strcmp(config->blobs.text, "public") == 0,
	    },
	    &app->delivery);
}

static int build_page(struct app *app)
{
	return ct_page_new(&app->page);
}

static int build_operations(struct app *app)
{
	return ct_operations_new(
	    &(struct ct_operations_options){
		.store = app->store,
		.metadata = app->metadata,
		.jobs = app->jobs,
		.cache = app->cache,
		.server = app->server,
	    },
	    &app->operations);
}

static int add_routes(struct app *app)
{
	int r = ct_jobs_add_routes(app->jobs, app->server);
	if (r == 0)
		r = ct_images_add_routes(app->images, app->server);
	if (r == 0)
		r = ct_uploads_add_routes(app->uploads, app->server);
	if (r == 0)
		r = ct_delivery_add_routes(app->delivery, app->server);
	if (r == 0)
		r = ct_page_add_routes(app->page, app->server);
	if (r == 0)
		r = ct_operations_add_routes(app->operations, app->server);
	return r;
}

static int build(struct app *app)
{
	static const struct {
		const char *name;
		int (*build)(struct app *app);
	} steps[] = {
		{ "storage", open_storage },
		{ "access", check_access },
		{ "pools", build_pools },
		{ "http", build_http },
		{ "imaging", build_imaging },
		{ "jobs", build_jobs },
		{ "resources", build_resources },
		{ "delivery", build_delivery },
		{ "page", build_page },
		{ "operations", build_operations },
		{ "routes", add_routes },
	};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int r = steps[i].build(app);
		if (r < 0 && r != CT_START_TOLD)
			ct_log(CT_LOG_ERROR, "start.failed", CT_LOG_TEXT("part", steps[i].name),
			    CT_LOG_CODE(r),
			    CT_LOG_TEXT(
				"detail", r > -CT_ERROR_FIRST ? strerror(-r) : ct_error_text(r)));
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- life ---- */

static int start_housekeeper(struct app *app)
{
	const struct ct_config *config = app->config;
	return ct_housekeeper_start(
	    &(struct ct_housekeeper_options){
		.metadata = app->metadata,
		.store = app->store,
		.uploads = app->uploads,
		.images = app->images,
		.upload_expiry_ms = (int64_t)config->upload_expiry.number * 1000,
		.grace_ms = (int64_t)config->sweep_grace.number * 1000,
		.scrub_rate = config->scrub_rate.number,
	    },
	    &app->housekeeper);
}

static int start(struct app *app)
{
	int r = ct_log_late_start();
	if (r == 0)
		r = ct_jobs_start(app->jobs);
	if (r == 0)
		r = ct_uploads_start(app->uploads);
	if (r == 0)
		r = start_housekeeper(app);
	if (r == 0)
		r = ct_http_server_start(app->server);
	if (r < 0)
		ct_log(
		    CT_LOG_ERROR, "start.failed", CT_LOG_TEXT("part", "threads"), CT_LOG_CODE(r));
	return r;
}

/* What the service manager makes of silence is its own affair. */
static void tell_manager(const char *state)
{
	int r = ct_notify(state);
	if (r < 0)
		ct_log(CT_LOG_WARNING, "start.cannot_notify", CT_LOG_TEXT("state", state),
		    CT_LOG_CODE(r));
}

static int announce(const struct app *app)
{
	const char *url = ct_http_server_url(app->server);
	ct_log(CT_LOG_INFO, "start.ready", CT_LOG_TEXT("url", url),
	    CT_LOG_TEXT("version", CALOTYPE_VERSION), CT_LOG_TEXT("data", app->config->data.text));
	if (printf("listening on %s\n", url) < 0 || fflush(stdout) != 0)
		return -EIO;
	tell_manager("READY=1");
	return 0;
}

static void set_end_signals(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
}

static void wait_for_signal(void)
{
	sigset_t set;
	int received = 0;
	set_end_signals(&set);
	while (sigwait(&set, &received) != 0) {
	}
	ct_log(CT_LOG_INFO, "stop.signal", CT_LOG_TEXT("signal", strsignal(received)));
	tell_manager("STOPPING=1");
}

/* Everything goes on, while /readyz sends new clients elsewhere; another signal ends it. */
static void delay_drain(struct app *app)
{
	int64_t until_ms =
	    ct_clock_monotonic_ms() + (int64_t)app->config->drain_delay.number * 1000;
	int64_t left_ms = until_ms - ct_clock_monotonic_ms();
	sigset_t set;
	int received = 0;
	set_end_signals(&set);
	ct_operations_drain(app->operations);
	for (; left_ms > 0 && received <= 0; left_ms = until_ms - ct_clock_monotonic_ms()) {
		const struct timespec wait = { left_ms / 1000, left_ms % 1000 * 1000000 };
		received = sigtimedwait(&set, NULL, &wait); /* else its time is over, or EINTR */
	}
	if (received > 0)
		ct_log(CT_LOG_INFO, "stop.delay_cut", CT_LOG_TEXT("signal", strsignal(received)));
}

/*
 * A locked database or a dying disk must not hold up the end for ever, and nothing may be freed
 * under a thread that still waits for them: the process ends as it is. What was acknowledged is
 * durable, and the next start goes on with the rest, as after a kill.
 */
static void *limit_stop(void *arg)
{
	struct app *app = arg;
	int64_t until_ms = ct_clock_monotonic_ms() +
			   (int64_t)app->config->shutdown_timeout.number * 1000 + STOP_CUT_MS;
	int r = 0;
	ct_lock_take(&app->lock);
	while (!app->stopped && r == 0)
		r = ct_condition_wait_until(&app->changed, &app->lock, until_ms);
	bool stopped = app->stopped;
	ct_lock_release(&app->lock);
	if (!stopped) {
		ct_log(CT_LOG_WARNING, "stop.cut_off");
		ct_log_late_stop();
		quick_exit(EXIT_SUCCESS);
	}
	return NULL;
}

/* Waits for the jobs that run, then cuts their images off. */
static void stop_jobs(struct app *app, int64_t timeout_ms)
{
	int r = app->jobs ? ct_jobs_stop(app->jobs, timeout_ms) : 0;
	if (app->workers)
		ct_imaging_pool_stop(app->workers);
	while (r < 0) {
		r = ct_jobs_stop(app->jobs, STOP_CUT_MS);
		ct_log(CT_LOG_WARNING, "stop.jobs_cut_off", CT_LOG_CODE(r));
	}
}

static void stop_parts(struct app *app)
{
	int64_t timeout_ms = (int64_t)app->config->shutdown_timeout.number * 1000;
	int64_t until_ms = ct_clock_monotonic_ms() + timeout_ms;
	if (app->operations)
		ct_operations_drain(app->operations);
	if (app->jobs)
		ct_jobs_drain(app->jobs);
	if (app->server)
		ct_http_server_stop(app->server, timeout_ms);
	ct_housekeeper_stop(app->housekeeper);
	app->housekeeper = NULL;
	while (app->uploads && ct_uploads_stop(app->uploads, STOP_CUT_MS) < 0)
		ct_log(CT_LOG_WARNING, "stop.uploads_still_saving");
	int64_t left_ms = until_ms - ct_clock_monotonic_ms();
	stop_jobs(app, left_ms > 0 ? left_ms : 0);
}

static void free_parts(struct app *app)
{
	int r = app->store ? ct_blob_store_flush(app->store) : 0;
	if (r < 0)
		ct_log(CT_LOG_ERROR, "stop.not_flushed", CT_LOG_CODE(r));
	r = app->metadata ? ct_metadata_flush(app->metadata) : 0;
	if (r < 0)
		ct_log(CT_LOG_ERROR, "stop.database_not_flushed", CT_LOG_CODE(r));
	ct_thread_pool_free(app->fill_pool);
	ct_thread_pool_free(app->commit_pool);
	ct_metadata_close(app->metadata);
	ct_http_server_free(app->server); /* the last `gone` of a request needs the parts below */
	ct_operations_free(app->operations);
	ct_page_free(app->page);
	ct_delivery_free(app->delivery);
	ct_cache_free(app->cache);
	ct_uploads_free(app->uploads);
	ct_images_free(app->images);
	ct_jobs_free(app->jobs);
	ct_process_free(app->process);
	ct_imaging_pool_free(app->workers);
	ct_blob_store_close(app->store);
}

static void stop(struct app *app)
{
	pthread_t limit;
	/* Without a thread for it, the end only may take longer. */
	bool is_limited = ct_thread_start("ct-stop", limit_stop, app, &limit) == 0;
	stop_parts(app);
	free_parts(app);
	ct_lock_take(&app->lock);
	app->stopped = true;
	ct_condition_broadcast(&app->changed);
	ct_lock_release(&app->lock);
	if (is_limited)
		(void)pthread_join(limit, NULL); /* our own thread, joined once */
}

/* Each connection may have a file beside it, and 1024, the usual, is not enough for both. */
static void raise_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= MAX_DESCRIPTORS)
		return;
	limit.rlim_cur = limit.rlim_max < MAX_DESCRIPTORS ? limit.rlim_max : MAX_DESCRIPTORS;
	/* What is refused shows when they run out: then clients get a 503. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int ct_app_run(const struct ct_config *config)
{
	struct app app = { .config = config };
	(void)mallopt(M_ARENA_MAX, MALLOC_ARENAS); /* only memory is at stake */
	raise_descriptors();
	ct_lock_init(&app.lock, CT_LOCK_LEAF);
	ct_condition_init(&app.changed);
	int r = build(&app);
	if (r == 0)
		r = start(&app);
	if (r == 0)
		r = announce(&app);
	if (r == 0) {
		wait_for_signal();
		delay_drain(&app);
	}
	stop(&app);
	ct_log_late_stop();
	ct_condition_done(&app.changed);
	ct_lock_done(&app.lock);
	if (r == 0)
		ct_log(CT_LOG_INFO, "stop.done");
	return r;
}
