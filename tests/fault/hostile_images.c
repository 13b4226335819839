/*
 * hostile_images WORKER CORPUS VALID COUNT [SEED]: gives every file of the folder CORPUS, then
 * COUNT mutants of the files in VALID, to a pool of two real workers with the limits of the server,
 * and checks what must hold of each: an answer in time, memory within its limit, and an error that
 * is about the image and says why. After each failure that cost a worker a good image must come out
 * well. The type that is claimed is told by the suffix. SEED [1] is that of the first mutant; a
 * failure names the seed.
 *
 * Prints `key value` lines; exit 1 when something does not hold.
 */
#include "mutate.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/file.h"
#include "calotype/error.h"
#include "imaging/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 2
#define MAX_FILES 1024
#define DEADLINE_MS 20000
#define LATE_MS 2000 /* to kill, to be woken, on a machine that does other things too */
#define MEMORY_MIB 512
#define MAX_CODES 16
#define NAME_BYTES 256

struct file {
	char name[NAME_BYTES];
	struct bytes bytes;
};

struct count {
	int code;
	unsigned long times;
};

static struct ct_imaging_pool *pool;
static struct file corpus[MAX_FILES];
static struct file valid[MAX_FILES];
static size_t corpus_count;
static size_t valid_count;
static uint64_t first_seed = 1;
static unsigned long mutant_count;
static atomic_ulong next_task;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under lock. */
static struct count counts[MAX_CODES];
static size_t code_count;
static int64_t worst_ms;
static char worst_name[NAME_BYTES];
static unsigned long wrong;

/* ---- files ---- */

static struct bytes read_all(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CT_ASSERT(fd >= 0 && fstat(fd, &status) == 0);
	struct bytes bytes = { malloc((size_t)status.st_size + 1), (size_t)status.st_size };
	CT_ASSERT(bytes.data != NULL);
	CT_ASSERT(ct_file_pread_all(fd, bytes.data, bytes.length, 0) == 0);
	CT_ASSERT(close(fd) == 0);
	return bytes;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static size_t read_folder(const char *folder, struct file *files)
{
	DIR *directory = opendir(folder);
	struct dirent *entry;
	size_t count = 0;
	CT_ASSERT(directory != NULL);
	while ((entry = readdir(directory)) != NULL) {
		char path[4096];
		if (entry->d_name[0] == '.')
			continue;
		CT_ASSERT(count < MAX_FILES);
		CT_ASSERT(ct_path_join(folder, entry->d_name, path, sizeof(path)) == 0);
		(void)snprintf(files[count].name, NAME_BYTES, "%.200s", entry->d_name);
		files[count].bytes = read_all(path);
		count++;
	}
	CT_ASSERT(closedir(directory) == 0 && count > 0);
	qsort(files, count, sizeof(files[0]), by_name);
	return count;
}

static const char *type_of(const char *name)
{
	static const char *const types[][2] = { { "jpg", "image/jpeg" }, { "png", "image/png" },
		{ "webp", "image/webp" }, { "gif", "image/gif" }, { "heic", "image/heic" },
		{ "avif", "image/avif" }, { "tif", "image/tiff" } };
	const char *dot = strrchr(name, '.');
	for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(dot + 1, types[i][0]) == 0)
			return types[i][1];
	}
	(void)fprintf(stderr, "hostile_images: what is %s?\n", name);
	exit(2);
}

/* ---- one image ---- */

static int develop(const struct bytes *bytes, const char *type, char *ret_message)
{
	struct ct_developed developed;
	struct ct_imaging_failure failure;
	int fd = memfd_create("hostile", MFD_CLOEXEC);
	CT_ASSERT(fd >= 0);
	CT_ASSERT(write(fd, bytes->data, bytes->length) == (ssize_t)bytes->length);
	int r = ct_imaging_pool_develop(
	    pool, fd, type, ct_plan_widths, ct_plan_width_count, NULL, &developed, &failure);
	memcpy(ret_message, failure.message, sizeof(failure.message));
	CT_ASSERT(close(fd) == 0);
	if (r == 0)
		ct_developed_done(&developed);
	return r;
}

/* What may come of an image, whatever it holds. */
static bool is_about_the_image(int code)
{
	switch (code) {
	case 0:
	case CT_ERROR_UNDECODABLE_IMAGE:
	case CT_ERROR_TYPE_MISMATCH:
	case CT_ERROR_TOO_MANY_PIXELS:
	case CT_ERROR_TOO_MANY_FRAMES:
	case CT_ERROR_INTERLACED_TOO_LARGE:
	case CT_ERROR_PRINT_TOO_LARGE:
	case CT_ERROR_WORKER_CRASHED:
	case CT_ERROR_WORKER_MEMORY:
	case CT_ERROR_WORKER_TIMEOUT: return true;
	default: return false;
	}
}

static void count_locked(int code)
{
	size_t i = 0;
	while (i < code_count && counts[i].code != code)
		i++;
	CT_ASSERT(i < MAX_CODES);
	counts[i].code = code;
	counts[i].times++;
	if (i == code_count)
		code_count++;
}

