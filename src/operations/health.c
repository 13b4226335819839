/*
 * Is this server fit for work? Each check says what is wrong and what would mend it. A failure that
 * only shows when something is tried (a commit) is believed for a while and then tried again:
 * otherwise a server that nobody sends work to would never be ready again.
 */
#include "operations/operations_priv.h"

#include "calotype/blob.h"
#include "calotype/error.h"
#include "jobs/jobs.h"
#include "metadata/metadata.h"

#include <stdio.h>

#define DETAIL_BYTES 256
#define COMMIT_STUCK_MS 5000
#define COMMIT_FAILED_MS 10000 /* how long a failed one is held against the database */
#define QUEUE_STUCK_MS 60000   /* a job is due and nothing was claimed or ended for so long */

static bool check_store(struct ct_operations *operations, char detail[DETAIL_BYTES])
{
	if (ct_blob_store_is_healthy(operations->options.store))
		return true;
	(void)snprintf(detail, DETAIL_BYTES,
	    "an fsync has failed: nothing can be stored until the disk is looked after and the "
	    "server started again");
	return false;
}

static bool check_space(struct ct_operations *operations, char detail[DETAIL_BYTES])
{
	uint64_t bytes = 0;
	int r = ct_blob_store_available(operations->options.store, &bytes);
	if (r == 0 && bytes > 0)
		return true;
	(void)snprintf(detail, DETAIL_BYTES, "%s",
	    r == CT_ERROR_STORE_UNHEALTHY
		? "the data directory was removed: put it back and start the server again"
	    : r < 0 ? ct_error_text(r)
		    : "the disk is full down to the reserve; free some space");
	return false;
}

static bool check_database(struct ct_operations *operations, char detail[DETAIL_BYTES])
{
	struct ct_metadata_health health;
	ct_metadata_health(operations->options.metadata, &health);
	if (health.busy_ms > COMMIT_STUCK_MS)
		(void)snprintf(detail, DETAIL_BYTES, "a commit has been running for %lld ms",
		    (long long)health.busy_ms);
	else if (health.failed_ms_ago >= 0 && health.failed_ms_ago < COMMIT_FAILED_MS)
		(void)snprintf(detail, DETAIL_BYTES, "the last commit failed %lld ms ago",
		    (long long)health.failed_ms_ago);
	else
		return true;
	return false;
}

/* Whoever runs one has a deadline of his own; when nobody does, one that is due is taken at once.
 */
static bool check_jobs(struct ct_operations *operations, char detail[DETAIL_BYTES])
{
	struct ct_job_figures figures;
	if (ct_jobs_figures(operations->options.jobs, &figures) < 0)
		(void)snprintf(detail, DETAIL_BYTES, "the queue could not be read");
	else if (figures.running == 0 && figures.oldest_due_ms > QUEUE_STUCK_MS &&
		 figures.idle_ms > QUEUE_STUCK_MS)
		(void)snprintf(detail, DETAIL_BYTES,
		    "a job has been due for %lld ms, and none was taken or ended for %lld ms",
		    (long long)figures.oldest_due_ms, (long long)figures.idle_ms);
	else
		return true;
	return false;
}

static bool check_stop(struct ct_operations *operations, char detail[DETAIL_BYTES])
{
	if (!atomic_load(&operations->drains))
		return true;
	(void)snprintf(detail, DETAIL_BYTES, "the server is stopping");
	return false;
}

bool ct_operations_check(struct ct_operations *operations, struct ct_json *checks)
{
	static const struct {
		const char *name;
		bool (*check)(struct ct_operations *operations, char detail[DETAIL_BYTES]);
	} all[] = {
		{ "store", check_store },
		{ "space", check_space },
		{ "database", check_database },
		{ "jobs", check_jobs },
		{ "stop", check_stop },
	};
	bool ready = true;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char detail[DETAIL_BYTES] = "";
		bool ok = all[i].check(operations, detail);
		struct ct_json *json = ct_json_object();
		ct_json_set_text(json, "name", all[i].name);
		ct_json_set_bool(json, "ok", ok);
		if (!ok)
			ct_json_set_text(json, "detail", detail);
		ct_json_append(checks, json);
		ready = ready && ok;
	}
	return ready;
}
