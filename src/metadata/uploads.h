/*
 * Rows of `upload`: what is being received, and for a while what became of it.
 * Thread rule and errors: metadata.h.
 */
#ifndef CT_METADATA_UPLOADS_H
#define CT_METADATA_UPLOADS_H

#include "metadata/metadata.h"

enum ct_upload_state {
	CT_UPLOAD_RECEIVING,
	CT_UPLOAD_FINISHING, /* all bytes are durable, the blob is being published */
	CT_UPLOAD_DONE,
	CT_UPLOAD_REFUSED,
	CT_UPLOAD_EXPIRED,
	CT_UPLOAD_CANCELED,
	CT_UPLOAD_STATE_COUNT
};
const char *ct_upload_state_name(enum ct_upload_state state);

enum ct_upload_kind {
	CT_UPLOAD_PLAIN,
	CT_UPLOAD_PARTIAL, /* stays in receiving when it is complete, makes no image */
	CT_UPLOAD_FINAL,   /* made of partial ones */
	CT_UPLOAD_KIND_COUNT
};

struct ct_upload_row {
	char id[CT_ID_CHARS + 1];
	enum ct_upload_state state;
	uint64_t length_bytes;	      /* CT_BLOB_LENGTH_UNKNOWN while deferred */
	struct ct_blob_checkpoint at; /* durable offset and hash state */
	char type[CT_TYPE_MAX + 1];   /* sniffed; empty before */
	char filename[CT_FILENAME_MAX + 1];
	char metadata[CT_UPLOAD_METADATA_MAX + 1]; /* tus: as given */
	char image_id[CT_ID_CHARS + 1];		   /* when done */
	char job_id[CT_ID_CHARS + 1];
	int refusal; /* an error code, when refused */
	char refusal_detail[CT_MESSAGE_MAX + 1];
	char key_id[16]; /* of the API key that began it, or empty */
	int64_t created_at, updated_at, expires_at;
	char owner[CT_NODE_MAX + 1]; /* the lease: which node, until when; epoch fences */
	int64_t lease_until;
	int64_t epoch;
	bool has_repr_digest; /* only then are these bytes accepted as the whole */
	struct ct_digest repr_digest;
	bool awaits_end; /* offset == length is not the end: that is told */
	enum ct_upload_kind kind;
	char concat[CT_UPLOAD_CONCAT_MAX +
		    1]; /* tus: Upload-Concat as given; empty of a plain one */
};

int ct_upload_insert(struct ct_metadata_view *view, const struct ct_upload_row *row);
int ct_upload_get(struct ct_metadata_view *view, const char *id, struct ct_upload_row *ret_row);
/*
 * Takes the lease, also from another owner: sets owner and lease_until, adds 1 to epoch. Only
 * while receiving or finishing; CT_ERROR_GONE once it has ended.
 */
int ct_upload_claim(struct ct_metadata_view *view, const char *id, const char *owner,
    int64_t lease_until, int64_t *ret_epoch);
/*
 * Writes state, at, length, type, image_id, job_id, refusal, refusal_detail, updated_at,
 * expires_at and awaits_end where id and epoch match; CT_ERROR_LEASE_LOST when they don't.
 */
int ct_upload_update(struct ct_metadata_view *view, const struct ct_upload_row *row);
/* Uploads in `receiving` whose expires_at is <= now, oldest first; returns the count. */
int ct_upload_list_expired(
    struct ct_metadata_view *view, int64_t now, struct ct_upload_row *ret_rows, int capacity);
/*
 * Final uploads in `receiving`, which wait for their parts, in the order of their ids after
 * `after_id` ("": from the first); returns the count.
 */
int ct_upload_list_waiting(struct ct_metadata_view *view, const char *after_id,
    struct ct_upload_row *ret_rows, int capacity);
/* A partial upload in `receiving` expires at `expires_at` if that is earlier; any other doesn't. */
int ct_upload_hasten(struct ct_metadata_view *view, const char *id, int64_t expires_at);
/* Uploads in `finishing` since before `before`, oldest first: what a dead server left; count. */
int ct_upload_list_finishing(
    struct ct_metadata_view *view, int64_t before, struct ct_upload_row *ret_rows, int capacity);
/* Ended uploads (done, refused, expired, canceled) older than `before` are forgotten; count. */
int ct_upload_purge(struct ct_metadata_view *view, int64_t before, int limit);
/* Uploads that are receiving, read from the tally at the open and kept by the writer since. */
int64_t ct_upload_open_count(struct ct_metadata *metadata);

#endif
