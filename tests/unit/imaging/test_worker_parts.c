/* The parts of the worker that need no libvips: the hash and the reader of EXIF. */
#include "imaging/worker/blurhash.h"
#include "imaging/worker/exif.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef void (*paint_fn)(int x, int y, uint8_t *ret_pixel);

static void assert_hash(int width, int height, paint_fn paint, const char *expected)
{
	static uint8_t pixels[CT_BLURHASH_MAX_SIDE * CT_BLURHASH_MAX_SIDE * 3];
	char hash[CT_BLURHASH_CHARS + 1];
	for (int i = 0; i < width * height; i++)
		paint(i % width, i / width, pixels + 3 * i);
	ct_blurhash_encode(pixels, width, height, hash);
	cr_assert_str_eq(hash, expected);
}

static void set(uint8_t *pixel, int r, int g, int b)
{
	pixel[0] = (uint8_t)r;
	pixel[1] = (uint8_t)g;
	pixel[2] = (uint8_t)b;
}

static void gradient(int x, int y, uint8_t *pixel)
{
	set(pixel, x * 8, y * 8, x * y);
}

static void pattern(int x, int y, uint8_t *pixel)
{
	set(pixel, x * 37 + y * 11, x * 5 + y * 91, 255 - x * 7);
}

static void orange(int x, int y, uint8_t *pixel)
{
	(void)x;
	(void)y;
	set(pixel, 200, 100, 50);
}

static void checkers(int x, int y, uint8_t *pixel)
{
	int value = (x < 32) != (y < 32) ? 255 : 0;
	set(pixel, value, value, value);
}

static void black(int x, int y, uint8_t *pixel)
{
	(void)x;
	(void)y;
	set(pixel, 0, 0, 0);
}

/*
 * What the reference implementation in C gives for the same pixels. (The one in TypeScript forgets
 * that components may be negative when it looks for the largest.)
 */
Test(blurhash, equals_the_reference)
{
	assert_hash(32, 32, gradient, "LxH2cZ2mwtX3l[WAjve?gFflfTfl");
	assert_hash(32, 20, pattern, "L.Heqaomj{oOkDaiWqbHWWjHW:i}");
	assert_hash(1, 1, orange, "L~M|T9}=}=}=}=}=}=}=}=}=}=}=");
	assert_hash(64, 64, checkers, "L+Lqe9offQofof00WB%MfQWBfQj[");
	assert_hash(32, 32, black, "L00000fQfQfQfQfQfQfQfQfQfQfQ");
}

/* ---- EXIF, written here field by field ---- */

struct builder {
	uint8_t data[1024];
	size_t length;
	bool big_endian;
};

static void put(struct builder *builder, uint32_t value, int bytes)
{
	cr_assert_leq(builder->length + (size_t)bytes, sizeof(builder->data));
	for (int i = 0; i < bytes; i++) {
		int shift = 8 * (builder->big_endian ? bytes - 1 - i : i);
		builder->data[builder->length++] = (uint8_t)(value >> shift);
	}
}

static void put_text(struct builder *builder, const char *text, size_t length)
{
	cr_assert_leq(builder->length + length, sizeof(builder->data));
	memcpy(builder->data + builder->length, text, length);
	builder->length += length;
}

static void put_entry(
    struct builder *builder, uint32_t tag, uint32_t type, uint32_t count, uint32_t value)
{
	put(builder, tag, 2);
	put(builder, type, 2);
	put(builder, count, 4);
	if (type == 3 && builder->big_endian)
		value <<= 16; /* a SHORT lies in the first two of the four bytes */
	put(builder, value, 4);
}

/* Make at 80, EXIF directory at 100, its rational at 160, GPS directory at 180. */
static void build(struct builder *builder, bool big_endian, bool gps)
{
	*builder = (struct builder){ .big_endian = big_endian };
	put_text(builder, big_endian ? "MM" : "II", 2);
	put(builder, 42, 2);
	put(builder, 8, 4);
	put(builder, gps ? 3 : 2, 2);
	put_entry(builder, 0x010f, 2, 10, 80);
	put_entry(builder, 0x8769, 4, 1, 100);
	if (gps)
		put_entry(builder, 0x8825, 4, 1, 180);
	builder->length = 80;
	put_text(builder, "Nice Cam \0", 10);
	builder->length = 100;
	put(builder, 3, 2);
	put_entry(builder, 0x829a, 5, 1, 160);
	put_entry(builder, 0x8827, 3, 1, 400);
	put_entry(builder, 0x9011, 2, 4, 0x2b2b2b2b);
	builder->length = 160;
	put(builder, 1, 4);
	put(builder, 60, 4);
	builder->length = 180;
	put(builder, 1, 2);
	put_entry(builder, 0x0002, 5, 3, 0);
}

