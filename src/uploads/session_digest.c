/*
 * What a session does about digests: the whole must have the one that its client told, a body may
 * be on trial until its own is checked, and an upload whose digest is that of a visible blob is
 * done at once. That last answer tells that the blob is there, so it is for those only who may
 * read it; for others nothing is looked up, and nothing differs.
 */
#include "uploads/session_priv.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/log.h"
#include "calotype/error.h"
#include "metadata/blobs.h"

#include <stdio.h>
#include <string.h>

int ct_session_digest(const struct ct_session *session, struct ct_digest *ret_digest)
{
	const struct ct_upload_row *row = &session->row;
	struct ct_hash hash;

	if (session->writer != NULL) {
		ct_blob_writer_digest(session->writer, ret_digest);
		return 0;
	}
	if (row->state == CT_UPLOAD_DONE && row->has_repr_digest) {
		*ret_digest = row->repr_digest;
		return 0;
	}
	if (ct_hash_restore(&hash, row->at.hash_state, row->at.offset) < 0)
		return CT_ERROR_NOT_FOUND;
	ct_hash_final(&hash, ret_digest);
	return 0;
}

int ct_session_judge_digest(struct ct_session *session)
{
	struct ct_upload_row *row = &session->row;
	char expected[CT_DIGEST_FIELD_CHARS + 1], found[CT_DIGEST_FIELD_CHARS + 1];
	struct ct_digest digest;

	ct_blob_writer_digest(session->writer, &digest);
	if (!row->has_repr_digest || ct_digest_equal(&digest, &row->repr_digest))
		return 0;
	ct_digest_to_field(&row->repr_digest, expected);
	ct_digest_to_field(&digest, found);
	row->refusal = CT_ERROR_REPR_DIGEST_MISMATCH;
	(void)snprintf(row->refusal_detail, sizeof(row->refusal_detail),
	    "Repr-Digest said %s, and the whole has %s", expected, found);
	return CT_ERROR_REPR_DIGEST_MISMATCH;
}

/* ---- a blob that is there already ---- */

static int find_blob(const struct ct_session *session, struct ct_blob_row *ret_row)
{
	struct ct_metadata *metadata = session->uploads->options.metadata;
	struct ct_metadata_view *view;
	bool is_visible = false;

	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = ct_blob_is_visible(view, &session->row.repr_digest, &is_visible);
	if (r == 0)
		r = is_visible ? ct_blob_get(view, &session->row.repr_digest, ret_row)
			       : CT_ERROR_NOT_FOUND;
	ct_metadata_give_back(metadata, view);
	return r;
}

/* The row may outlive bytes that were lost or put aside. */
static bool has_bytes(const struct ct_session *session, const struct ct_blob_row *blob)
{
	struct ct_blob_reader *reader;

	if (ct_blob_reader_open(
		session->uploads->options.store, CT_BLOB_ORIGINAL, &blob->digest, &reader) < 0)
		return false;
	bool is_whole = ct_blob_reader_size(reader) == blob->size_bytes;
	ct_blob_reader_close(reader);
	return is_whole;
}

static bool fits(const struct ct_session *session, const struct ct_blob_row *blob)
{
	uint64_t length = session->row.length_bytes;

	return (length == CT_BLOB_LENGTH_UNKNOWN || length == blob->size_bytes) &&
	       blob->size_bytes <= session->uploads->options.max_file_bytes &&
	       ct_accept_matches(session->uploads->accept, blob->type);
}

/* With an image on it the blob is not swept; whether there is still one is seen here. */
static int run_adopt(struct ct_metadata_view *view, void *arg)
{
	struct ct_session *session = arg;
	bool is_visible = false;

	int r = ct_blob_is_visible(view, &session->row.repr_digest, &is_visible);
	if (r < 0)
		return r;
	return is_visible ? ct_session_run_image(view, session) : CT_ERROR_NOT_FOUND;
}

/* As it was before. */
static void disown(struct ct_session *session)
{
	ct_session_unfinish(session, CT_UPLOAD_RECEIVING);
	session->row.type[0] = '\0';
	session->row.length_bytes = session->declared_bytes;
	session->row.at.offset = 0;
	session->may_adopt = false;
}

static void adopted(void *arg, int result)
{
	struct ct_session *session = arg;

	if (result == 0) {
		session->in_database = true;
		atomic_fetch_sub(&session->uploads->creating, 1);
		ct_session_note_image(session);
		ct_session_complete(session, 0);
		return;
	}
	disown(session);
	result = ct_session_submit(session, ct_session_run_create);
	if (result == 0)
		return;
	atomic_fetch_sub(&session->uploads->creating, 1);
	ct_session_complete(session, result);
}

bool ct_session_adopt(struct ct_session *session)
{
	struct ct_blob_row blob;

	/* Whatever fails here, the upload goes the long way. */
	if (find_blob(session, &blob) < 0 || !fits(session, &blob) || !has_bytes(session, &blob))
		return false;
	session->declared_bytes = session->row.length_bytes;
	session->committed = (struct ct_blob_committed){
		.digest = blob.digest,
		.size_bytes = blob.size_bytes,
		.was_present = true,
	};
	memcpy(session->row.type, blob.type, sizeof(session->row.type));
	if (ct_session_submit_image(session, run_adopt, adopted) == 0)
		return true;
	disown(session);
	return false;
}
