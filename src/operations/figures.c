/* The values that /metrics asks for when it is read: each from the part that knows it. */
#include "operations/operations_priv.h"

#include "base/cleanup.h"
#include "cache/cache.h"
#include "calotype/blob.h"
#include "jobs/jobs.h"
#include "metadata/uploads.h"
#include "metrics/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- the process; names and units as Prometheus has them ---- */

static bool read_one(void *arg, double *ret_value)
{
	(void)arg;
	*ret_value = 1;
	return true;
}

static bool read_cpu(void *arg, double *ret_value)
{
	struct rusage usage;
	(void)arg;
	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return false;
	*ret_value = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	return true;
}

static bool read_resident(void *arg, double *ret_value)
{
	unsigned long pages = 0;
	(void)arg;
	FILE *file = fopen("/proc/self/statm", "re");
	if (file == NULL)
		return false;
	int count = fscanf(file, "%*u %lu", &pages);
	(void)fclose(file); /* only read */
	*ret_value = (double)pages * (double)sysconf(_SC_PAGESIZE);
	return count == 1;
}

static bool read_fds(void *arg, double *ret_value)
{
	(void)arg;
	DIR *directory = opendir("/proc/self/fd");
	if (directory == NULL)
		return false;
	*ret_value = -3; /* ".", "..", and the one that lists */
	while (readdir(directory) != NULL)
		*ret_value += 1;
	(void)closedir(directory); /* only read */
	return true;
}

static bool read_start(void *arg, double *ret_value)
{
	const struct ct_operations *operations = arg;
	*ret_value = (double)operations->started_ms / 1000;
	return true;
}

/* ---- the parts ---- */

static bool read_available(void *arg, double *ret_value)
{
	const struct ct_operations *operations = arg;
	uint64_t bytes = 0;
	int r = ct_blob_store_available(operations->options.store, &bytes);
	*ret_value = (double)bytes;
	return r == 0;
}

static bool read_healthy(void *arg, double *ret_value)
{
	const struct ct_operations *operations = arg;
	*ret_value = ct_blob_store_is_healthy(operations->options.store);
	return true;
}

static bool read_uploads(void *arg, double *ret_value)
{
	const struct ct_operations *operations = arg;
	*ret_value = (double)ct_upload_open_count(operations->options.metadata);
	return true;
}

static bool read_jobs_queued(void *arg, double *ret_value)
{
	const struct ct_operations *operations = arg;
	struct ct_job_figures figures = { 0 };
	int r = ct_jobs_figures(operations->options.jobs, &figures);
	*ret_value = (double)figures.queued;
	return r == 0;
}

static bool read_jobs_running(void *arg, double *ret_value)
{
	const struct ct_operations *operations = arg;
	struct ct_job_figures figures = { 0 };
	int r = ct_jobs_figures(operations->options.jobs, &figures);
	*ret_value = figures.running;
	return r == 0;
}

static bool read_jobs_oldest(void *arg, double *ret_value)
{
	const struct ct_operations *operations = arg;
	struct ct_job_figures figures = { 0 };
	int r = ct_jobs_figures(operations->options.jobs, &figures);
	*ret_value = (double)figures.oldest_due_ms / 1000;
	return r == 0;
}

#define READ_CACHE(name, member)                                       \
	static bool name(void *arg, double *ret_value)                 \
	{                                                              \
		const struct ct_operations *operations = arg;          \
		struct ct_cache_figures figures;                       \
		ct_cache_figures(operations->options.cache, &figures); \
		*ret_value = (double)figures.member;                   \
		return true;                                           \
	}
READ_CACHE(read_cache_bytes, bytes)
READ_CACHE(read_cache_entries, entries)
READ_CACHE(read_cache_hits, hits)
READ_CACHE(read_cache_misses, misses)
READ_CACHE(read_cache_collapsed, collapsed)
READ_CACHE(read_cache_evictions, evictions)

static const struct {
	enum ct_metric metric;
	ct_metrics_read_fn read;
} readers[] = {
	{ CT_METRIC_BUILD, read_one },
	{ CT_METRIC_UPLOADS_OPEN, read_uploads },
	{ CT_METRIC_JOBS_QUEUED, read_jobs_queued },
	{ CT_METRIC_JOBS_RUNNING, read_jobs_running },
	{ CT_METRIC_JOBS_OLDEST, read_jobs_oldest },
	{ CT_METRIC_CACHE_HITS, read_cache_hits },
	{ CT_METRIC_CACHE_MISSES, read_cache_misses },
	{ CT_METRIC_CACHE_COLLAPSED, read_cache_collapsed },
	{ CT_METRIC_CACHE_EVICTIONS, read_cache_evictions },
	{ CT_METRIC_CACHE_BYTES, read_cache_bytes },
	{ CT_METRIC_CACHE_ENTRIES, read_cache_entries },
	{ CT_METRIC_STORE_AVAILABLE, read_available },
	{ CT_METRIC_STORE_HEALTHY, read_healthy },
	{ CT_METRIC_PROCESS_CPU, read_cpu },
	{ CT_METRIC_PROCESS_RESIDENT, read_resident },
	{ CT_METRIC_PROCESS_FDS, read_fds },
	{ CT_METRIC_PROCESS_START, read_start },
};

void ct_operations_set_readers(struct ct_operations *operations)
{
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		ct_metrics_read_with(readers[i].metric, readers[i].read, operations);
}

void ct_operations_unset_readers(void)
{
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		ct_metrics_read_with(readers[i].metric, NULL, NULL);
}