static void complain(const char *name, const char *what, const char *message)
{
	(void)printf("wrong %s: %s: %s\n", name, what, message);
	pthread_mutex_lock(&lock);
	wrong++;
	pthread_mutex_unlock(&lock);
}

static void judge(const char *name, int code, int64_t took_ms, const char *message)
{
	pthread_mutex_lock(&lock);
	count_locked(code);
	if (took_ms > worst_ms) {
		worst_ms = took_ms;
		(void)snprintf(worst_name, sizeof(worst_name), "%s", name);
	}
	pthread_mutex_unlock(&lock);
	if (!is_about_the_image(code))
		complain(name, ct_error_name(code), message);
	if (code != 0 && message[0] == '\0')
		complain(name, ct_error_name(code), "no reason is given");
	if (took_ms > DEADLINE_MS + LATE_MS)
		complain(name, "late", message);
	if (code == CT_ERROR_WORKER_CRASHED || code == CT_ERROR_WORKER_TIMEOUT ||
	    getenv("HOSTILE_VERBOSE") != NULL)
		(void)printf("note %s: %lld ms: %s: %s\n", name, (long long)took_ms,
		    code == 0 ? "ok" : ct_error_name(code), message);
}

static void check_good_one(const char *after)
{
	char message[CT_IMAGING_MESSAGE_BYTES];
	const struct file *good = &valid[0];
	int r = develop(&good->bytes, type_of(good->name), message);
	if (r != 0)
		complain(after, "the good image after it", message);
}

static void try_one(const char *name, const struct bytes *bytes, const char *type)
{
	char message[CT_IMAGING_MESSAGE_BYTES];
	int64_t start = ct_clock_monotonic_ms();
	int code = develop(bytes, type, message);
	judge(name, code, ct_clock_monotonic_ms() - start, message);
	if (code == CT_ERROR_WORKER_CRASHED || code == CT_ERROR_WORKER_MEMORY ||
	    code == CT_ERROR_WORKER_TIMEOUT)
		check_good_one(name);
}

static void try_mutant(uint64_t seed)
{
	const struct file *file = &valid[seed % valid_count];
	const struct file *neighbour = &valid[seed / valid_count % valid_count];
	char name[NAME_BYTES + 32];
	struct bytes mutant = mutate(seed, &file->bytes, &neighbour->bytes);
	(void)snprintf(
	    name, sizeof(name), "seed %llu of %.180s", (unsigned long long)seed, file->name);
	try_one(name, &mutant, type_of(file->name));
	free(mutant.data);
}

static void *run(void *arg)
{
	unsigned long task;
	while ((task = atomic_fetch_add(&next_task, 1)) < corpus_count + mutant_count) {
		if (task < corpus_count)
			try_one(corpus[task].name, &corpus[task].bytes, type_of(corpus[task].name));
		else
			try_mutant(first_seed + task - corpus_count);
	}
	return arg;
}

/* ---- the whole ---- */

static void run_threads(void)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		CT_ASSERT(pthread_create(&threads[i], NULL, run, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CT_ASSERT(pthread_join(threads[i], NULL) == 0);
}

static void report(int64_t took_ms)
{
	struct rusage children;
	CT_ASSERT(getrusage(RUSAGE_CHILDREN, &children) == 0);
	for (size_t i = 0; i < code_count; i++)
		(void)printf("count %s %lu\n",
		    counts[i].code == 0 ? "prints_made" : ct_error_name(counts[i].code),
		    counts[i].times);
	(void)printf("corpus %zu\nmutants %lu\n", corpus_count, mutant_count);
	(void)printf("worst_ms %lld %s\n", (long long)worst_ms, worst_name);
	(void)printf("worst_mib %ld\n", children.ru_maxrss >> 10);
	(void)printf("took_s %.1f\n", (double)took_ms / 1000);
	if (children.ru_maxrss >> 10 > MEMORY_MIB)
		complain("all", "memory", "a worker had more than its limit");
	(void)printf("wrong %lu\n", wrong);
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		(void)fprintf(stderr, "usage: hostile_images WORKER CORPUS VALID COUNT [SEED]\n");
		return 2;
	}
	const struct ct_imaging_options options = {
		.worker_path = argv[1],
		.max_workers = THREADS,
		.memory_mib = MEMORY_MIB,
		.deadline_ms = DEADLINE_MS,
	};
	corpus_count = read_folder(argv[2], corpus);
	valid_count = read_folder(argv[3], valid);
	mutant_count = strtoul(argv[4], NULL, 10);
	if (argc > 5)
		first_seed = strtoull(argv[5], NULL, 10);
	CT_ASSERT(ct_imaging_pool_new(&options, &pool) == 0);
	int64_t start = ct_clock_monotonic_ms();
	run_threads();
	check_good_one("all");
	ct_imaging_pool_free(pool);
	report(ct_clock_monotonic_ms() - start);
	return wrong == 0 ? 0 : 1;
}
