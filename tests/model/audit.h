/*
 * Compares what is there with the model.
 */
#ifndef CT_TESTS_MODEL_AUDIT_H
#define CT_TESTS_MODEL_AUDIT_H

#include "metadata/blobs.h"
#include "model.h"
#include "world.h"

/* After each operation: the space that is taken, and how many uploads are receiving. */
void audit_sums(struct model *model, struct world *world);
/* Every row, blob, staging file and event. */
void audit_all(struct model *model, struct world *world);
/* Those since the last look: none is missing, none is too many, in order for each image. */
void audit_events(struct model *model, struct world *world);

/* An upload that was finished in the background is done, and the model learns its image. */
void audit_finished(struct model *model, struct world *world, struct model_upload *upload);
/* Its row is gone, and so it is from the model. */
void audit_forgotten(struct model *model, struct world *world, struct model_upload *upload);
/* The image is gone, and its blob hidden unless another image that is ready has it. */
void audit_deleted(struct model *model, struct world *world, const char *image_id,
    const struct model_content *content);

/* After a crash: what was in doubt has happened or not, and nothing else. (adopt.c) */
void audit_adopt(struct model *model, struct world *world);

/* ---- looking ---- */

/* 0, or CT_ERROR_NOT_FOUND. */
int look_upload(
    struct model *model, struct world *world, const char *id, struct ct_upload_row *ret_row);
/* Both answer by themselves what is neither there nor missing. */
bool look_blob_row(struct model *model, struct world *world, const struct ct_digest *digest,
    struct ct_blob_row *ret_row);
/* When `check`, its bytes must have their digest, too. */
bool look_file(
    struct model *model, struct world *world, const struct model_content *content, bool check);

#endif
