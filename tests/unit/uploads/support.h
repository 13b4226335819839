/*
 * Uploads over a real database in a fresh directory and a store that fails on demand, without HTTP:
 * each step of a session as a blocking call. All assert by themselves what they do not return.
 */
#ifndef CT_TESTS_UPLOADS_SUPPORT_H
#define CT_TESTS_UPLOADS_SUPPORT_H

#include "base/thread_pool.h"
#include "calotype/blob_backend.h"
#include "uploads/session.h"
#include "uploads/session_join.h"
#include "uploads/uploads_priv.h"
#include "metadata/uploads.h"

struct fixture {
	char directory[64];
	struct ct_metadata *metadata;
	struct ct_blob_store *store;
	struct ct_failing_plan *plan;
	struct ct_thread_pool *pool;
	struct ct_uploads *uploads;
	struct ct_uploads_options options;
	unsigned busy_ms; /* of the database; set before it is opened */
};

/* `options` may be zero; what the parts need is filled in. */
void fixture_open(
    struct fixture *fixture, const struct ct_uploads_options *options, uint64_t capacity_bytes);
/* The same over a disk store in the directory. */
void fixture_open_disk(struct fixture *fixture);
/* The uploads end and begin anew, as after a crash: a new owner of all leases. */
void fixture_restart(struct fixture *fixture);
void fixture_close(struct fixture *fixture);

/* A PNG by its first bytes, then noise; freed by the caller. */
char *make_png(size_t length, unsigned seed);
char *make_text(size_t length);

struct ct_session *session_new(struct fixture *fixture);
int create(struct ct_session *session, uint64_t length);
int create_as(struct ct_session *session, const struct ct_session_start *start);
int join(
    struct ct_session *session, const struct ct_session_start *start, const struct ct_parts *parts);
int open_for(struct ct_session *session, const char *id, enum ct_session_purpose purpose,
    uint64_t offset, uint64_t body_bytes);
/* For appending without a byte, by a client that will tell the end. */
int open_to_end(struct ct_session *session, const char *id, uint64_t offset);
/* For appending, and says how long the upload is. */
int open_telling(struct ct_session *session, const char *id, uint64_t offset, uint64_t body_bytes,
    uint64_t length);
int checkpoint(struct ct_session *session);
int save(struct ct_session *session);
int finish(struct ct_session *session);
int refuse(struct ct_session *session, int error);
int cancel(struct ct_session *session);
/* Ends it and waits until it has let go. */
void end(struct fixture *fixture, struct ct_session *session);

/* Creates one, appends the first `sent` bytes, and its connection breaks. */
void break_off(struct fixture *fixture, const char *data, size_t length, size_t sent,
    char ret_id[CT_ID_CHARS + 1]);
/* Opens it at `offset`, appends the rest, finishes; the result of the last step. */
int continue_to_end(
    struct fixture *fixture, const char *id, const char *data, size_t length, size_t offset);

struct ct_upload_row row_of(struct fixture *fixture, const char *id);
/* The blob of a done upload is these bytes, and image, job and blob rows are there. */
void check_image(struct fixture *fixture, const char *id, const char *data, size_t length);
int count_staging(struct fixture *fixture);
int count_images(struct fixture *fixture);

#endif
