/*
 * Figures with a million images: opening, a page, a point read, the sweep, and what the server
 * would hold in memory. Arguments: the database's path, which is kept, and the number of images.
 */
#include "support.h"
#include "base/clock.h"
#include "metadata/blobs.h"
#include "metadata/images.h"
#include "metadata/jobs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IMAGES_A_TRANSACTION 1000
#define READERS 16

static void check(int r, const char *what)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, ct_error_name(r));
	exit(1);
}

static uint32_t scatter(int number)
{
	return (uint32_t)number * 2654435761u;
}

static int insert_images(struct ct_metadata_view *view, void *arg)
{
	int first = *(int *)arg;
	int r = 0;
	for (int i = first; i < first + IMAGES_A_TRANSACTION && r >= 0; i++) {
		struct ct_image_row row =
		    make_image((int)scatter(i), CT_IMAGE_READY, (int)scatter(i), 1000 + i / 3);
		(void)snprintf(row.id, sizeof(row.id), "%08x%024x", scatter(i), (unsigned)i);
		memset(row.exif, 'x', 200);
		uint32_t key = scatter(i);
		memcpy(row.digest.bytes, &key, sizeof(key));
		const struct ct_blob_row blob = { .digest = row.digest,
			.size_bytes = 5000000,
			.type = "image/jpeg",
			.created_at = i,
			.last_ref_at = i };
		r = ct_blob_reference(view, &blob);
		if (r >= 0)
			r = ct_image_insert(view, &row);
		struct ct_job_row job = make_job(i, i);
		job.state = CT_JOB_SUCCEEDED;
		job.finished_at = i;
		if (r >= 0 && i % 10 == 0)
			r = ct_job_insert(view, &job);
	}
	return r;
}

static long resident_kib(void)
{
	long size;
	long resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (file != NULL && fscanf(file, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	if (file != NULL)
		(void)fclose(file);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int64_t measure_open(const char *path, struct ct_metadata **ret_metadata)
{
	const struct ct_metadata_options options = { .path = path };
	int64_t start = ct_clock_monotonic_us();
	check(ct_metadata_open(&options, ret_metadata), "open");
	return ct_clock_monotonic_us() - start;
}

static void measure_reads(struct ct_metadata_view *view, int images)
{
	static struct ct_image_row rows[200];
	struct ct_image_row row;
	char id[CT_ID_CHARS + 1];
	enum { ROUNDS = 1000 };
	int64_t start = ct_clock_monotonic_us();
	for (int i = 0; i < ROUNDS; i++) {
		int number = (int)(scatter(i + 7) % (unsigned)images);
		(void)snprintf(id, sizeof(id), "%08x%024x", scatter(number), (unsigned)number);
		check(ct_image_get(view, id, &row), "image_get");
	}
	(void)printf("point read: %.1f us\n", (double)(ct_clock_monotonic_us() - start) / ROUNDS);
	start = ct_clock_monotonic_us();
	for (int i = 0; i < ROUNDS; i++) {
		int64_t at = 1000 + (int64_t)(scatter(i) % (unsigned)images) / 3;
		check(ct_image_list(view, CT_IMAGE_READY, at, "8", rows, 50), "image_list");
	}
	(void)printf(
	    "page of 50 anywhere: %.1f us\n", (double)(ct_clock_monotonic_us() - start) / ROUNDS);
	start = ct_clock_monotonic_us();
	check(ct_image_list(view, CT_IMAGE_READY, 0, "", rows, 200), "image_list");
	(void)printf("newest 200: %.1f us\n", (double)(ct_clock_monotonic_us() - start));
}

static int begin_sweep(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	static struct ct_blob_row rows[100];
	return ct_blob_begin_sweep(view, INT64_MAX, rows, 100);
}

static int purge_nothing(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	return ct_job_purge(view, 0, 1000);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/tmp/ct-million.db";
	int images = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1000000;
	struct ct_metadata *metadata = NULL;
	bool is_new = access(path, F_OK) != 0;
	(void)printf("open: %.2f ms\n", (double)measure_open(path, &metadata) / 1000);
	(void)printf("resident: %ld KiB\n", resident_kib());
	int64_t start = ct_clock_monotonic_us();
	for (int first = 0; is_new && first < images; first += IMAGES_A_TRANSACTION)
		check(ct_metadata_write(metadata, insert_images, &first), "insert");
	(void)printf("insert: %.1f s\n", (double)(ct_clock_monotonic_us() - start) / 1e6);
	(void)printf("resident: %ld KiB\n", resident_kib());

	struct ct_metadata_view *views[READERS];
	check(ct_metadata_borrow(metadata, &views[0]), "borrow");
	measure_reads(views[0], images);
	for (int i = 1; i < READERS; i++) {
		check(ct_metadata_borrow(metadata, &views[i]), "borrow");
		struct ct_image_row rows[50];
		check(ct_image_list(views[i], CT_IMAGE_READY, 0, "", rows, 50), "image_list");
	}
	(void)printf("resident with %d readers: %ld KiB\n", READERS, resident_kib());
	for (int i = 0; i < READERS; i++)
		ct_metadata_give_back(metadata, views[i]);
	start = ct_clock_monotonic_us();
	check(ct_metadata_write(metadata, begin_sweep, NULL), "sweep");
	(void)printf(
	    "sweep of nothing: %.2f ms\n", (double)(ct_clock_monotonic_us() - start) / 1000);
	start = ct_clock_monotonic_us();
	check(ct_metadata_write(metadata, purge_nothing, NULL), "purge");
	(void)printf(
	    "purge of nothing: %.2f ms\n", (double)(ct_clock_monotonic_us() - start) / 1000);
	start = ct_clock_monotonic_us();
	ct_metadata_close(metadata);
	(void)printf("close: %.2f ms\n", (double)(ct_clock_monotonic_us() - start) / 1000);
	return 0;
}
