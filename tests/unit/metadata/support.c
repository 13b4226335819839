#include "support.h"
#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fixture fixture;

_Atomic int fdatasync_calls;
_Atomic int fsync_calls;
_Atomic int failing_syncs;
_Atomic int write_errno;

/* SQLite's calls come here, since the names of a program go before those of its libraries. */
int fdatasync(int fd)
{
	(void)atomic_fetch_add(&fdatasync_calls, 1);
	if (atomic_load(&failing_syncs) > 0) {
		(void)atomic_fetch_sub(&failing_syncs, 1);
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	(void)atomic_fetch_add(&fsync_calls, 1);
	return (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
	int error = atomic_load(&write_errno);
	if (error != 0) {
		errno = error;
		return -1;
	}
	return (ssize_t)syscall(SYS_pwrite64, fd, data, length, offset);
}

void directory_setup(void)
{
	(void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/ct-metadata-XXXXXX");
	cr_assert_not_null(mkdtemp(fixture.directory));
	(void)snprintf(fixture.path, sizeof(fixture.path), "%s/calotype.db", fixture.directory);
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

void directory_teardown(void)
{
	cr_expect_eq(nftw(fixture.directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void rows_setup(void)
{
	directory_setup();
	cr_assert_eq(ct_connection_open(fixture.path, CT_CONNECTION_WRITER, &fixture.view), 0);
	cr_assert_eq(ct_connection_migrate(fixture.view), 0);
	cr_assert_eq(ct_connection_execute(fixture.view, "BEGIN IMMEDIATE"), 0);
}

void rows_teardown(void)
{
	cr_expect_eq(ct_connection_execute(fixture.view, "COMMIT"), 0);
	cr_expect(ct_connection_is_idle(fixture.view));
	cr_expect_eq(fixture.view->scanned_rows, 0);
	ct_connection_close(fixture.view);
	directory_teardown();
}

struct ct_metadata *open_metadata(void)
{
	struct ct_metadata *metadata = NULL;
	const struct ct_metadata_options options = { .path = fixture.path };
	cr_assert_eq(ct_metadata_open(&options, &metadata), 0);
	return metadata;
}

const char *id_of(int number, char ret_id[CT_ID_CHARS + 1])
{
	(void)snprintf(ret_id, CT_ID_CHARS + 1, "%032x", (unsigned)number);
	return ret_id;
}

struct ct_digest digest_of(int number)
{
	struct ct_digest digest = { .bytes = { 0xd1 } };
	memcpy(digest.bytes + 1, &number, sizeof(number));
	return digest;
}

void insert_blob(struct ct_metadata_view *view, int number, int64_t at)
{
	const struct ct_blob_row row = {
		.digest = digest_of(number),
		.size_bytes = 1000 + (uint64_t)number,
		.type = "image/jpeg",
		.created_at = at,
		.last_ref_at = at,
	};
	cr_assert_eq(ct_blob_reference(view, &row), 0);
}

struct ct_image_row make_image(int number, enum ct_image_state state, int blob, int64_t at)
{
	struct ct_image_row row = {
		.state = state,
		.digest = digest_of(blob),
		.filename = "a.jpg",
		.created_at = at,
	};
	(void)id_of(number, row.id);
	(void)id_of(number, row.job_id);
	return row;
}

struct ct_job_row make_job(int number, int64_t run_at)
{
	struct ct_job_row row = {
		.kind = "image",
		.max_attempts = 10,
		.version = 1,
		.run_at = run_at,
		.created_at = run_at,
	};
	(void)id_of(number, row.id);
	(void)id_of(number, row.image_id);
	return row;
}

struct ct_upload_row make_upload(int number, int64_t expires_at)
{
	struct ct_upload_row row = {
		.length_bytes = 5000,
		.filename = "a.jpg",
		.metadata = "filename YS5qcGc=",
		.created_at = 100,
		.updated_at = 100,
		.expires_at = expires_at,
	};
	(void)id_of(number, row.id);
	return row;
}
