/* Bodies in sealed memory files: what they are, when they are made, how they are counted. */
#include "cache_support.h"
#include "cache/sealed_priv.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#define OVERHEAD (sizeof(struct ct_cache_entry) + CT_CACHE_OVERHEAD_BYTES)

static const char *const tags[CT_CACHE_TAG_MAX] = { "image", "digest" };

static struct ct_cache_content content_of(size_t size)
{
	struct ct_cache_content content = { .data = malloc(size), .fd = -1, .size_bytes = size };
	cr_assert_not_null(content.data);
	for (size_t i = 0; i < size; i++)
		((unsigned char *)content.data)[i] = (unsigned char)(i % 251);
	return content;
}

Test(sealed, cannot_be_changed)
{
	const size_t size = 100001;
	struct ct_cache_places places = { .max = 1 };
	struct ct_cache_content content = content_of(size);
	struct ct_cache_sealed *sealed = NULL;
	cr_assert_eq(ct_cache_sealed_new(&places, &content, &sealed), 0);
	cr_expect_null(content.data);
	cr_expect_eq(sealed->size_bytes, size);
	unsigned char *copy = malloc(size + 1);
	cr_assert_eq(pread(sealed->fd, copy, size + 1, 0), (ssize_t)size);
	cr_expect_eq(memcmp(copy, sealed->data, size), 0);
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(copy[i], i % 251);
	cr_expect_eq(pwrite(sealed->fd, "x", 1, 0), -1);
	cr_expect_eq(errno, EPERM);
	cr_expect_eq(ftruncate(sealed->fd, 0), -1);
	cr_expect_eq(ftruncate(sealed->fd, (off_t)size + 1), -1);
	cr_expect_eq(fcntl(sealed->fd, F_GET_SEALS),
	    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	cr_expect_eq(fcntl(sealed->fd, F_GETFD), FD_CLOEXEC);
	free(copy);
	(void)close(sealed->fd);
	ct_cache_sealed_free(sealed);
}

/* Of /proc/self/smaps: how many lines contain `text`, and the sum of the numbers behind it. */
static int count_maps(const char *text, long *ret_sum)
{
	char line[1024];
	int count = 0;
	FILE *maps = fopen("/proc/self/smaps", "r");
	cr_assert_not_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL) {
		const char *at = strstr(line, text);
		count += at != NULL;
		if (at != NULL && ret_sum != NULL)
			*ret_sum += strtol(at + strlen(text), NULL, 10);
	}
	(void)fclose(maps);
	return count;
}

/* Address space that is kept and not used. */
static unsigned long reserved_bytes(void)
{
	char line[1024], rights[5];
	unsigned long sum = 0, from, to;
	FILE *maps = fopen("/proc/self/maps", "r");
	cr_assert_not_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL)
		if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 &&
		    strcmp(rights, "---p") == 0)
			sum += to - from;
	(void)fclose(maps);
	return sum;
}

#define HUGE ((size_t)2 << 20)

