#include "imaging/worker/decode.h"
#include "base/cleanup.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

#define WARM_UP_SIDE 64

CT_DEFINE_CLEANUP(image_cleanup, VipsImage *, ct_decode_free)
CT_DEFINE_CLEANUP(glib_cleanup, void *, g_free)

struct loader {
	const char *nickname;
	const char *type;
};

static const struct loader loaders[] = {
	{ "jpegload_buffer", "image/jpeg" },
	{ "pngload_buffer", "image/png" },
	{ "webpload_buffer", "image/webp" },
	{ "gifload_buffer", "image/gif" },
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

static void allow_four_loaders(void)
{
	static const char *const allowed[] = { "VipsForeignLoadJpeg", "VipsForeignLoadPng",
		"VipsForeignLoadWebp", "VipsForeignLoadNsgif" };
	vips_block_untrusted_set(TRUE);
	vips_operation_block_set("VipsForeignLoad", TRUE);
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		vips_operation_block_set(allowed[i], FALSE);
}

static int save_as(VipsImage *image, const char *suffix, void **ret_data, size_t *ret_length)
{
	return vips_image_write_to_buffer(image, suffix, ret_data, ret_length, NULL);
}

static int warm_up(VipsImage *image, const char *suffix)
{
	struct ct_plan_print size = { WARM_UP_SIDE / 2, WARM_UP_SIDE / 2 };
	ct_cleanup(glib_cleanup) void *data = NULL;
	ct_cleanup(image_cleanup) VipsImage *head = NULL;
	ct_cleanup(image_cleanup) VipsImage *print = NULL;
	size_t length = 0;

	if (save_as(image, suffix, &data, &length) != 0)
		return -1;
	if (ct_decode_open(data, length, &head) != 0)
		return -1;
	return ct_decode_print(data, length, true, size, &print);
}

int ct_decode_start(void)
{
	static const char *const suffixes[] = { ".jpg", ".png", ".webp", ".gif" };
	ct_cleanup(image_cleanup) VipsImage *black = NULL;
	ct_cleanup(image_cleanup) VipsImage *image = NULL;

	/*
	 * Modules (HEIF, PDF, ImageMagick, ...) are looked for under this folder: none is loaded.
	 * And an image that must be held whole is held in memory, under the limit, not on disk.
	 */
	if (setenv("VIPSHOME", "/nonexistent", 1) < 0)
		return -1;
	if (setenv("VIPS_DISC_THRESHOLD", "1000g", 1) < 0)
		return -1;
	if (VIPS_INIT("calotype-worker") != 0)
		return -1;
	vips_cache_set_max(0);
	vips_concurrency_set(1);
	allow_four_loaders();
	if (vips_black(&black, WARM_UP_SIDE, WARM_UP_SIDE, "bands", 3, NULL) != 0)
		return -1;
	if (vips_copy(black, &image, "interpretation", VIPS_INTERPRETATION_sRGB, NULL) != 0)
		return -1;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (warm_up(image, suffixes[i]) != 0)
			return -1;
	}
	return 0;
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

const char *ct_decode_type(VipsImage *head)
{
	const char *nickname = NULL;
	if (vips_image_get_string(head, VIPS_META_LOADER, &nickname) != 0) {
		vips_error_clear();
		return "";
	}
	for (size_t i = 0; i < sizeof(loaders) / sizeof(loaders[0]); i++) {
		if (strcmp(nickname, loaders[i].nickname) == 0)
			return loaders[i].type;
	}
	return "";
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
