#include "imaging/worker/decode.h"
#include "base/cleanup.h"
#include "imaging/worker/samples.h"

#include <dlfcn.h>
#include <gmodule.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

#define WARM_UP_SIDE 32
#define STACK_BYTES                                                                  \
	(1024 * 1024) /* of a codec's thread; the usual 8 MiB are address space lost \
		       */
#define PATH_BYTES 4096

CT_DEFINE_CLEANUP(image_cleanup, VipsImage *, ct_decode_free)

/* By which each type is told; HEIF holds several. */
static const struct signature {
	size_t at;
	const char *bytes;
	size_t length;
	const char *type;
} signatures[] = {
	{ 0, "\xff\xd8\xff", 3, "image/jpeg" },
	{ 0, "\x89PNG\r\n\x1a\n", 8, "image/png" },
	{ 8, "WEBP", 4, "image/webp" },
	{ 0, "GIF8", 4, "image/gif" },
	{ 4, "ftyp", 4, "image/heif" },
	{ 0, "II*\0", 4, "image/tiff" },
	{ 0, "MM\0*", 4, "image/tiff" },
};

void ct_decode_free(VipsImage *image)
{
	if (image != NULL)
		g_object_unref(image);
}

void ct_decode_free_pixels(uint8_t *pixels)
{
	g_free(pixels);
}

static void allow_few_loaders(void)
{
	static const char *const allowed[] = { "VipsForeignLoadJpeg", "VipsForeignLoadPng",
		"VipsForeignLoadWebp", "VipsForeignLoadNsgif", "VipsForeignLoadHeif",
		"VipsForeignLoadTiff" };
	vips_block_untrusted_set(TRUE);
	vips_operation_block_set("VipsForeignLoad", TRUE);
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		vips_operation_block_set(allowed[i], FALSE);
}

/*
 * Debian has the loader for HEIF in a module beside the library, among others (PDF, ImageMagick)
 * that are not to be loaded. If it is built in, or missing, there is nothing to do: then such files
 * are of no known format.
 */
static void load_heif_module(void)
{
	Dl_info library;
	char path[PATH_BYTES];
	if (vips_type_find("VipsOperation", "heifload_buffer") != 0)
		return;
	if (dladdr((void *)&vips_init, &library) == 0 || library.dli_fname == NULL)
		return;
	const char *slash = strrchr(library.dli_fname, '/');
	int chars = snprintf(path, sizeof(path), "%.*s/vips-modules-%d.%d/vips-heif.so",
	    slash != NULL ? (int)(slash - library.dli_fname) : 0, library.dli_fname,
	    VIPS_MAJOR_VERSION, VIPS_MINOR_VERSION);
	if (chars > 0 && (size_t)chars < sizeof(path))
		(void)g_module_open(path, G_MODULE_BIND_LOCAL); /* never closed */
}

int ct_decode_load(void)
{
	pthread_attr_t attributes;

	/*
	 * Modules are looked for under this folder: none is loaded. And an image that must be held
	 * whole is held in memory, under the limit, not on disk.
	 */
	if (setenv("VIPSHOME", "/nonexistent", 1) < 0)
		return -1;
	if (setenv("VIPS_DISC_THRESHOLD", "1000g", 1) < 0)
		return -1;
	if (pthread_attr_init(&attributes) != 0 ||
	    pthread_attr_setstacksize(&attributes, STACK_BYTES) != 0 ||
	    pthread_setattr_default_np(&attributes) != 0)
		return -1;
	if (VIPS_INIT("calotype-worker") != 0)
		return -1;
	load_heif_module();
	vips_cache_set_max(0);
	vips_concurrency_set(1);
	allow_few_loaders();
	return 0;
}

static int warm_up(const struct ct_sample *sample)
{
	struct ct_plan_print size = { WARM_UP_SIDE, WARM_UP_SIDE };
	ct_cleanup(image_cleanup) VipsImage *head = NULL;
	ct_cleanup(image_cleanup) VipsImage *print = NULL;

	if (ct_decode_open(sample->data, sample->length, &head) != 0)
		return -1;
	return ct_decode_print(sample->data, sample->length, true, size, &print);
}

int ct_decode_warm_up(void)
{
	bool with_heif = vips_type_find("VipsOperation", "heifload_buffer") != 0;
	for (size_t i = 0; i < ct_sample_count; i++) {
		bool is_heif = memcmp(ct_samples[i].data + 4, "ftyp", 4) == 0;
		if ((with_heif || !is_heif) && warm_up(&ct_samples[i]) != 0)
			return -1;
	}
	return 0;
}

const char *ct_decode_find(const void *data, size_t length)
{
	for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
		const struct signature *signature = &signatures[i];
		if (length >= signature->at + signature->length &&
		    memcmp((const char *)data + signature->at, signature->bytes,
			signature->length) == 0)
			return signature->type;
	}
	return NULL;
}

int ct_decode_open(const void *data, size_t length, VipsImage **ret_head)
{
	VipsImage *head =
	    vips_image_new_from_buffer(data, length, "", "access", VIPS_ACCESS_SEQUENTIAL, NULL);
	if (head == NULL)
		return -1;
	*ret_head = head;
	return 0;
}

const char *ct_decode_heif_type(VipsImage *head)
{
	const char *compression = NULL;
	if (vips_image_get_typeof(head, "heif-compression") == 0 ||
	    vips_image_get_string(head, "heif-compression", &compression) != 0)
		return "";
	if (strcmp(compression, "av1") == 0)
		return "image/avif";
	return strcmp(compression, "hevc") == 0 ? "image/heic" : "";
}

