/*
 * From a staging file to a name, so that after a power cut at any point there is either no name or
 * a name with all of its bytes: bytes, fsync of the file, name, fsync of the name's directory, and
 * only then the answer. Prints take the same way without the two fsyncs.
 *
 * A name that is there already is believed only after its bytes were compared. One that is damaged
 * is replaced by ours in one rename, so uploading the same file again heals the store.
 */
#include "storage/disk_priv.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "calotype/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPARE_BLOCK_BYTES (128u << 10)
#define MAX_ATTEMPTS 8 /* each is lost only to another publisher or remover of the same blob */
#define PROC_PATH_CHARS 32

enum existing { EXISTING_ABSENT, EXISTING_GOOD, EXISTING_DAMAGED };

struct publication {
	struct ct_disk *disk;
	struct ct_blob_stage *stage;
	uint64_t size_bytes;
	const struct ct_digest *digest;
	const char *name; /* within `directory_fd` */
	int directory_fd;
	bool is_durable; /* what this class asks for */
	bool is_synced;
};

/* True when all of the existing file has the digest that is its name. */
static bool has_digest(int fd, uint64_t size_bytes, const struct ct_digest *digest, void *block)
{
	struct ct_digest found;
	struct ct_hash hash;

	ct_hash_init(&hash);
	for (uint64_t offset = 0; offset < size_bytes;) {
		uint64_t left = size_bytes - offset;
		size_t length = left < COMPARE_BLOCK_BYTES ? (size_t)left : COMPARE_BLOCK_BYTES;

		if (ct_file_pread_all(fd, block, length, offset) < 0)
			return false;
		ct_hash_update(&hash, block, length);
		offset += length;
	}
	ct_hash_final(&hash, &found);
	return ct_digest_equal(&found, digest);
}

/*
 * Bytes against bytes, which costs less than hashing. Only if they differ the hash tells which of
 * the two is damaged: ours may be, when its first part lay on the disk for a day.
 */
static int compare(const struct publication *publication, int fd, enum existing *ret_existing)
{
	ct_cleanup(ct_free_pointer) uint8_t *blocks = malloc(2 * COMPARE_BLOCK_BYTES);
	if (blocks == NULL)
		return -ENOMEM;
	for (uint64_t offset = 0; offset < publication->size_bytes;) {
		uint64_t left = publication->size_bytes - offset;
		size_t length = left < COMPARE_BLOCK_BYTES ? (size_t)left : COMPARE_BLOCK_BYTES;
		uint8_t *ours = blocks, *theirs = blocks + COMPARE_BLOCK_BYTES;

		int r = ct_file_pread_all(publication->stage->fd, ours, length, offset);
		if (r < 0)
			return r;
		if (ct_file_pread_all(fd, theirs, length, offset) < 0 ||
		    memcmp(ours, theirs, length) != 0) {
			bool good =
			    has_digest(fd, publication->size_bytes, publication->digest, blocks);
			*ret_existing = good ? EXISTING_GOOD : EXISTING_DAMAGED;
			return 0;
		}
		offset += length;
	}
	*ret_existing = EXISTING_GOOD;
	return 0;
}

static int look(const struct publication *publication, enum existing *ret_existing)
{
	struct stat status;
	ct_cleanup(ct_close_fd) int fd =
	    openat(publication->directory_fd, publication->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0) {
		if (errno != ENOENT)
			return -errno;
		*ret_existing = EXISTING_ABSENT;
		return 0;
	}
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != publication->size_bytes) {
		*ret_existing = EXISTING_DAMAGED;
		return 0;
	}
	int r = compare(publication, fd, ret_existing);
	if (r == 0 && *ret_existing == EXISTING_GOOD)
		/* Young again for a sweep by age; only a hint, so a failure does not matter. */
		(void)futimens(fd, NULL);
	return r;
}

