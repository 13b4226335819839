/*
 * The job that turns an accepted file into an image that can be shown: verifies the stored bytes,
 * has them developed, stores the prints, and makes the image ready in the transaction that ends
 * the job. Files that are no image we can decode become ready without prints.
 *
 * A file whose bytes are those of a ready image is not decoded again: its facts are copied, its
 * prints are shared.
 *
 * A canceled job kills its worker and makes the image `failed`; a retry makes it `pending` again.
 *
 * A run may be repeated at any point: prints are named by their content.
 */
#ifndef CT_IMAGING_PROCESS_H
#define CT_IMAGING_PROCESS_H

#include "calotype/blob.h"
#include "jobs/jobs.h"
#include "metadata/metadata.h"

struct ct_process;
struct ct_imaging_pool;

#define CT_PROCESS_IMAGE "process_image" /* the kind; its row names the image */
#define CT_PROCESS_MAX_CRASHES 2	 /* of its decoder, then the job has failed */

struct ct_process_options {
	struct ct_metadata *metadata;
	struct ct_blob_store *store;
	struct ct_imaging_pool *pool;
	const char *public_url; /* as in images.h; NULL: relative */
};

int ct_process_new(const struct ct_process_options *options, struct ct_process **ret_process);
/* After the jobs have been freed. NULL is allowed. */
void ct_process_free(struct ct_process *process);

/* For ct_jobs_options; `process` outlives the jobs. */
struct ct_job_kind ct_process_kind(struct ct_process *process);

/* Are prints made of this type? */
bool ct_process_is_decodable(const char *type);

/*
 * Makes the prints of a blob again, because one is missing or damaged, and writes their rows; what
 * they replace is removed. BLOCKING, for workers. CT_ERROR_NOT_FOUND: no image has this blob, or
 * none of its type gets prints; else as ct_imaging_pool_develop(), CT_ERROR_DIGEST_MISMATCH when
 * the original itself is damaged, and the errors of store and database.
 */
int ct_process_remake_prints(struct ct_process *process, const struct ct_digest *source);

#endif
