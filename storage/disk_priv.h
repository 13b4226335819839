/*
 * The inside of the disk store: disk.c (stages, objects, operations), disk_layout.c (the data
 * directory), disk_space.c (who may still declare how much), disk_publish.c (the durable way from
 * staging to a name), disk_writeout.c (writing ahead). The disk format and each step are told in
 * storage/README.md.
 */
#ifndef CT_STORAGE_DISK_PRIV_H
#define CT_STORAGE_DISK_PRIV_H

#include "base/lock.h"
#include "calotype/blob_backend.h"
#include <stdatomic.h>
#include <sys/types.h>

#define CT_DISK_NAME_CHARS 65 /* "ab/<62 hex>" */

struct ct_disk_ahead;

struct ct_disk_space {
	uint64_t reserve_bytes; /* set once */
	uint64_t assumed_free;	/* set once; 0: ask the file system */
	struct ct_lock lock;
	uint64_t pending_bytes; /* under `lock`: declared, not yet taken from the free space */
	uint64_t held_bytes;	/* under `lock`: taken by open stages; only assumed_free needs it */
};

struct ct_disk {
	int data_fd, lock_fd, staging_fd; /* set once */
	int class_fds[CT_BLOB_CLASS_COUNT];
	uint64_t window_bytes;
	bool is_async; /* set once: syncing is left to ct_disk_flush() */
	atomic_bool unhealthy;
	atomic_bool is_dirty;  /* async: something was not synced yet */
	atomic_uint writeouts; /* under way */
	struct ct_disk_space space;
	struct ct_blob_stage *named_stages; /* under space.lock: those that are open */
};

struct ct_blob_object {
	int fd;
};

struct ct_blob_stage {
	int fd;
	char name[CT_STAGING_ID_CHARS + 1]; /* set once for a named one */
	bool is_named;			    /* set once: by the caller, so the name stays */
	bool has_name;			    /* `name` is in staging/ at this moment */
	enum ct_blob_class class;
	uint64_t declared_bytes;
	uint64_t most_bytes;	/* of an unknown length; 0: no bound */
	uint64_t reserved_to;	/* bytes before this are allocated or counted as pending */
	uint64_t pending_bytes; /* this stage's part of the two sums above */
	uint64_t held_bytes;
	uint64_t ahead_to;	     /* bytes before this were handed out to be written */
	struct ct_disk_ahead *ahead; /* NULL: none yet */
	struct ct_blob_stage *next;  /* under space.lock */
};

/* ---- disk_layout.c ---- */

/* Fills the descriptors; what is open stays in `disk` also on failure. */
int ct_disk_layout_open(struct ct_disk *disk, const char *directory);
void ct_disk_layout_close(struct ct_disk *disk);
void ct_disk_object_name(const struct ct_digest *digest, char ret_name[CT_DISK_NAME_CHARS + 1]);

/* ---- disk_space.c ---- */

int ct_disk_space_available(struct ct_disk *disk, uint64_t *ret_bytes);

/*
 * Reserves from stage->reserved_to up to `to`; `present_bytes` of that are allocated already. On
 * failure nothing is counted, but blocks may be left beyond the end of the file: the caller cuts.
 * CT_ERROR_INSUFFICIENT_SPACE.
 */
int ct_disk_space_reserve(
    struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t to, uint64_t present_bytes);
/* `length_bytes` more have been written: no longer pending where nothing was allocated before. */
void ct_disk_space_written(
    struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t length_bytes);
/* The stage gives `bytes` of its reservation back; UINT64_MAX: all, as it ends or was trimmed. */
void ct_disk_space_release(struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t bytes);

/* ---- disk_publish.c ---- */

int ct_disk_publish(struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t size_bytes,
    const struct ct_digest *digest, bool *ret_was_present);

/* The same for a name that is there already: object_sync of the backend. */
int ct_disk_publish_again(
    struct ct_disk *disk, enum ct_blob_class class, const struct ct_digest *digest);

/* ---- disk_writeout.c ---- */

/* An operation of the backend. */
bool ct_disk_stage_writeout(void *backend, struct ct_blob_stage *stage, uint64_t written_to,
    struct ct_blob_writeout **ret_writeout);
/* The stage ends; a piece under way keeps what it needs. NULL is allowed. */
void ct_disk_ahead_free(struct ct_disk_ahead *ahead);

/* ---- disk_upkeep.c: operations of the backend ---- */

int ct_disk_object_visit(void *backend, enum ct_blob_class class, unsigned shard,
    int (*visit)(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg),
    void *arg);
int ct_disk_object_look(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_info *ret_info);
int ct_disk_object_set_aside(void *backend, struct ct_blob_object *object, enum ct_blob_class class,
    const struct ct_digest *digest);
int ct_disk_flush(void *backend);

/* ---- disk.c ---- */

/*
 * A result of ours for an errno: ENOSPC, EDQUOT and EFBIG are CT_ERROR_INSUFFICIENT_SPACE, EMFILE
 * and ENFILE CT_ERROR_LIMIT_REACHED, EROFS CT_ERROR_STORE_UNHEALTHY.
 */
int ct_disk_error(int error_number);

/*
 * fsync, or fdatasync: a failure makes the store unhealthy for good. An async store only notes that
 * it is to be done.
 */
int ct_disk_sync(struct ct_disk *disk, int fd, bool data_only);

/*
 * The calls whose failure a test cannot provoke from outside; it puts its own in before it opens
 * a store.
 */
struct ct_disk_calls {
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
	int (*fallocate)(int fd, int mode, off_t offset, off_t length);
	int (*syncfs)(int fd);
	int (*sync_file_range)(int fd, off_t offset, off_t length, unsigned flags);
	int (*open_nameless)(int directory_fd); /* O_TMPFILE */
	int (*renameat2)(
	    int old_fd, const char *old_name, int new_fd, const char *new_name, unsigned flags);
};
extern struct ct_disk_calls ct_disk_calls;

#endif