int ct_decode_frames(VipsImage *head)
{
	int frames = 1;
	if (vips_image_get_typeof(head, VIPS_META_N_PAGES) != 0 &&
	    vips_image_get_int(head, VIPS_META_N_PAGES, &frames) != 0)
		vips_error_clear();
	return frames > 0 ? frames : 1;
}

static bool has_flag(VipsImage *head, const char *name)
{
	int value = 0;
	return vips_image_get_typeof(head, name) != 0 &&
	       vips_image_get_int(head, name, &value) == 0 && value != 0;
}

/* Per pixel of the picture, all channels. A coefficient of JPEG has two bytes. */
uint64_t ct_decode_whole_bytes(VipsImage *head, const char *type)
{
	uint64_t pixels = (uint64_t)head->Xsize * (uint64_t)head->Ysize;
	if (strcmp(type, "image/jpeg") == 0 && has_flag(head, "jpeg-multiscan")) {
		const char *chroma = "";
		if (vips_image_get_typeof(head, "jpeg-chroma-subsample") != 0)
			(void)vips_image_get_string(head, "jpeg-chroma-subsample", &chroma);
		bool is_halved = strcmp(chroma, "4:2:0") == 0;
		return is_halved ? pixels * 3 : pixels * (uint64_t)head->Bands * 2;
	}
	if (strcmp(type, "image/png") == 0 && has_flag(head, "interlaced"))
		return pixels * VIPS_IMAGE_SIZEOF_PEL(head);
	return 0;
}

static bool is_plain(const VipsImage *image)
{
	return image->BandFmt == VIPS_FORMAT_UCHAR && image->Type == VIPS_INTERPRETATION_sRGB &&
	       (image->Bands == 3 || image->Bands == 4);
}

/* Loading is lazy: only here are pixels read, and damage is seen. */
static int into_memory(VipsImage *image, VipsImage **ret_image)
{
	ct_cleanup(image_cleanup) VipsImage *plain = NULL;
	ct_cleanup(image_cleanup) VipsImage *copy = NULL;

	if (!is_plain(image)) {
		if (vips_colourspace(image, &plain, VIPS_INTERPRETATION_sRGB, NULL) != 0)
			return -1;
		image = plain;
	}
	copy = vips_image_copy_memory(image);
	if (copy == NULL)
		return -1;
	if (!is_plain(copy)) {
		vips_error("decode", "unusual number of channels: %d", copy->Bands);
		return -1;
	}
	*ret_image = ct_steal(copy);
	return 0;
}

/*
 * Only colours with a profile are converted: libvips shifts those without one when it is told to
 * export, a pure blue by a fifth.
 */
bool ct_decode_needs_conversion(VipsImage *head)
{
	return vips_image_get_typeof(head, VIPS_META_ICC_NAME) != 0 ||
	       head->Type == VIPS_INTERPRETATION_CMYK;
}

int ct_decode_print(
    const void *data, size_t length, bool convert, struct ct_plan_print size, VipsImage **ret_image)
{
	ct_cleanup(image_cleanup) VipsImage *lazy = NULL;
	const char *conversion = convert ? "export_profile" : NULL;

	/*
	 * FORCE gives the very size of the plan. The argument fail_on would have no effect here;
	 * in the options of the loader it has. A NULL name ends the list.
	 */
	if (vips_thumbnail_buffer((void *)data, length, &lazy, size.width, "height", size.height,
		"size", VIPS_SIZE_FORCE, "option_string", "[fail_on=error]", conversion, "srgb",
		NULL) != 0)
		return -1;
	return into_memory(lazy, ret_image);
}

int ct_decode_shrink(VipsImage *image, struct ct_plan_print size, VipsImage **ret_image)
{
	ct_cleanup(image_cleanup) VipsImage *lazy = NULL;

	if (vips_thumbnail_image(image, &lazy, size.width, "height", size.height, "size",
		VIPS_SIZE_FORCE, "no_rotate", TRUE, NULL) != 0)
		return -1;
	return into_memory(lazy, ret_image);
}

static int flatten(VipsImage *image, VipsImage **ret_image)
{
	double white[] = { 255, 255, 255 };
	ct_cleanup(image_cleanup) VipsImage *flat = NULL;
	VipsArrayDouble *background = vips_array_double_new(white, 3);

	int r = image->Bands == 4 ? vips_flatten(image, &flat, "background", background, NULL)
				  : vips_copy(image, &flat, NULL);
	vips_area_unref(VIPS_AREA(background));
	if (r != 0)
		return -1;
	*ret_image = ct_steal(flat);
	return 0;
}

int ct_decode_square(VipsImage *image, int side, uint8_t **ret_pixels)
{
	ct_cleanup(image_cleanup) VipsImage *flat = NULL;
	ct_cleanup(image_cleanup) VipsImage *square = NULL;
	size_t length = 0;

	if (flatten(image, &flat) != 0)
		return -1;
	if (ct_decode_shrink(flat, (struct ct_plan_print){ side, side }, &square) != 0)
		return -1;
	void *pixels = vips_image_write_to_memory(square, &length);
	if (pixels == NULL)
		return -1;
	if (length != (size_t)side * (size_t)side * 3) {
		g_free(pixels);
		vips_error("decode", "unexpected picture for the hash");
		return -1;
	}
	*ret_pixels = pixels;
	return 0;
}
