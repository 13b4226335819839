/*
 * The file is decoded once, at the size of its largest print, where JPEG and WebP skip what is not
 * needed; each smaller print is made of the one before.
 */
#include "imaging/worker/develop.h"
#include "base/cleanup.h"
#include "calotype/error.h"
#include "imaging/worker/blurhash.h"
#include "imaging/worker/decode.h"
#include "imaging/worker/encode.h"
#include "imaging/worker/exif.h"
#include "imaging/worker/failure.h"
#include "imaging/worker/limits.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <vips/vips.h>

#define HASH_SIDE 32

CT_DEFINE_CLEANUP(image_cleanup, VipsImage *, ct_decode_free)
CT_DEFINE_CLEANUP(pixels_cleanup, uint8_t *, ct_decode_free_pixels)

struct input {
	void *data;
	size_t length;
	bool convert; /* its colours */
};

static void unmap(struct input *input)
{
	if (input->data != NULL)
		(void)munmap(input->data, input->length); /* only fails for what is not mapped */
}

static int fail(struct ct_worker_reply *reply, int error, const char *message)
{
	(void)snprintf(reply->message, sizeof(reply->message), "%s", message);
	return error;
}

/* The limits come first: they count the mapping, and nothing hostile is touched before. */
static int map_input(const struct ct_worker_request *request, int fd, struct input *input,
    struct ct_worker_reply *reply)
{
	struct stat status;
	if (fstat(fd, &status) < 0)
		return fail(reply, -errno, "the input cannot be read");
	if (status.st_size <= 0)
		return fail(reply, CT_ERROR_UNDECODABLE_IMAGE, "the image is empty");
	int r = ct_limits_arm(request->memory_bytes, (uint64_t)status.st_size,
	    request->max_print_bytes, request->cpu_s);
	if (r < 0)
		return fail(reply, r, "the limits cannot be set");
	void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED && errno == ENOMEM)
		return fail(reply, CT_ERROR_WORKER_MEMORY, "the file does not fit into memory");
	if (data == MAP_FAILED)
		return fail(reply, -errno, "the input cannot be mapped");
	*input = (struct input){ .data = data, .length = (size_t)status.st_size };
	return 0;
}

static int check_type(
    VipsImage *head, const struct ct_worker_request *request, struct ct_worker_reply *reply)
{
	const char *type = ct_decode_type(head);
	if (strcmp(type, request->type) == 0)
		return 0;
	(void)snprintf(reply->message, sizeof(reply->message), "it decodes as %s, not as %s",
	    type[0] != '\0' ? type : "something else", request->type);
	return CT_ERROR_TYPE_MISMATCH;
}

static int check_pixels(
    VipsImage *head, const struct ct_worker_request *request, struct ct_worker_reply *reply)
{
	uint64_t pixels = (uint64_t)head->Xsize * (uint64_t)head->Ysize;
	if (pixels <= request->max_pixels)
		return 0;
	(void)snprintf(reply->message, sizeof(reply->message),
	    "%d x %d are %llu pixels, the limit is %llu", head->Xsize, head->Ysize,
	    (unsigned long long)pixels, (unsigned long long)request->max_pixels);
	return CT_ERROR_TOO_MANY_PIXELS;
}

/* Metadata that cannot be read is metadata that is not there. */
static void read_metadata(VipsImage *head, struct ct_worker_reply *reply)
{
	const void *data = NULL;
	size_t length = 0;
	if (vips_image_get_typeof(head, VIPS_META_EXIF_NAME) != 0 &&
	    vips_image_get_blob(head, VIPS_META_EXIF_NAME, &data, &length) == 0)
		ct_exif_read(data, length, &reply->exif);
	static const char gps[] = "GPSLatitude";
	if (vips_image_get_typeof(head, VIPS_META_XMP_NAME) != 0 &&
	    vips_image_get_blob(head, VIPS_META_XMP_NAME, &data, &length) == 0 &&
	    memmem(data, length, gps, sizeof(gps) - 1) != NULL)
		reply->exif.has_gps = 1;
	vips_error_clear();
}

static int read_head(
    const struct ct_worker_request *request, struct input *input, struct ct_worker_reply *reply)
{
	ct_cleanup(image_cleanup) VipsImage *head = NULL;

	if (ct_decode_open(input->data, input->length, &head) != 0)
		return ct_failure_take(reply->message);
	int r = check_type(head, request, reply);
	if (r == 0)
		r = check_pixels(head, request, reply);
	if (r < 0)
		return r;
	bool swapped = vips_image_get_orientation_swap(head);
	reply->width = swapped ? head->Ysize : head->Xsize;
	reply->height = swapped ? head->Xsize : head->Ysize;
	reply->orientation = vips_image_get_orientation(head);
	reply->frames = vips_image_get_n_pages(head);
	input->convert = ct_decode_needs_conversion(head);
	read_metadata(head, reply);
	return 0;
}

static int make_hash(VipsImage *image, struct ct_worker_reply *reply)
{
	ct_cleanup(pixels_cleanup) uint8_t *pixels = NULL;

	_Static_assert(CT_BLURHASH_CHARS < CT_WORKER_BLURHASH_BYTES, "fits");
	if (ct_decode_square(image, HASH_SIDE, &pixels) != 0)
		return ct_failure_take(reply->message);
	ct_blurhash_encode(pixels, HASH_SIDE, HASH_SIDE, reply->blurhash);
	return 0;
}

/* From the widest print to the smallest; each is the source of the next. */
static int make_prints(const struct input *input, const struct ct_plan *plan, const int *fds,
    struct ct_worker_reply *reply)
{
	ct_cleanup(image_cleanup) VipsImage *image = NULL;

	for (size_t i = plan->count; i-- > 0;) {
		struct ct_plan_print size = plan->prints[i];
		VipsImage *print = NULL;
		int failed = image != NULL ? ct_decode_shrink(image, size, &print)
					   : ct_decode_print(input->data, input->length,
						 input->convert, size, &print);
		if (failed != 0)
			return ct_failure_take(reply->message);
		ct_decode_free(image);
		image = print;
		uint64_t bytes = 0;
		int r = ct_encode_print(image, fds[i], &bytes, reply->message);
		if (r < 0)
			return r;
		reply->prints[i] = (struct ct_worker_print){ image->Xsize, image->Ysize, bytes };
	}
	reply->print_count = (uint32_t)plan->count;
	return make_hash(image, reply);
}

static int develop(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	ct_cleanup(unmap) struct input input = { 0 };
	struct ct_plan plan;

	int r = map_input(request, fds[0], &input, reply);
	if (r == 0)
		r = read_head(request, &input, reply);
	if (r < 0)
		return r;
	r = ct_plan_prints(
	    reply->width, reply->height, request->widths, request->width_count, &plan);
	if (r < 0)
		return fail(reply, r, "the sizes make no sense");
	return make_prints(&input, &plan, fds + 1, reply);
}

void ct_develop(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *ret_reply)
{
	*ret_reply = (struct ct_worker_reply){ .version = CT_WORKER_PROTOCOL_VERSION };
	ret_reply->status = develop(request, fds, ret_reply);
	if (ret_reply->status < 0 && ret_reply->message[0] == '\0')
		(void)fail(ret_reply, 0, "it failed without a reason");
}
