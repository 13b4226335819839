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

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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

static int map_input(const struct ct_worker_request *request, int fd, struct input *input,
    struct ct_worker_reply *reply)
{
	size_t length = (size_t)request->input_bytes;
	if (length == 0)
		return fail(reply, CT_ERROR_UNDECODABLE_IMAGE, "the image is empty");
	void *data = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return fail(reply, -errno, "the input cannot be mapped");
	*input = (struct input){ .data = data, .length = length };
	return 0;
}

static int refuse_type(const char *type, const char *wanted, struct ct_worker_reply *reply)
{
	(void)snprintf(reply->message, sizeof(reply->message), "it decodes as %s, not as %s",
	    type[0] != '\0' ? type : "something else", wanted);
	return CT_ERROR_TYPE_MISMATCH;
}

/* Before its decoder sees a byte of it. HEIF is looked into later. */
static int check_container(const struct ct_worker_request *request, const struct input *input,
    struct ct_worker_reply *reply)
{
	const char *wanted = request->type;
	const char *type = ct_decode_find(input->data, input->length);
	if (type == NULL)
		return fail(reply, CT_ERROR_UNDECODABLE_IMAGE, "it is not in a known format");
	if (strcmp(type, "image/heif") == 0 &&
	    (strcmp(wanted, "image/heic") == 0 || strcmp(wanted, "image/avif") == 0))
		return 0;
	return strcmp(type, wanted) == 0 ? 0 : refuse_type(type, wanted, reply);
}

static int check_heif(VipsImage *head, const char *wanted, struct ct_worker_reply *reply)
{
	if (strcmp(wanted, "image/heic") != 0 && strcmp(wanted, "image/avif") != 0)
		return 0;
	const char *type = ct_decode_heif_type(head);
	return strcmp(type, wanted) == 0 ? 0 : refuse_type(type, wanted, reply);
}

static int exceed(struct ct_worker_reply *reply, int error, uint64_t limit, uint64_t value)
{
	reply->limit = limit;
	reply->value = value;
	return error;
}

static int check_limits(
    VipsImage *head, const struct ct_worker_request *request, struct ct_worker_reply *reply)
{
	uint64_t pixels = (uint64_t)head->Xsize * (uint64_t)head->Ysize;
	uint64_t frames = (uint64_t)ct_decode_frames(head);
	uint64_t whole_bytes = ct_decode_whole_bytes(head, request->type);
	if (pixels > request->max_pixels) {
		(void)snprintf(reply->message, sizeof(reply->message),
		    "%d x %d are %" PRIu64 " pixels, the limit is %" PRIu64, head->Xsize,
		    head->Ysize, pixels, request->max_pixels);
		return exceed(reply, CT_ERROR_TOO_MANY_PIXELS, request->max_pixels, pixels);
	}
	int side = head->Xsize > head->Ysize ? head->Xsize : head->Ysize;
	if (side > CT_PLAN_MAX_IMAGE_SIDE) {
		(void)snprintf(reply->message, sizeof(reply->message),
		    "%d x %d: the limit for a side is %d pixels", head->Xsize, head->Ysize,
		    CT_PLAN_MAX_IMAGE_SIDE);
		return exceed(
		    reply, CT_ERROR_TOO_MANY_PIXELS, CT_PLAN_MAX_IMAGE_SIDE, (uint64_t)side);
	}
	if (frames > request->max_all_pixels / pixels) {
		(void)snprintf(reply->message, sizeof(reply->message),
		    "%" PRIu64 " frames of %d x %d are %" PRIu64
		    " pixels, the limit for all frames is %" PRIu64,
		    frames, head->Xsize, head->Ysize, pixels * frames, request->max_all_pixels);
		return exceed(
		    reply, CT_ERROR_TOO_MANY_FRAMES, request->max_all_pixels, pixels * frames);
	}
	if (whole_bytes > request->max_whole_bytes) {
		(void)snprintf(reply->message, sizeof(reply->message),
		    "interlaced or progressive, %d x %d must be held whole: %" PRIu64
		    " bytes, the limit is %" PRIu64,
		    head->Xsize, head->Ysize, whole_bytes, request->max_whole_bytes);
		return exceed(
		    reply, CT_ERROR_INTERLACED_TOO_LARGE, request->max_whole_bytes, whole_bytes);
	}
	return 0;
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

	int r = check_container(request, input, reply);
	if (r < 0)
		return r;
	if (ct_exif_is_endless(input->data, input->length))
		return fail(reply, CT_ERROR_UNDECODABLE_IMAGE,
		    "its EXIF directories name each other too often");
	if (ct_decode_open(input->data, input->length, &head) != 0)
		return ct_failure_take(reply->message);
	r = check_heif(head, request->type, reply);
	if (r == 0)
		r = check_limits(head, request, reply);
	if (r < 0)
		return r;
	bool swapped = vips_image_get_orientation_swap(head);
	reply->width = swapped ? head->Ysize : head->Xsize;
	reply->height = swapped ? head->Xsize : head->Ysize;
	reply->orientation = vips_image_get_orientation(head);
	reply->frames = ct_decode_frames(head);
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

static int refuse_print(const struct ct_worker_request *request, VipsImage *print, uint64_t bytes,
    struct ct_worker_reply *reply)
{
	(void)snprintf(reply->message, sizeof(reply->message),
	    "the print of %d x %d has %" PRIu64 " bytes, the limit is %" PRIu64, print->Xsize,
	    print->Ysize, bytes, request->max_print_bytes);
	return exceed(reply, CT_ERROR_PRINT_TOO_LARGE, request->max_print_bytes, bytes);
}

/* From the widest print to the smallest; each is the source of the next. */
static int make_prints(const struct ct_worker_request *request, const struct input *input,
    const struct ct_plan *plan, const int *fds, struct ct_worker_reply *reply)
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
		if (r == -EFBIG)
			return refuse_print(request, image, bytes, reply);
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
	return make_prints(request, &input, &plan, fds + 1, reply);
}

void ct_develop(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *ret_reply)
{
	*ret_reply = (struct ct_worker_reply){ .version = CT_WORKER_PROTOCOL_VERSION };
	ret_reply->status = develop(request, fds, ret_reply);
	if (ret_reply->status < 0 && ret_reply->message[0] == '\0')
		(void)fail(ret_reply, 0, "it failed without a reason");
}
