#include "storage/sweep.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include <errno.h>
#include <stdlib.h>

struct candidate {
	struct ct_digest digest;
	uint64_t size_bytes;
};

struct search {
	const struct ct_sweep *sweep;
	enum ct_blob_class class;
	int64_t before_ms;
	struct ct_sweep_report *report;
	struct candidate *found;
	size_t count;
};

void ct_sweep_init(struct ct_sweep *sweep, const struct ct_sweep_options *options)
{
	*sweep = (struct ct_sweep){ .options = *options };
}

static int see(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg)
{
	struct search *search = arg;
	const struct ct_sweep_options *options = &search->sweep->options;

	search->report->seen++;
	if (info->modified_ms >= search->before_ms)
		return 0;
	int r = options->is_used(search->class, digest, options->arg);
	if (r != 0)
		return r < 0 ? r : 0;
	search->found[search->count++] = (struct candidate){ *digest, info->size_bytes };
	return search->count == CT_SWEEP_MAX_REMOVED;
}

/* Asked again while nobody can publish it: a row may have come since it was seen. */
static int let_go(enum ct_blob_class class, const struct ct_digest *digest, void *arg)
{
	const struct ct_sweep_options *options = arg;

	int r = options->is_used(class, digest, options->arg);
	return r > 0 ? -EBUSY : r;
}

static int remove_found(struct search *search)
{
	const struct ct_sweep_options *options = &search->sweep->options;

	for (size_t i = 0; i < search->count; i++) {
		const struct candidate *candidate = &search->found[i];
		int r = ct_blob_remove_unused(options->store, search->class, &candidate->digest,
		    search->before_ms, let_go, (void *)options);
		if (r < 0 && r != -EBUSY)
			return r;
		if (r < 0)
			continue;
		search->report->removed++;
		search->report->removed_bytes += candidate->size_bytes;
	}
	return 0;
}

int ct_sweep_step(struct ct_sweep *sweep, struct ct_sweep_report *report)
{
	ct_cleanup(ct_free_pointer) struct candidate *found =
	    calloc(CT_SWEEP_MAX_REMOVED, sizeof(*found));
	unsigned shard = sweep->shard;

	if (found == NULL)
		return -ENOMEM;
	sweep->shard = (shard + 1) % CT_BLOB_SHARDS;
	for (int class = 0; class < CT_BLOB_CLASS_COUNT; class ++) {
		struct search search = {
			.sweep = sweep,
			.class = (enum ct_blob_class) class,
			.before_ms = ct_clock_wall_ms() - sweep->options.grace_ms,
			.report = report,
			.found = found,
		};
		/* First looked at, then removed: a folder is not changed while it is read. */
		int r = ct_blob_visit(sweep->options.store, search.class, shard, see, &search);
		if (r >= 0)
			r = remove_found(&search);
		if (r < 0)
			return r;
	}
	return 0;
}
