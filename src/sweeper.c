#include "sweeper.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/prints.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <stdlib.h>

struct marking {
	int64_t before;
	struct ct_blob_row *rows;
};

static int mark_rows(struct ct_metadata_view *view, void *arg)
{
	struct marking *marking = arg;
	return ct_blob_begin_sweep(view, marking->before, marking->rows, CT_SWEEPER_ROWS);
}

static int end_row(struct ct_metadata_view *view, void *arg)
{
	return ct_blob_end_sweep(view, arg);
}

/* An upload of the same bytes may have revived the row since it was marked. */
static int let_row_go(enum ct_blob_class class, const struct ct_digest *digest, void *arg)
{
	struct ct_sweeper *sweeper = arg;
	struct ct_digest copy = *digest;
	(void)class;
	int r = ct_metadata_write(sweeper->metadata, end_row, &copy);
	return r == CT_ERROR_NOT_FOUND ? -EBUSY : r;
}

static int sweep_rows(struct ct_sweeper *sweeper, struct ct_sweep_report *report)
{
	ct_cleanup(ct_free_pointer) struct ct_blob_row *rows =
	    calloc(CT_SWEEPER_ROWS, sizeof(*rows));
	struct marking marking = { ct_clock_wall_ms() - sweeper->grace_ms, rows };
	if (rows == NULL)
		return -ENOMEM;
	int count = ct_metadata_write(sweeper->metadata, mark_rows, &marking);
	for (int i = 0; i < count; i++) {
		int r = ct_blob_remove_unused(sweeper->store, CT_BLOB_ORIGINAL, &rows[i].digest,
		    marking.before, let_row_go, sweeper);
		if (r < 0 && r != -EBUSY)
			return r;
		if (r < 0)
			continue;
		report->removed++;
		report->removed_bytes += rows[i].size_bytes;
	}
	return count;
}

static int is_used(enum ct_blob_class class, const struct ct_digest *digest, void *arg)
{
	struct ct_sweeper *sweeper = arg;
	struct ct_metadata_view *view = NULL;
	struct ct_blob_row row;
	bool used = false;
	int r = ct_metadata_borrow(sweeper->metadata, &view);
	if (r < 0)
		return r;
	if (class == CT_BLOB_PRINT)
		r = ct_print_is_used(view, digest, &used);
	else
		r = ct_blob_get(view, digest, &row);
	ct_metadata_give_back(sweeper->metadata, view);
	if (r == CT_ERROR_NOT_FOUND)
		return 0;
	return r < 0 ? r : class == CT_BLOB_ORIGINAL || used;
}

void ct_sweeper_init(struct ct_sweeper *sweeper, struct ct_metadata *metadata,
    struct ct_blob_store *store, int64_t grace_ms)
{
	*sweeper = (struct ct_sweeper){ metadata, store, grace_ms, { .shard = 0 } };
	ct_sweep_init(&sweeper->files, &(struct ct_sweep_options){
					   .store = store,
					   .grace_ms = grace_ms,
					   .is_used = is_used,
					   .arg = sweeper,
				       });
}

/*
 * Published before the grace period began, and a crash came before the row: the upload is still to
 * be finished, and this is all that is left of it. Such uploads are finished within minutes; until
 * then nothing is swept.
 */
static int is_upload_waiting(struct ct_sweeper *sweeper)
{
	ct_cleanup(ct_free_pointer) struct ct_upload_row *row = calloc(1, sizeof(*row));
	struct ct_metadata_view *view = NULL;
	if (row == NULL)
		return -ENOMEM;
	int r = ct_metadata_borrow(sweeper->metadata, &view);
	if (r < 0)
		return r;
	r = ct_upload_list_finishing(view, ct_clock_wall_ms() - sweeper->grace_ms, row, 1);
	ct_metadata_give_back(sweeper->metadata, view);
	return r;
}

int ct_sweeper_run(struct ct_sweeper *sweeper, unsigned directories, struct ct_sweep_report *report)
{
	int r = is_upload_waiting(sweeper);
	if (r != 0)
		return r < 0 ? r : 0;
	r = sweep_rows(sweeper, report);
	for (unsigned i = 0; i < directories && r >= 0; i++)
		r = ct_sweep_step(&sweeper->files, report);
	return r < 0 ? r : 0;
}
