/*
 * Bodies in memory that the kernel sends without copying them: in a memory file, sealed so that
 * nobody can change it while its pages are on their way. It is mapped beside that for the answers
 * which send a part, or other headers. Where it cannot be had, the body stays as it came.
 *
 * Memory files consist of small pages, and sending one costs a look-up for each. Where a huge page
 * is full, the kernel is asked to make one of them, which it does only for a mapping that is
 * aligned so.
 */
#include "cache/cache_priv.h"
#include "cache/sealed_priv.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#define HUGE_BYTES ((size_t)2 << 20)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t count = write(fd, data, length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : -EIO;
		data += count;
		length -= (size_t)count;
	}
	return 0;
}

/* An address for `size` bytes that is a multiple of HUGE_BYTES, reserved; MAP_FAILED. */
static void *reserve_aligned(size_t size)
{
	char *start = mmap(
	    NULL, size + HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return start;
	size_t before = (HUGE_BYTES - (uintptr_t)start % HUGE_BYTES) % HUGE_BYTES;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t used = (size + page - 1) / page * page;
	/* Our own, and nothing is in it: what stays by a failure is address space. */
	if (before > 0)
		(void)munmap(start, before);
	(void)munmap(start + before + used, HUGE_BYTES - before);
	return start + before;
}

/* Read only. Shared, it would be refused by Linux before 6.7; nobody writes, so it is the same. */
static void *map(int fd, size_t size)
{
	if (size < HUGE_BYTES)
		return mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	void *reserved = reserve_aligned(size);
	if (reserved == MAP_FAILED)
		return reserved;
	void *data = mmap(reserved, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
	if (data == MAP_FAILED) {
		(void)munmap(reserved, size); /* as above */
		return data;
	}
	/* Small pages serve as well: an older kernel, or no memory in one piece. */
	(void)madvise(data, size / HUGE_BYTES * HUGE_BYTES, MADV_COLLAPSE);
	return data;
}

static int fill_file(struct ct_cache_sealed *sealed, const struct ct_cache_content *content)
{
	sealed->size_bytes = (size_t)content->size_bytes;
	sealed->fd = memfd_create("calotype-body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (sealed->fd < 0)
		return -errno;
	int r = write_all(sealed->fd, content->data, sealed->size_bytes);
	if (r < 0)
		return r;
	if (fcntl(sealed->fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	void *data = map(sealed->fd, sealed->size_bytes);
	if (data == MAP_FAILED)
		return -errno;
	sealed->data = data;
	return 0;
}

/* False: the share of descriptors is used up. */
static bool take_place(struct ct_cache_places *places)
{
	if (__atomic_add_fetch(&places->used, 1, __ATOMIC_RELAXED) <= places->max)
		return true;
	(void)__atomic_sub_fetch(&places->used, 1, __ATOMIC_RELAXED);
	return false;
}

int ct_cache_sealed_new(struct ct_cache_places *places, struct ct_cache_content *content,
    struct ct_cache_sealed **ret_sealed)
{
	if (!take_place(places))
		return -EMFILE;
	struct ct_cache_sealed *sealed = calloc(1, sizeof(*sealed));
	if (sealed == NULL) {
		(void)__atomic_sub_fetch(&places->used, 1, __ATOMIC_RELAXED);
		return -ENOMEM;
	}
	sealed->places = places;
	int r = fill_file(sealed, content);
	if (r < 0) {
		if (sealed->fd >= 0)
			(void)close(sealed->fd); /* its bytes are elsewhere still */
		ct_cache_sealed_free(sealed);
		return r;
	}
	free(content->data);
	content->data = NULL;
	*ret_sealed = sealed;
	return 0;
}

void ct_cache_sealed_free(void *arg)
{
	struct ct_cache_sealed *sealed = arg;
	if (sealed->data != NULL)
		(void)munmap(sealed->data, sealed->size_bytes); /* our own mapping */
	(void)__atomic_sub_fetch(&sealed->places->used, 1, __ATOMIC_RELAXED);
	free(sealed);
}

uint64_t ct_cache_sealed_bytes(uint64_t size_bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	return (size_bytes + page - 1) / page * page;
}
