/*
 * make-test-images DIR [NAME...]: writes pictures for tests into DIR, all of them or those named.
 * --help lists them. Each is the same at every run. photo.jpg is made to look like what a camera
 * gives: 12 megapixels, lying on its side, with its maker, its time and its place.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vips/vips.h>
#include <zlib.h>

#define PHOTO_WIDTH 4000
#define PHOTO_HEIGHT 3000
#define SMALL_WIDTH 800
#define SMALL_HEIGHT 600
#define SINE_STEPS 1024 /* a power of two */

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "make-test-images: %s: %s", what, vips_error_buffer());
	exit(1);
}

static void check(int result, const char *what)
{
	if (result != 0)
		die(what);
}

static void *allocate(size_t bytes)
{
	void *memory = malloc(bytes);
	if (memory == NULL)
		die("out of memory\n");
	return memory;
}

static void write_file(const char *path, const void *data, size_t length)
{
	FILE *file = fopen(path, "wb");
	if (file == NULL || fwrite(data, 1, length, file) != length || fclose(file) != 0) {
		(void)fprintf(stderr, "make-test-images: %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

/* ---- scenes ---- */

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static uint8_t clamp(int value)
{
	if (value < 0)
		return 0;
	return value > 255 ? 255 : (uint8_t)value;
}

/* Whole numbers only: 12 megapixels of this take a tenth of a second. */
static void fill_sines(int *sines)
{
	for (int i = 0; i < SINE_STEPS; i++)
		sines[i] = (int)lrint(30 * sin(2 * M_PI * i / SINE_STEPS));
}

/* A sky that darkens downwards, waves across it, grain over all. */
static VipsImage *make_scene(int width, int height, int bands, int grain)
{
	int sines[SINE_STEPS];
	uint32_t random = 2463534242u;
	uint8_t *pixels = allocate((size_t)width * (size_t)height * (size_t)bands);
	uint8_t *at = pixels;

	fill_sines(sines);
	for (int y = 0; y < height; y++) {
		int down = 160 * y / height;
		for (int x = 0; x < width; x++, at += bands) {
			int across = 90 * x / width;
			int wave = sines[(3 * x + 2 * y) & (SINE_STEPS - 1)] +
				   sines[(y * 5 - x) & (SINE_STEPS - 1)];
			uint32_t noise = next_random(&random);
			int colours[] = { 60 + across + wave, 120 + across / 2 - wave / 2,
				230 - down + wave / 3 };
			for (int k = 0; k < 3; k++) {
				int speck = (int)(noise >> (8 * k) & 15) * grain / 8 - grain;
				at[k] = clamp(colours[k] + speck);
			}
			if (bands == 4)
				at[3] = clamp(255 * x / width);
		}
	}
	VipsImage *image =
	    vips_image_new_from_memory_copy(pixels, (size_t)width * (size_t)height * (size_t)bands,
		width, height, bands, VIPS_FORMAT_UCHAR);
	free(pixels);
	if (image == NULL)
		die("scene");
	image->Type = VIPS_INTERPRETATION_sRGB;
	return image;
}

static VipsImage *small_scene(void)
{
	return make_scene(SMALL_WIDTH, SMALL_HEIGHT, 3, 2);
}

/*
 * Four quarters: red, green, blue, white from the upper left in reading order, when looked at. For
 * each orientation (EXIF 2.3 section 4.6.4, tag Orientation) the stored picture is turned so that
 * a reader that follows the tag sees this.
 */
static VipsImage *quarters(int width, int height)
{
	static const uint8_t colours[4][3] = { { 230, 20, 20 }, { 20, 230, 20 }, { 20, 20, 230 },
		{ 250, 250, 250 } };
	uint8_t *pixels = allocate((size_t)width * (size_t)height * 3);
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			int quarter = (2 * y / height) * 2 + 2 * x / width;
			memcpy(pixels + 3 * ((size_t)y * (size_t)width + (size_t)x),
			    colours[quarter], 3);
		}
	}
	VipsImage *image = vips_image_new_from_memory_copy(
	    pixels, (size_t)width * (size_t)height * 3, width, height, 3, VIPS_FORMAT_UCHAR);
	free(pixels);
	if (image == NULL)
		die("quarters");
	image->Type = VIPS_INTERPRETATION_sRGB;
	return image;
}

static VipsImage *then_rotate(VipsImage *image, VipsAngle angle)
{
	VipsImage *turned = NULL;
	check(vips_rot(image, &turned, angle, NULL), "turn");
	g_object_unref(image);
	return turned;
}

static VipsImage *then_flip(VipsImage *image)
{
	VipsImage *flipped = NULL;
	check(vips_flip(image, &flipped, VIPS_DIRECTION_HORIZONTAL, NULL), "flip");
	g_object_unref(image);
	return flipped;
}

/* The inverse of what a reader does to come from the stored picture to the upright one. */
static VipsImage *store_turned(VipsImage *upright, int orientation)
{
	switch (orientation) {
	case 2: return then_flip(upright);
	case 3: return then_rotate(upright, VIPS_ANGLE_D180);
	case 4: return then_flip(then_rotate(upright, VIPS_ANGLE_D180));
	case 5: return then_flip(then_rotate(upright, VIPS_ANGLE_D90));
	case 6: return then_rotate(upright, VIPS_ANGLE_D270);
	case 7: return then_flip(then_rotate(upright, VIPS_ANGLE_D270));
	case 8: return then_rotate(upright, VIPS_ANGLE_D90);
	default: return upright;
	}
}

/* ---- metadata ---- */

static void tell(VipsImage *image, int orientation)
{
	static const char *const fields[][2] = {
		{ "exif-ifd0-Make", "Calotype Works" },
		{ "exif-ifd0-Model", "Talbot 1841" },
		{ "exif-ifd0-Artist", "Jane Private" },
		{ "exif-ifd2-DateTimeOriginal", "2024:05:06 07:08:09" },
		{ "exif-ifd2-OffsetTimeOriginal", "+02:00" },
		{ "exif-ifd2-ExposureTime", "1/250" },
		{ "exif-ifd2-FNumber", "28/10" },
		{ "exif-ifd2-ISOSpeedRatings", "200" },
		{ "exif-ifd2-FocalLength", "425/100" },
		{ "exif-ifd2-LensModel", "Calotype 4.25mm f/2.8" },
		{ "exif-ifd2-BodySerialNumber", "SECRET-SERIAL-1" },
		{ "exif-ifd3-GPSLatitudeRef", "N" },
		{ "exif-ifd3-GPSLatitude", "51/1 26/1 3000/100" },
		{ "exif-ifd3-GPSLongitudeRef", "W" },
		{ "exif-ifd3-GPSLongitude", "2/1 7/1 1200/100" },
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		vips_image_set_string(image, fields[i][0], fields[i][1]);
	vips_image_set_int(image, VIPS_META_ORIENTATION, orientation);
}

/* ---- files ---- */

typedef void (*make_fn)(const char *path, int argument);

static void save(VipsImage *image, const char *path, const char *options)
{
	char name[4096];
	(void)snprintf(name, sizeof(name), "%s%s", path, options);
	check(vips_image_write_to_file(image, name, NULL), path);
	g_object_unref(image);
}

static void make_photo(const char *path, int orientation)
{
	VipsImage *image = make_scene(PHOTO_WIDTH, PHOTO_HEIGHT, 3, 12);
	tell(image, orientation);
	save(image, path, "[Q=90]");
}

static void make_progressive(const char *path, int orientation)
{
	VipsImage *image = make_scene(PHOTO_WIDTH, PHOTO_HEIGHT, 3, 12);
	tell(image, orientation);
	save(image, path, "[Q=90,interlace]");
}

static void make_small(const char *path, int tells)
{
	VipsImage *image = small_scene();
	if (tells)
		tell(image, 1);
	save(image, path, "");
}

/* What telephones make: HEIC, or AVIF. */
static void make_heif(const char *path, int compression)
{
	VipsImage *image = small_scene();
	tell(image, 1);
	check(vips_heifsave(image, path, "compression", compression, "Q", 60, "effort", 0, NULL),
	    path);
	g_object_unref(image);
}

static void make_pages(const char *path, int pages)
{
	VipsImage *strip = make_scene(200, 150 * pages, 3, 0);
	vips_image_set_int(strip, VIPS_META_PAGE_HEIGHT, 150);
	save(strip, path, "[compression=lzw]");
}

static void make_interlaced(const char *path, int side)
{
	VipsImage *black = NULL;
	VipsImage *image = NULL;
	check(vips_black(&black, side, side, "bands", 4, NULL), "black");
	check(vips_copy(black, &image, "interpretation", VIPS_INTERPRETATION_sRGB, NULL), "copy");
	g_object_unref(black);
	save(image, path, "[interlace,compression=1]");
}

static void make_many(const char *path, int frames)
{
	VipsImage *strip = make_scene(400, 300 * frames, 3, 0);
	int delays[] = { 100 };
	vips_image_set_int(strip, VIPS_META_PAGE_HEIGHT, 300);
	vips_image_set_array_int(strip, "delay", delays, 1);
	save(strip, path, "[effort=1]");
}

static void make_turned(const char *path, int orientation)
{
	VipsImage *image = store_turned(quarters(400, 300), orientation);
	VipsImage *copy = NULL;
	check(vips_copy(image, &copy, NULL), "copy");
	g_object_unref(image);
	tell(copy, orientation);
	save(copy, path, "[Q=95,subsample_mode=off]");
}

static void make_tiny(const char *path, int side)
{
	save(make_scene(side, side, 3, 2), path, "");
}

/* Small, so that thousands of mutants are quick, but with everything that a file may hold. */
static void make_seed(const char *path, int kind)
{
	static const char *const options[] = { "", "[interlace]", "[lossless]",
		"[tile,compression=deflate,tile-width=64,tile-height=64]" };
	VipsImage *image = make_scene(100, 80, 3, 2);
	tell(image, 6);
	save(image, path, options[kind]);
}

static void make_tall(const char *path, int height)
{
	save(make_scene(40, height, 3, 0), path, "");
}

static void make_alpha(const char *path, int unused)
{
	(void)unused;
	save(make_scene(SMALL_WIDTH, SMALL_HEIGHT, 4, 0), path, "");
}

static void make_in_space(const char *path, int space)
{
	VipsImage *scene = small_scene();
	VipsImage *converted = NULL;
	check(vips_colourspace(scene, &converted, (VipsInterpretation)space, NULL), "space");
	g_object_unref(scene);
	save(converted, path, "");
}

static void make_animated(const char *path, int frames)
{
	VipsImage *strip = make_scene(200, 150 * frames, 3, 0);
	int delays[] = { 100 };
	vips_image_set_int(strip, VIPS_META_PAGE_HEIGHT, 150);
	vips_image_set_array_int(strip, "delay", delays, 1);
	save(strip, path, "");
}

static void make_truncated(const char *path, int percent)
{
	gchar *data = NULL;
	gsize length = 0;
	make_small(path, 0);
	if (!g_file_get_contents(path, &data, &length, NULL))
		die(path);
	write_file(path, data, length * (gsize)percent / 100);
	g_free(data);
}

static void make_text(const char *path, int unused)
{
	(void)unused;
	static const char text[] = "This is not a picture, whatever its name says.\n";
	write_file(path, text, sizeof(text) - 1);
}

static void make_empty(const char *path, int unused)
{
	(void)unused;
	write_file(path, "", 0);
}

/* ---- bombs: PNG written by hand (W3C PNG, section 5), all pixels 0 ---- */

static void put32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_chunk(FILE *file, const char *type, const uint8_t *data, size_t length)
{
	uint8_t head[8];
	uint8_t sum[4];
	put32(head, (uint32_t)length);
	memcpy(head + 4, type, 4);
	uLong crc = crc32(crc32(0, head + 4, 4), data, (uInt)length);
	put32(sum, (uint32_t)crc);
	if (fwrite(head, 1, 8, file) != 8 || fwrite(data, 1, length, file) != length ||
	    fwrite(sum, 1, 4, file) != 4)
		die("write\n");
}

static void put_zeros(FILE *file, size_t total)
{
	static uint8_t zeros[1 << 16];
	static uint8_t out[1 << 16];
	z_stream stream = { 0 };
	int result = Z_OK;

	if (deflateInit(&stream, 1) != Z_OK)
		die("deflate\n");
	while (result != Z_STREAM_END) {
		if (stream.avail_in == 0 && total > 0) {
			stream.next_in = zeros;
			stream.avail_in = (uInt)(total < sizeof(zeros) ? total : sizeof(zeros));
			total -= stream.avail_in;
		}
		stream.next_out = out;
		stream.avail_out = sizeof(out);
		result = deflate(&stream, total == 0 ? Z_FINISH : Z_NO_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END)
			die("deflate\n");
		if (stream.avail_out < sizeof(out))
			put_chunk(file, "IDAT", out, sizeof(out) - stream.avail_out);
	}
	if (deflateEnd(&stream) != Z_OK)
		die("deflate\n");
}

static void make_zero_png(const char *path, int width, int height, int bits)
{
	static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
	uint8_t header[13] = { 0 };
	FILE *file = fopen(path, "wb");

	if (file == NULL || fwrite(signature, 1, 8, file) != 8)
		die("open\n");
	put32(header, (uint32_t)width);
	put32(header + 4, (uint32_t)height);
	header[8] = (uint8_t)bits; /* greyscale, not interlaced */
	put_chunk(file, "IHDR", header, sizeof(header));
	put_zeros(file, (size_t)height * ((size_t)width * (size_t)bits / 8 + 1));
	put_chunk(file, "IEND", header, 0);
	if (fclose(file) != 0)
		die("close\n");
}

static void make_bomb(const char *path, int side)
{
	make_zero_png(path, side, side, 1);
}

static void make_large(const char *path, int height)
{
	make_zero_png(path, 10000, height, 8);
}

/* ---- the list ---- */

struct picture {
	const char *name;
	make_fn make;
	int argument;
	const char *what;
};

static const struct picture pictures[] = {
	{ "photo.jpg", make_photo, 6, "12 megapixels, orientation 6, camera, time, place" },
	{ "progressive.jpg", make_progressive, 6, "the same, progressive" },
	{ "small.jpg", make_small, 1, "800x600, with camera, time and place" },
	{ "small.png", make_small, 1, "the same" },
	{ "small.webp", make_small, 1, "the same" },
	{ "small.gif", make_small, 0, "800x600" },
	{ "tiny.png", make_tiny, 1, "one pixel" },
	{ "tiny.jpg", make_tiny, 100, "100x100" },
	{ "tall.png", make_tall, 20000, "40x20000" },
	{ "alpha.png", make_alpha, 0, "800x600, transparent on the left" },
	{ "alpha.webp", make_alpha, 0, "the same" },
	{ "grey.png", make_in_space, VIPS_INTERPRETATION_B_W, "800x600, one channel" },
	{ "grey.jpg", make_in_space, VIPS_INTERPRETATION_B_W, "the same" },
	{ "deep.png", make_in_space, VIPS_INTERPRETATION_RGB16, "800x600, 16 bits" },
	{ "cmyk.jpg", make_in_space, VIPS_INTERPRETATION_CMYK, "800x600, four inks" },
	{ "animated.gif", make_animated, 5, "200x150, 5 frames" },
	{ "animated.webp", make_animated, 5, "the same" },
	{ "small.heic", make_heif, VIPS_FOREIGN_HEIF_COMPRESSION_HEVC, "800x600, with camera" },
	{ "small.avif", make_heif, VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "the same" },
	{ "small.tif", make_small, 1, "the same" },
	{ "pages.tif", make_pages, 3, "200x150, 3 pages" },
	{ "interlaced.png", make_interlaced, 1000, "1000x1000, Adam7" },
	{ "interlaced-5000.png", make_interlaced, 5000, "5000x5000, Adam7" },
	{ "many.gif", make_many, 20, "400x300, 20 frames" },
	{ "seed.jpg", make_seed, 0, "100x80, for mutants" },
	{ "seed-progressive.jpg", make_seed, 1, "the same" },
	{ "seed.png", make_seed, 0, "the same" },
	{ "seed-interlaced.png", make_seed, 1, "the same" },
	{ "seed.webp", make_seed, 0, "the same" },
	{ "seed-lossless.webp", make_seed, 2, "the same" },
	{ "seed.gif", make_seed, 0, "the same" },
	{ "seed.heic", make_seed, 0, "the same" },
	{ "seed.avif", make_seed, 0, "the same" },
	{ "seed.tif", make_seed, 0, "the same" },
	{ "seed-tiles.tif", make_seed, 3, "the same" },
	{ "orientation-1.jpg", make_turned, 1, "400x300 when upright; quarters red, green," },
	{ "orientation-2.jpg", make_turned, 2, "  blue, white in reading order" },
	{ "orientation-3.jpg", make_turned, 3, "  the same" },
	{ "orientation-4.jpg", make_turned, 4, "  the same" },
	{ "orientation-5.jpg", make_turned, 5, "  the same" },
	{ "orientation-6.jpg", make_turned, 6, "  the same" },
	{ "orientation-7.jpg", make_turned, 7, "  the same" },
	{ "orientation-8.jpg", make_turned, 8, "  the same" },
	{ "truncated.jpg", make_truncated, 50, "the first half of a file" },
	{ "truncated.png", make_truncated, 50, "the same" },
	{ "truncated.webp", make_truncated, 50, "the same" },
	{ "truncated.gif", make_truncated, 50, "the same" },
	{ "bomb.png", make_bomb, 50000, "50000x50000 of one bit, in little space" },
	{ "60mp.png", make_large, 6000, "10000x6000, grey" },
	{ "text.jpg", make_text, 0, "text" },
	{ "empty.jpg", make_empty, 0, "nothing" },
};
#define PICTURE_COUNT (sizeof(pictures) / sizeof(pictures[0]))

static const struct picture *find(const char *name)
{
	for (size_t i = 0; i < PICTURE_COUNT; i++) {
		if (strcmp(name, pictures[i].name) == 0)
			return &pictures[i];
	}
	(void)fprintf(stderr, "make-test-images: no picture is named %s\n", name);
	exit(2);
}

static void make(const char *folder, const struct picture *picture)
{
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, picture->name);
	picture->make(path, picture->argument);
	(void)printf("%s\n", path);
}

static void help(void)
{
	(void)printf("usage: make-test-images DIR [NAME...]\n\n");
	for (size_t i = 0; i < PICTURE_COUNT; i++)
		(void)printf("  %-18s %s\n", pictures[i].name, pictures[i].what);
}

int main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		help();
		return argc < 2 ? 2 : 0;
	}
	if (VIPS_INIT(argv[0]) != 0)
		die("start");
	if (mkdir(argv[1], 0777) < 0 && errno != EEXIST) {
		(void)fprintf(stderr, "make-test-images: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	for (int i = 2; i < argc; i++)
		make(argv[1], find(argv[i]));
	for (size_t i = 0; argc == 2 && i < PICTURE_COUNT; i++)
		make(argv[1], &pictures[i]);
	return 0;
}
