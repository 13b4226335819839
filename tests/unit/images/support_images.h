/* A blob with images on it, in a store in memory and a real database. */
#ifndef CT_TESTS_IMAGES_SUPPORT_H
#define CT_TESTS_IMAGES_SUPPORT_H

#include "support.h"
#include "calotype/blob.h"
#include "metadata/images.h"
#include "metadata/prints.h"

extern struct ct_blob_store *store;

void images_setup(void);
void images_teardown(void);

/* Stores bytes; the digest. */
struct ct_digest put_bytes(enum ct_blob_class class, const char *text);
bool has_bytes(enum ct_blob_class class, const struct ct_digest *digest);

/* The original's row, and an image on it. */
void insert_image(int number, const struct ct_digest *digest, const char *type,
    enum ct_image_state state, int64_t created_at);
/* Stores "print<width>" and its row. */
struct ct_digest insert_print(const struct ct_digest *source, int width);
/* CT_ERROR_NOT_FOUND, or 0. */
int find_image(int number, struct ct_image_row *ret_row);
int list_prints(const struct ct_digest *source, struct ct_print_row *ret_rows, int capacity);
/* Rows of the event log with this type and image. */
int count_events(const char *type, int image);

#endif