/* Does this kernel make one of 512 small pages when it is asked? */
static bool has_huge_pages(void)
{
	bool has = false;
	int fd = memfd_create("probe", MFD_CLOEXEC);
	char *start = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert(fd >= 0 && ftruncate(fd, HUGE) == 0 && start != MAP_FAILED);
	char *at = start + (HUGE - (uintptr_t)start % HUGE) % HUGE;
	if (mmap(at, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == at) {
		memset(at, 1, HUGE);
		has = madvise(at, HUGE, MADV_COLLAPSE) == 0;
	}
	(void)munmap(start, 2 * HUGE);
	(void)close(fd);
	return has;
}

Test(sealed, large_ones_have_huge_pages)
{
	const size_t size = 2 * HUGE + 100001;
	struct ct_cache_places places = { .max = 1 };
	bool has_huge = has_huge_pages();
	struct ct_cache_content content = content_of(size);
	struct ct_cache_sealed *sealed = NULL;
	int before = count_maps("calotype-body", NULL);
	cr_assert_eq(before, 0);
	cr_assert_eq(ct_cache_sealed_new(&places, &content, &sealed), 0);
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(((unsigned char *)sealed->data)[i], i % 251);
	cr_expect_eq(count_maps("calotype-body", NULL), 1);
	cr_expect_eq((uintptr_t)sealed->data % HUGE, 0);
	if (has_huge) {
		long kib = 0;
		(void)count_maps("ShmemPmdMapped:", &kib);
		cr_expect_eq(kib, 2 * 2048);
	}
	cr_expect_eq(fcntl(sealed->fd, F_GET_SEALS),
	    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	(void)close(sealed->fd);
	ct_cache_sealed_free(sealed);
	cr_expect_eq(count_maps("calotype-body", NULL), 0);
}

Test(sealed, nothing_of_the_address_space_stays_behind)
{
	for (size_t i = 0; i < 20; i++) {
		struct ct_cache_places places = { .max = 1 };
		struct ct_cache_content content = content_of(HUGE + i * 4097);
		struct ct_cache_sealed *sealed = NULL;
		unsigned long before = reserved_bytes();
		cr_assert_eq(ct_cache_sealed_new(&places, &content, &sealed), 0);
		/* Less is left when an allocator takes of what it had reserved. */
		cr_assert_leq(reserved_bytes(), before);
		(void)close(sealed->fd);
		ct_cache_sealed_free(sealed);
		cr_assert_leq(reserved_bytes(), before);
	}
}

Test(sealed, places_are_bounded)
{
	struct ct_cache_places places = { .max = 1 };
	struct ct_cache_content one = content_of(10), two = content_of(10);
	struct ct_cache_sealed *sealed = NULL, *other = NULL;
	cr_assert_eq(ct_cache_sealed_new(&places, &one, &sealed), 0);
	cr_expect_eq(ct_cache_sealed_new(&places, &two, &other), -EMFILE);
	cr_expect_not_null(two.data);
	cr_expect_eq(places.used, 1u);
	(void)close(sealed->fd);
	ct_cache_sealed_free(sealed);
	cr_assert_eq(ct_cache_sealed_new(&places, &two, &other), 0);
	(void)close(other->fd);
	ct_cache_sealed_free(other);
	cr_expect_eq(places.used, 0u);
}

static int open_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* One entry more: what it adds to the bytes and to the open descriptors. */
static void expect_entry(const char *key, size_t size, uint64_t bytes, int descriptors)
{
	struct fill_plan plan;
	struct asked asked;
	char way[512];
	uint64_t bytes_before = cache_figures().bytes;
	int open_before = open_descriptors();
	plan_init(&plan, "photo");
	plan.size_bytes = size;
	cr_assert_eq(get(key, tags, &plan, way, NULL), 200);
	cr_expect_str_eq(way, "fwd=miss; stored");
	plan_wait_freed(&plan, 1);
	cr_expect_eq(cache_figures().bytes - bytes_before, OVERHEAD + bytes, "%s", key);
	cr_expect_eq(open_descriptors() - open_before, descriptors, "%s", key);
	for (int i = 0; i < 2; i++) {
		const struct fake_ask what = { .method = CT_HTTP_GET,
			.range = i == 1 ? "bytes=0-6" : NULL };
		ask_for(&asked, &what, key, tags, &plan);
		cr_expect_eq(asked.exchange.status, i == 1 ? 206 : 200);
		cr_expect_eq(asked.exchange.was_shared, i == 0);
		cr_expect_eq(strncmp(asked.exchange.body, "photo  ", 7), 0);
		cr_expect_eq(strlen(asked.exchange.body), i == 1 ? 7 : size);
		asked_done(&asked);
	}
}

Test(sealed, from_a_size_on_and_in_whole_pages)
{
	const size_t min = CT_CACHE_SEALED_MIN, page = (size_t)sysconf(_SC_PAGESIZE);
	cache_start(&(struct ct_cache_options){ 0 }, 1, 8);
	expect_entry("below", min - 1, min - 1, 0);
	int open_before = open_descriptors();
	expect_entry("at", min, min, 1);
	expect_entry("above", min + 1, min + page, 1);
	ct_cache_purge_tag(cache, "image");
	cr_expect_eq(cache_figures().bytes, 0u);
	cr_expect_eq(open_descriptors(), open_before);
	cache_stop();
}

#define LARGE ((size_t)600000)
#define LARGE_PAGES ((uint64_t)147 * 4096)

Test(sealed, on_the_heap_where_descriptors_are_used_up)
{
	cache_start(&(struct ct_cache_options){ .max_sealed = 2 }, 1, 8);
	expect_entry("one", LARGE, LARGE_PAGES, 1);
	expect_entry("two", LARGE, LARGE_PAGES, 1);
	expect_entry("three", LARGE, LARGE, 0);
	ct_cache_purge_tag(cache, "image");
	expect_entry("four", LARGE, LARGE_PAGES, 1);
	cache_stop();
}

/* Also where the kernel gives none. */
Test(sealed, on_the_heap_where_the_kernel_refuses)
{
	int all[256], count = 0;
	cache_start(&(struct ct_cache_options){ 0 }, 1, 8);
	expect_entry("warm", 10, 10, 0);
	struct rlimit limit, none;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 64;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (count < 256 && (all[count] = dup(0)) >= 0)
		count++;
	cr_assert_lt(count, 256);
	expect_entry("key", LARGE, LARGE, 0);
	while (count > 0)
		(void)close(all[--count]);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cache_stop();
}