static int link_nameless(struct ct_blob_stage *stage, int directory_fd, const char *name)
{
	char path[PROC_PATH_CHARS];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", stage->fd); /* always fits */
	return linkat(AT_FDCWD, path, directory_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int move_named(const struct publication *publication)
{
	int staging_fd = publication->disk->staging_fd;
	struct ct_blob_stage *stage = publication->stage;

	if (ct_disk_calls.renameat2(staging_fd, stage->name, publication->directory_fd,
		publication->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* Not every file system knows that flag. A crash in between leaves two names of one file.
	 */
	if (linkat(staging_fd, stage->name, publication->directory_fd, publication->name, 0) < 0 ||
	    unlinkat(staging_fd, stage->name, 0) < 0)
		return -errno;
	return 0;
}

static int give_name(const struct publication *publication)
{
	struct ct_blob_stage *stage = publication->stage;

	if (!stage->has_name)
		return link_nameless(stage, publication->directory_fd, publication->name);
	return move_named(publication);
}

/* linkat() never replaces: a nameless file gets a staging name first. */
static int replace(const struct publication *publication)
{
	int staging_fd = publication->disk->staging_fd;
	struct ct_blob_stage *stage = publication->stage;

	if (!stage->has_name) {
		char id[CT_STAGING_ID_CHARS + 1];

		int r = ct_id_generate(id);
		if (r == 0)
			r = link_nameless(stage, staging_fd, id);
		if (r < 0)
			return r;
		memcpy(stage->name, id, sizeof(id));
		stage->has_name = true;
	}
	return renameat(staging_fd, stage->name, publication->directory_fd, publication->name) < 0
		   ? -errno
		   : 0;
}

static int sync_file_once(struct publication *publication)
{
	if (!publication->is_durable || publication->is_synced)
		return 0;
	publication->is_synced = true;
	return ct_disk_sync(publication->disk, publication->stage->fd, false);
}

/* -EEXIST: another one was faster; look again. */
static int try_once(struct publication *publication, bool *ret_was_present)
{
	enum existing existing = EXISTING_ABSENT;

	int r = look(publication, &existing);
	if (r < 0)
		return r;
	if (existing == EXISTING_GOOD) {
		*ret_was_present = true;
		return 0;
	}
	r = sync_file_once(publication);
	if (r == 0)
		r = existing == EXISTING_DAMAGED ? replace(publication) : give_name(publication);
	if (r == 0) {
		publication->stage->has_name = false;
		*ret_was_present = false;
	}
	return r;
}

static int publish(struct publication *publication, bool *ret_was_present)
{
	struct ct_disk *disk = publication->disk;
	struct ct_blob_stage *stage = publication->stage;
	bool was_present = false;
	int r = -EEXIST;

	for (int attempt = 0; r == -EEXIST && attempt < MAX_ATTEMPTS; attempt++)
		r = try_once(publication, &was_present);
	if (r == -ENOENT) /* someone removed the staging file, or there is no /proc */
		return stage->is_named ? CT_ERROR_STAGING_DAMAGED : -EIO;
	if (r < 0)
		return ct_disk_error(-r);

	/* Also for a blob that was present: whoever put it there may not have come this far. */
	if (publication->is_durable) {
		r = ct_disk_sync(disk, publication->directory_fd, false);
		if (r < 0)
			return r;
	}
	if (stage->has_name) {
		/* Garbage if it stays: the blob has its name, and ct_blob_staging_visit() finds it.
		 */
		(void)unlinkat(disk->staging_fd, stage->name, 0);
		stage->has_name = false;
	}
	*ret_was_present = was_present;
	return 0;
}

/* `path` becomes "ab" and the 62 digits at path + 3. */
static int open_fan_out(const struct ct_disk *disk, enum ct_blob_class class,
    const struct ct_digest *digest, char path[CT_DISK_NAME_CHARS + 1], int *ret_fd)
{
	ct_disk_object_name(digest, path);
	path[2] = '\0';
	int fd = openat(disk->class_fds[class], path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ct_disk_error(errno);
	*ret_fd = fd;
	return 0;
}

int ct_disk_publish(struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t size_bytes,
    const struct ct_digest *digest, bool *ret_was_present)
{
	char path[CT_DISK_NAME_CHARS + 1];

	ct_cleanup(ct_close_fd) int directory_fd = -1;
	int r = open_fan_out(disk, stage->class, digest, path, &directory_fd);
	if (r < 0)
		return r;
	if (ftruncate(stage->fd, (off_t)size_bytes) < 0 || fchmod(stage->fd, 0444) < 0)
		return ct_disk_error(errno);

	struct publication publication = {
		.disk = disk,
		.stage = stage,
		.size_bytes = size_bytes,
		.digest = digest,
		.name = path + 3,
		.directory_fd = directory_fd,
		.is_durable = stage->class == CT_BLOB_ORIGINAL,
	};
	return publish(&publication, ret_was_present);
}

int ct_disk_publish_again(
    struct ct_disk *disk, enum ct_blob_class class, const struct ct_digest *digest)
{
	char path[CT_DISK_NAME_CHARS + 1];
	ct_cleanup(ct_close_fd) int directory_fd = -1;

	int r = open_fan_out(disk, class, digest, path, &directory_fd);
	if (r < 0)
		return r;
	if (faccessat(directory_fd, path + 3, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? CT_ERROR_NOT_FOUND : -errno;
	return class == CT_BLOB_ORIGINAL ? ct_disk_sync(disk, directory_fd, false) : 0;
}
