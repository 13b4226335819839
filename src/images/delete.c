/*
 * Deleting goes from the name to the bytes: first the rows, in one transaction with the event;
 * then what is in memory, by the callback; then the files of prints. A crash between leaves files
 * without a name, never a name without its file.
 */
#include "images/images_priv.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/events.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/prints.h"

#include <errno.h>
#include <string.h>

struct deletion {
	char id[CT_ID_CHARS + 1];
	struct ct_digest digest;
	bool blob_hidden;
	int print_count;
	struct ct_print_row prints[CT_IMAGE_PRINTS_MAX];
};

static int append_event(struct ct_metadata_view *view, const struct deletion *deletion)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(&deletion->digest, hex);
	struct ct_json *json = ct_json_object();
	ct_json_set_text(json, "image", deletion->id);
	ct_json_set_text(json, "sha256", hex);
	ct_cleanup(ct_free_pointer) char *data = ct_json_to_text(json);
	ct_json_free(json);
	if (data == NULL)
		return -ENOMEM;
	return ct_event_append(view, "image.deleted", deletion->id, data, ct_clock_wall_ms());
}

static int delete_prints(struct ct_metadata_view *view, void *arg)
{
	struct deletion *deletion = arg;
	int r =
	    ct_print_delete_orphans(view, &deletion->digest, deletion->prints, CT_IMAGE_PRINTS_MAX);
	deletion->print_count = r > 0 ? r : 0;
	return r < 0 ? r : 0;
}

static int run_deletion(struct ct_metadata_view *view, void *arg)
{
	struct deletion *deletion = arg;
	struct ct_image_row row;
	bool visible;
	int r = ct_image_get(view, deletion->id, &row);
	if (r < 0)
		return r;
	deletion->digest = row.digest;
	r = ct_image_delete(view, deletion->id);
	if (r < 0)
		return r;
	r = ct_blob_touch(view, &row.digest, ct_clock_wall_ms());
	if (r < 0)
		return r;
	r = ct_blob_is_visible(view, &row.digest, &visible);
	if (r < 0)
		return r;
	deletion->blob_hidden = !visible;
	r = ct_job_forget_image(view, row.job_id);
	if (r < 0)
		return r;
	r = delete_prints(view, deletion);
	return r < 0 ? r : append_event(view, deletion);
}

int ct_images_remove_prints(struct ct_metadata *metadata, struct ct_blob_store *store,
    const struct ct_print_row *rows, size_t count)
{
	int result = 0;
	for (size_t i = 0; i < count; i++) {
		struct ct_metadata_view *view;
		bool used = true;
		int r = ct_metadata_borrow(metadata, &view);
		if (r == 0) {
			r = ct_print_is_used(view, &rows[i].digest, &used);
			ct_metadata_give_back(metadata, view);
		}
		if (r == 0 && !used)
			r = ct_blob_remove(store, CT_BLOB_PRINT, &rows[i].digest);
		if (r < 0)
			result = r;
	}
	return result;
}

/* The image is gone in any case: what stays behind is garbage, told once. */
static int remove_files(struct ct_images *images, struct deletion *deletion)
{
	int r = ct_images_remove_prints(
	    images->metadata, images->store, deletion->prints, (size_t)deletion->print_count);
	while (r == 0 && deletion->print_count == CT_IMAGE_PRINTS_MAX) {
		r = ct_metadata_write(images->metadata, delete_prints, deletion);
		if (r == 0)
			r = ct_images_remove_prints(images->metadata, images->store,
			    deletion->prints, (size_t)deletion->print_count);
	}
	return r;
}

int ct_images_delete(struct ct_images *images, const char *id)
{
	if (!ct_id_is_valid(ct_slice_from_string(id)))
		return CT_ERROR_NOT_FOUND;
	ct_cleanup(ct_free_pointer) struct deletion *deletion = calloc(1, sizeof(*deletion));
	if (deletion == NULL)
		return -ENOMEM;
	memcpy(deletion->id, id, sizeof(deletion->id));
	int r = ct_metadata_write(images->metadata, run_deletion, deletion);
	if (r < 0)
		return r;
	if (images->deleted != NULL)
		images->deleted(images->deleted_arg, id, &deletion->digest, deletion->blob_hidden);
	r = remove_files(images, deletion);
	if (r < 0)
		ct_log(CT_LOG_WARNING, "image.prints_left", CT_LOG_TEXT("id", id), CT_LOG_CODE(r));
	return 0;
}
