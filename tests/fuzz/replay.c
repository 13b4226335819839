/*
 * Runs a fuzz target over each file of the folder argv[1], whole, cut short, and with a few bytes
 * changed (always the same ones), so that a corpus tests more than itself.
 */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

#define MAX_FILE_BYTES (1u << 20)
#define MUTANTS 200 /* of each file */

/* A copy of its own, so that a sanitizer sees every byte read beyond it. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	FUZZ_CHECK(copy != NULL, "no memory");
	memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size); /* it aborts or returns 0 */
	free(copy);
}

static void run_mutants(uint8_t *data, size_t size)
{
	static const uint8_t likely[] = "\r\n-\"\\;=%,: *\0\x7f\xff"
					"09azAZ";
	uint32_t state = fuzz_seed(data, size);

	for (int i = 0; i < MUTANTS; i++) {
		size_t at = fuzz_random(&state) % size;
		uint8_t before = data[at];
		size_t length = i % 4 == 0 ? fuzz_random(&state) % size : size;
		data[at] = i % 2 == 0 ? likely[fuzz_random(&state) % (sizeof(likely) - 1)]
				      : (uint8_t)fuzz_random(&state);
		run(data, length);
		if (i % 8 != 7)
			data[at] = before;
	}
}

static size_t read_file(const char *folder, const char *name, uint8_t *data)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	FUZZ_CHECK(file != NULL, "%s", path);
	size_t size = fread(data, 1, MAX_FILE_BYTES, file);
	FUZZ_CHECK(ferror(file) == 0, "%s", path);
	(void)fclose(file);
	return size;
}

int main(int argc, char **argv)
{
	uint8_t *data = malloc(MAX_FILE_BYTES);
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	int count = 0;

	FUZZ_CHECK(folder != NULL && data != NULL, "usage: %s FOLDER", argv[0]);
	run(data, 0);
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		size_t size = read_file(argv[1], entry->d_name, data);
		run(data, size);
		if (size > 0)
			run_mutants(data, size);
		count++;
	}
	(void)closedir(folder);
	free(data);
	(void)printf("%d files\n", count);
	return count > 0 ? 0 : 1;
}
