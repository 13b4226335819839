#include "mutate.h"
#include "base/assert.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_CHANGES 12
#define MAX_PIECE 2048
#define HEAD_BYTES 256

struct mutant {
	uint64_t state;
	struct bytes bytes;
	size_t capacity;
};

/* splitmix64: every seed gives a stream of its own. */
static uint64_t next(struct mutant *mutant)
{
	uint64_t z = mutant->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static size_t below(struct mutant *mutant, size_t limit)
{
	return limit == 0 ? 0 : (size_t)(next(mutant) % limit);
}

/* Half of all changes hit the head, where sizes and tables are. */
static size_t place(struct mutant *mutant)
{
	size_t length = mutant->bytes.length;
	if (next(mutant) % 2 == 0 && length > HEAD_BYTES)
		length = HEAD_BYTES;
	return below(mutant, length);
}

static void turn_bit(struct mutant *mutant)
{
	mutant->bytes.data[place(mutant)] ^= (uint8_t)(1u << (next(mutant) % 8));
}

static void set_byte(struct mutant *mutant)
{
	static const uint8_t limits[] = { 0, 1, 0x7f, 0x80, 0xfe, 0xff };
	uint64_t choice = next(mutant) % 8;
	mutant->bytes.data[place(mutant)] =
	    choice < sizeof(limits) ? limits[choice] : (uint8_t)next(mutant);
}

static void set_number(struct mutant *mutant)
{
	static const uint32_t limits[] = { 0, 1, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff,
		0x80000000u, 0xfffffffeu, 0xffffffffu };
	uint32_t value = limits[next(mutant) % (sizeof(limits) / sizeof(limits[0]))];
	size_t width = next(mutant) % 2 == 0 ? 2 : 4;
	bool big_endian = next(mutant) % 2 == 0;
	size_t at = place(mutant);
	for (size_t i = 0; i < width && at + i < mutant->bytes.length; i++) {
		size_t byte = big_endian ? width - 1 - i : i;
		mutant->bytes.data[at + i] = (uint8_t)(value >> (8 * byte));
	}
}

static void cut_piece(struct mutant *mutant)
{
	struct bytes *bytes = &mutant->bytes;
	size_t at = place(mutant);
	size_t length = 1 + below(mutant, MAX_PIECE);
	if (length > bytes->length - at)
		length = bytes->length - at;
	if (length == bytes->length)
		return;
	memmove(bytes->data + at, bytes->data + at + length, bytes->length - at - length);
	bytes->length -= length;
}

static void insert(struct mutant *mutant, const uint8_t *piece, size_t length)
{
	struct bytes *bytes = &mutant->bytes;
	uint8_t copy[MAX_PIECE];
	size_t at = place(mutant);
	if (length > sizeof(copy) || bytes->length + length > mutant->capacity)
		return;
	memcpy(copy, piece, length);
	memmove(bytes->data + at + length, bytes->data + at, bytes->length - at);
	memcpy(bytes->data + at, copy, length);
	bytes->length += length;
}

static void insert_from(struct mutant *mutant, const struct bytes *source)
{
	size_t from = below(mutant, source->length);
	size_t length = 1 + below(mutant, MAX_PIECE);
	if (length > source->length - from)
		length = source->length - from;
	insert(mutant, source->data + from, length);
}

static void overwrite_from(struct mutant *mutant, const struct bytes *source)
{
	struct bytes *bytes = &mutant->bytes;
	size_t from = below(mutant, source->length);
	size_t at = place(mutant);
	size_t length = 1 + below(mutant, MAX_PIECE);
	if (length > source->length - from)
		length = source->length - from;
	if (length > bytes->length - at)
		length = bytes->length - at;
	memmove(bytes->data + at, source->data + from, length);
}

static void cut_end(struct mutant *mutant)
{
	mutant->bytes.length = 1 + below(mutant, mutant->bytes.length);
}

static void change(struct mutant *mutant, const struct bytes *neighbour)
{
	switch (next(mutant) % 16) {
	case 0:
	case 1:
	case 2:
	case 3: turn_bit(mutant); break;
	case 4:
	case 5:
	case 6: set_byte(mutant); break;
	case 7:
	case 8:
	case 9: set_number(mutant); break;
	case 10: cut_piece(mutant); break;
	case 11:
	case 12: insert_from(mutant, &mutant->bytes); break;
	case 13: insert_from(mutant, neighbour); break;
	case 14: overwrite_from(mutant, neighbour); break;
	default:
		if (next(mutant) % 4 == 0)
			cut_end(mutant);
		break;
	}
}

static uint32_t read32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* W3C PNG section 5.3: length, type, data, CRC over type and data. */
static void mend_checksums(struct bytes *png)
{
	for (size_t at = 8; png->length - at >= 12;) {
		size_t length = read32(png->data + at);
		if (length > png->length - at - 12)
			return;
		uint32_t sum =
		    (uint32_t)crc32(crc32(0, NULL, 0), png->data + at + 4, (uInt)length + 4);
		for (int i = 0; i < 4; i++)
			png->data[at + 8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
		at += 12 + length;
	}
}

struct bytes mutate(uint64_t seed, const struct bytes *file, const struct bytes *neighbour)
{
	struct mutant mutant = {
		.state = seed,
		.bytes = { malloc(2 * file->length + 4096), file->length },
		.capacity = 2 * file->length + 4096,
	};
	CT_ASSERT(mutant.bytes.data != NULL && file->length > 0 && neighbour->length > 0);
	memcpy(mutant.bytes.data, file->data, file->length);
	/* Half have one: many changes together are seen at the first. */
	size_t changes = 1 + (next(&mutant) % 2 == 0 ? 0 : below(&mutant, MAX_CHANGES));
	for (size_t i = 0; i < changes; i++)
		change(&mutant, neighbour);
	if (seed % 2 == 0 && mutant.bytes.length > 20 && memcmp(file->data, "\x89PNG", 4) == 0)
		mend_checksums(&mutant.bytes);
	return mutant.bytes;
}