Test(exif, both_byte_orders_with_and_without_prefix)
{
	for (int variant = 0; variant < 8; variant++) {
		struct builder builder;
		struct ct_worker_exif exif;
		uint8_t prefixed[1100] = "Exif\0";
		bool gps = variant & 4;
		build(&builder, variant & 1, gps);
		memcpy(prefixed + 6, builder.data, builder.length);
		if (variant & 2)
			ct_exif_read(prefixed, builder.length + 6, &exif);
		else
			ct_exif_read(builder.data, builder.length, &exif);
		cr_assert_str_eq(exif.make, "Nice Cam");
		cr_assert_eq(exif.exposure_time.numerator, 1);
		cr_assert_eq(exif.exposure_time.denominator, 60);
		cr_assert_eq(exif.iso, 400);
		cr_assert_str_eq(exif.utc_offset, "++++");
		cr_assert_eq(exif.has_gps, gps);
	}
}

/* A copy of the very size, so that a sanitizer sees each byte too many. */
static void read_copy(const uint8_t *data, size_t length)
{
	struct ct_worker_exif exif;
	uint8_t *copy = malloc(length);
	cr_assert(copy != NULL || length == 0);
	if (length > 0)
		memcpy(copy, data, length);
	ct_exif_read(copy, length, &exif);
	cr_assert_lt(strnlen(exif.make, sizeof(exif.make)), sizeof(exif.make));
	free(copy);
}

Test(exif, cut_off_anywhere)
{
	struct builder builder;
	for (int big_endian = 0; big_endian < 2; big_endian++) {
		build(&builder, big_endian, true);
		for (size_t length = 0; length <= builder.length; length++)
			read_copy(builder.data, length);
	}
}

Test(exif, any_byte_changed)
{
	static const uint8_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xff };
	struct builder builder;
	for (int big_endian = 0; big_endian < 2; big_endian++) {
		build(&builder, big_endian, true);
		for (size_t i = 0; i < builder.length * sizeof(values); i++) {
			struct builder changed = builder;
			changed.data[i / sizeof(values)] = values[i % sizeof(values)];
			read_copy(changed.data, changed.length);
		}
	}
}

Test(exif, texts_that_are_no_names_are_left_out)
{
	struct builder builder;
	struct ct_worker_exif exif;
	build(&builder, false, false);
	builder.data[82] = '\n';
	ct_exif_read(builder.data, builder.length, &exif);
	cr_assert_str_eq(exif.make, "");
	builder.data[82] = 0xe9;
	ct_exif_read(builder.data, builder.length, &exif);
	cr_assert_str_eq(exif.make, "");
}

/* ---- EXIF that has no end ---- */

#define MANY 5000
#define FILE_BYTES (MANY * 12 + 1000)

static void put_at(uint8_t *at, uint32_t value, int bytes, bool big_endian)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * (big_endian ? bytes - 1 - i : i));
}

/* One directory whose `named` first entries name itself, the others nothing. */
static uint8_t *build_loop(size_t at, int named, unsigned tag, bool big_endian)
{
	uint8_t *file = calloc(1, FILE_BYTES);
	cr_assert_not_null(file);
	memset(file, '*', at);
	uint8_t *block = file + at;
	memcpy(block, big_endian ? "MM" : "II", 2);
	put_at(block + 2, 42, 2, big_endian);
	put_at(block + 4, 8, 4, big_endian);
	put_at(block + 8, MANY, 2, big_endian);
	for (int i = 0; i < MANY; i++) {
		put_at(block + 10 + 12 * i, i < named ? tag : 0x010f, 2, big_endian);
		put_at(block + 10 + 12 * i + 8, 8, 4, big_endian);
	}
	return file;
}

Test(exif, directories_that_name_each_other_without_end_are_found)
{
	static const unsigned tags[] = { 0x8769, 0x8825, 0xa005 };
	for (int i = 0; i < 12; i++) {
		bool big_endian = i % 2;
		uint8_t *loop = build_loop(i < 6 ? 0 : 700, MANY, tags[i / 2 % 3], big_endian);
		uint8_t *plain = build_loop(i < 6 ? 0 : 700, 0, 0, big_endian);
		cr_expect(ct_exif_is_endless(loop, FILE_BYTES), "%d", i);
		cr_expect_not(ct_exif_is_endless(plain, FILE_BYTES), "%d", i);
		free(loop);
		free(plain);
	}
	/* A real one that is long, and what is cut off anywhere. */
	uint8_t *file = build_loop(3, 2, 0x8769, true);
	cr_expect_not(ct_exif_is_endless(file, FILE_BYTES));
	free(file);
	struct builder builder;
	build(&builder, true, true);
	for (size_t length = 0; length <= builder.length; length++) {
		uint8_t *copy = malloc(length + 1); /* a sanitizer sees what lies behind it */
		cr_assert_not_null(copy);
		memcpy(copy + 1, builder.data, length);
		cr_expect_not(ct_exif_is_endless(copy + 1, length));
		free(copy);
	}
}

/* The search itself has an end, too. */
Test(exif, many_beginnings_are_no_way_around)
{
	size_t length = 8 << 20;
	uint8_t *file = malloc(length);
	cr_assert_not_null(file);
	for (size_t i = 0; i < length; i++)
		file[i] = (uint8_t) "II*"[i % 4];
	cr_expect(ct_exif_is_endless(file, length));
	memset(file, '*', length);
	cr_expect_not(ct_exif_is_endless(file, length));
	free(file);
}
