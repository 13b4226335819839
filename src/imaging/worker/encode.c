#include "imaging/worker/encode.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "calotype/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <vips/vips.h>
#include <webp/encode.h>

#define QUALITY 78
#define EFFORT 4 /* of 6; 0.4 s of processor for 12 megapixels in three sizes */

CT_DEFINE_CLEANUP(picture_cleanup, WebPPicture *, WebPPictureFree)

static void writer_cleanup(WebPMemoryWriter *writer)
{
	WebPMemoryWriterClear(writer);
}

static int write_all(int fd, const uint8_t *data, size_t length)
{
	size_t at = 0;
	while (at < length) {
		ssize_t written = pwrite(fd, data + at, length - at, (off_t)at);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		at += (size_t)written;
	}
	return 0;
}

static int explain(const WebPPicture *picture, char *ret_message)
{
	bool memory = picture->error_code == VP8_ENC_ERROR_OUT_OF_MEMORY ||
		      picture->error_code == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY;
	(void)snprintf(ret_message, CT_WORKER_MESSAGE_BYTES, "the print cannot be written (%d)%s",
	    (int)picture->error_code, memory ? ": out of memory" : "");
	return memory ? CT_ERROR_WORKER_MEMORY : CT_ERROR_INTERNAL;
}

static bool import(WebPPicture *picture, VipsImage *image)
{
	const uint8_t *pixels = VIPS_IMAGE_ADDR(image, 0, 0);
	int stride = (int)VIPS_IMAGE_SIZEOF_LINE(image);
	picture->width = image->Xsize;
	picture->height = image->Ysize;
	return image->Bands == 4 ? WebPPictureImportRGBA(picture, pixels, stride)
				 : WebPPictureImportRGB(picture, pixels, stride);
}

int ct_encode_print(
    VipsImage *image, int fd, uint64_t *ret_size_bytes, char ret_message[CT_WORKER_MESSAGE_BYTES])
{
	WebPConfig config;
	WebPPicture picture;
	ct_cleanup(writer_cleanup) WebPMemoryWriter writer = { 0 };

	CT_ASSERT(image->BandFmt == VIPS_FORMAT_UCHAR);
	CT_ASSERT(image->Bands == 3 || image->Bands == 4);
	CT_ASSERT(WebPConfigInit(&config) && WebPPictureInit(&picture)); /* the right library */
	ct_cleanup(picture_cleanup) WebPPicture *owned = &picture;
	WebPMemoryWriterInit(&writer);
	config.quality = QUALITY;
	config.method = EFFORT;
	picture.writer = WebPMemoryWrite;
	picture.custom_ptr = &writer;
	if (!import(&picture, image) || !WebPEncode(&config, &picture))
		return explain(owned, ret_message);
	*ret_size_bytes = writer.size;
	int r = write_all(fd, writer.mem, writer.size);
	if (r < 0) {
		(void)snprintf(ret_message, CT_WORKER_MESSAGE_BYTES,
		    "the print cannot be stored: error %d", -r);
		return r;
	}
	return 0;
}
