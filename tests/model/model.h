/*
 * What must hold, as plain values: uploads, images, contents, events and the time, without any of
 * the server's code. Operations (operations.h) do something through the real interface and tell it
 * here; the audit (audit.h) compares the two.
 *
 * One thread. Nothing is owned but the bytes of the contents and the list of events. A failed
 * expectation prints the seed, the operation and the last ones before it, and ends the program.
 */
#ifndef CT_TESTS_MODEL_H
#define CT_TESTS_MODEL_H

#include "base/text.h"
#include "calotype/digest.h"
#include "metadata/uploads.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MODEL_CONTENTS 12
#define MODEL_UPLOADS 48
#define MODEL_WHOLES 4
#define MODEL_IMAGES 96
#define MODEL_ORPHANS 64
#define MODEL_EVENTS 4096

#define MODEL_HOUR_MS (3600 * 1000LL)
#define MODEL_DAY_MS (24 * MODEL_HOUR_MS)
/* Time moves by these, of which no limit is a multiple: none ends just while an operation runs. */
#define MODEL_STEP_MS (3599 * 1000LL)
#define MODEL_EXPIRY_MS (MODEL_DAY_MS - MODEL_HOUR_MS / 2)
#define MODEL_GRACE_MS (5 * MODEL_HOUR_MS + MODEL_HOUR_MS / 2)
#define MODEL_KEEP_MS (7 * MODEL_DAY_MS)
#define MODEL_STRANDED_MS 60000

struct ct_session;

/* What may have come of a step that a crash cut off. */
enum model_doubt {
	MAY_BE_CREATED = 1,
	MAY_BE_SAVED = 2,
	MAY_BE_FINISHED = 4,
	MAY_BE_REFUSED = 8,
	MAY_BE_CANCELED = 16,
	MAY_BE_EXPIRED = 32,
	MAY_BE_FORGOTTEN = 64,
	MAY_LEAVE_STAGING = 128 /* it has ended, its staging file may be there still */
};

/* A few, so that the same bytes come again and again. */
struct model_content {
	char *data;
	size_t length;
	struct ct_digest digest;
	bool is_taken; /* else its type is refused */
	int images;
	bool has_row, has_file;
	int64_t row_at, file_at; /* last referred to; last published */
};

struct model_upload {
	char id[CT_ID_CHARS + 1]; /* empty: the place is free */
	struct model_content *content;
	enum ct_upload_state state;
	uint64_t offset; /* acknowledged */
	int64_t expires_at, updated_at, written_at;
	bool has_staging;
	char image_id[CT_ID_CHARS + 1];

	struct ct_session *session; /* of whoever holds it, or NULL */
	uint64_t sent;		    /* by that session, from the beginning */
	bool is_spoiled;	    /* its type was refused while appending */
	atomic_bool is_interrupted; /* another session waits for it */
	unsigned doubt;
};

/* A whole upload in progress: it has no row and leaves nothing when it breaks. */
struct model_whole {
	struct ct_session *session; /* NULL: the place is free */
	struct model_content *content;
	uint64_t sent;
	bool is_length_known, is_spoiled;
	unsigned doubt;
};

struct model_image {
	char id[CT_ID_CHARS + 1]; /* empty: the place is free */
	struct model_content *content;
	bool is_ready;
	int64_t job_ended_at; /* 0: it is queued */
};

struct model_event {
	bool is_deletion;
	char image_id[CT_ID_CHARS + 1];
};

/* A staging file whose upload has ended. */
struct model_orphan {
	char id[CT_ID_CHARS + 1]; /* empty: the place is free */
	uint64_t length;
	int64_t written_at;
	bool is_new; /* since the crash that is looked into */
};

struct model {
	uint64_t seed, operation, random;
	int64_t now_ms;
	struct model_content contents[MODEL_CONTENTS];
	struct model_upload uploads[MODEL_UPLOADS];
	struct model_whole wholes[MODEL_WHOLES];
	struct model_image images[MODEL_IMAGES];
	struct model_orphan orphans[MODEL_ORPHANS];
	struct model_event events[MODEL_EVENTS]; /* not yet seen in the database */
	size_t event_count;
	int64_t last_event;    /* seen */
	bool may_be_swept;     /* a sweep was cut off */
	uint64_t acknowledged; /* steps that changed something */
	uint64_t finished, duplicates, deleted, expired, swept, resumed, crashes, restarts;
};

void model_init(struct model *model, uint64_t seed);
void model_done(struct model *model);

/* 0 to `limit` - 1, from the seed alone. */
unsigned model_random(struct model *model, unsigned limit);
bool model_chance(struct model *model, unsigned percent);

/* Remembers the operation that begins, for the report of a failure. */
void model_trace(struct model *model, const char *name, const void *subject);

/* Reports and ends the program; `text` is printf's. */
_Noreturn void model_fail(const struct model *model, const char *text, ...)
    __attribute__((format(printf, 2, 3)));
#define MODEL_EXPECT(model, condition, ...)                               \
	do {                                                              \
		if (!(condition))                                         \
			model_fail((model), #condition ": " __VA_ARGS__); \
	} while (0)

/* ---- finding; NULL when there is none ---- */

struct model_upload *model_free_upload(struct model *model);
struct model_upload *model_find_upload(struct model *model, const char *id);
struct model_whole *model_free_whole(struct model *model);
struct model_image *model_find_image(struct model *model, const char *id);
/* One by chance for which `fits` says yes. */
struct model_upload *model_pick_upload(
    struct model *model, bool (*fits)(const struct model *, const struct model_upload *));
struct model_image *model_pick_image(struct model *model);
unsigned model_image_count(const struct model *model);
unsigned model_receiving_count(const struct model *model);

bool model_is_open(const struct model_upload *upload); /* receiving or finishing */
bool model_is_expired(const struct model *model, const struct model_upload *upload);

/* Bytes that blobs and open uploads take. */
uint64_t model_used_bytes(const struct model *model);

/* ---- what has happened ---- */

void model_created(struct model *model, struct model_upload *upload, const char *id,
    struct model_content *content);
/* All that was sent is acknowledged. */
void model_saved(struct model *model, struct model_upload *upload);
/* refused, canceled or expired */
void model_ended(struct model *model, struct model_upload *upload, enum ct_upload_state state);
/* Its blob and its image are there. */
void model_imaged(struct model *model, struct model_content *content, const char *image_id);
void model_finished(struct model *model, struct model_upload *upload, const char *image_id);
void model_deleted(struct model *model, struct model_image *image);
void model_orphaned(struct model *model, const struct model_upload *upload);
/* The housekeeper's round over uploads, and the sweep. */
bool model_will_expire(const struct model *model, const struct model_upload *upload);
bool model_will_be_finished(const struct model *model, const struct model_upload *upload);
bool model_will_be_forgotten(const struct model *model, const struct model_upload *upload);
void model_swept(struct model *model);

#endif
