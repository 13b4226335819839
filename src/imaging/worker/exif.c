#include "imaging/worker/exif.h"

#include <stdbool.h>
#include <string.h>

#define MAX_ENTRIES 512 /* of one directory; a file has a few dozen */
#define ENTRY_BYTES 12
#define MAX_STEPS 200000 /* of a file: 0.1 s of libexif; a photograph takes a few hundred */
#define MAX_DEPTH 4

enum tag {
	TAG_GPS_LATITUDE = 0x0002,
	TAG_GPS_LONGITUDE = 0x0004,
	TAG_MAKE = 0x010f,
	TAG_MODEL = 0x0110,
	TAG_EXPOSURE_TIME = 0x829a,
	TAG_F_NUMBER = 0x829d,
	TAG_EXIF_DIRECTORY = 0x8769,
	TAG_INTEROPERABILITY_DIRECTORY = 0xa005,
	TAG_GPS_DIRECTORY = 0x8825,
	TAG_ISO = 0x8827,
	TAG_TAKEN_AT = 0x9003,
	TAG_UTC_OFFSET = 0x9011,
	TAG_FOCAL_LENGTH = 0x920a,
	TAG_LENS = 0xa434,
};

enum type { TYPE_ASCII = 2, TYPE_SHORT = 3, TYPE_LONG = 4, TYPE_RATIONAL = 5 };

struct block {
	const uint8_t *data;
	size_t length;
	bool big_endian;
};

struct entry {
	unsigned tag;
	unsigned type;
	uint32_t count;
	size_t value_at; /* of the four bytes that hold the value or its place */
};

typedef void (*visit_fn)(
    const struct block *block, const struct entry *entry, struct ct_worker_exif *exif);

/* Callers have made sure that the bytes are there. */
static uint32_t get16(const struct block *block, size_t at)
{
	const uint8_t *p = block->data + at;
	return block->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t get32(const struct block *block, size_t at)
{
	uint32_t first = get16(block, at);
	uint32_t second = get16(block, at + 2);
	return block->big_endian ? first << 16 | second : second << 16 | first;
}

static bool holds(const struct block *block, size_t at, size_t length)
{
	return at <= block->length && length <= block->length - at;
}

/* Printable ASCII, blanks at the end cut off; anything else makes no name of a camera. */
static void read_text(
    const struct block *block, const struct entry *entry, char *ret_text, size_t capacity)
{
	size_t at = entry->count <= 4 ? entry->value_at : get32(block, entry->value_at);
	size_t length = 0;

	if (entry->type != TYPE_ASCII || !holds(block, at, entry->count))
		return;
	while (length < entry->count && length < capacity - 1 && block->data[at + length] != 0) {
		uint8_t c = block->data[at + length];
		if (c < 0x20 || c > 0x7e)
			return;
		length++;
	}
	while (length > 0 && block->data[at + length - 1] == ' ')
		length--;
	memcpy(ret_text, block->data + at, length);
	ret_text[length] = '\0';
}

static void read_rational(
    const struct block *block, const struct entry *entry, struct ct_worker_rational *ret_value)
{
	if (entry->type != TYPE_RATIONAL || entry->count != 1)
		return;
	size_t at = get32(block, entry->value_at);
	if (!holds(block, at, 8))
		return;
	ret_value->numerator = get32(block, at);
	ret_value->denominator = get32(block, at + 4);
}

static uint32_t read_integer(const struct block *block, const struct entry *entry)
{
	if (entry->count < 1)
		return 0;
	if (entry->type == TYPE_SHORT && entry->count <= 2)
		return get16(block, entry->value_at);
	if (entry->type == TYPE_LONG && entry->count == 1)
		return get32(block, entry->value_at);
	return 0;
}

static void visit_directory(
    const struct block *block, size_t at, visit_fn visit, struct ct_worker_exif *exif)
{
	if (!holds(block, at, 2))
		return;
	uint32_t count = get16(block, at);
	at += 2;
	for (uint32_t i = 0; i < count && i < MAX_ENTRIES; i++, at += ENTRY_BYTES) {
		if (!holds(block, at, ENTRY_BYTES))
			return;
		struct entry entry = {
			.tag = get16(block, at),
			.type = get16(block, at + 2),
			.count = get32(block, at + 4),
			.value_at = at + 8,
		};
		visit(block, &entry, exif);
	}
}

static void visit_gps(
    const struct block *block, const struct entry *entry, struct ct_worker_exif *exif)
{
	(void)block;
	if (entry->tag == TAG_GPS_LATITUDE || entry->tag == TAG_GPS_LONGITUDE)
		exif->has_gps = 1;
}

static void visit_exif(
    const struct block *block, const struct entry *entry, struct ct_worker_exif *exif)
{
	switch (entry->tag) {
	case TAG_EXPOSURE_TIME: read_rational(block, entry, &exif->exposure_time); break;
	case TAG_F_NUMBER: read_rational(block, entry, &exif->f_number); break;
	case TAG_FOCAL_LENGTH: read_rational(block, entry, &exif->focal_length); break;
	case TAG_ISO: exif->iso = read_integer(block, entry); break;
	case TAG_TAKEN_AT: read_text(block, entry, exif->taken_at, sizeof(exif->taken_at)); break;
	case TAG_UTC_OFFSET:
		read_text(block, entry, exif->utc_offset, sizeof(exif->utc_offset));
		break;
	case TAG_LENS: read_text(block, entry, exif->lens, sizeof(exif->lens)); break;
	default: break;
	}
}

/* A directory named twice is read twice, never more often than this one has entries. */
static void visit_main(
    const struct block *block, const struct entry *entry, struct ct_worker_exif *exif)
{
	switch (entry->tag) {
	case TAG_MAKE: read_text(block, entry, exif->make, sizeof(exif->make)); break;
	case TAG_MODEL: read_text(block, entry, exif->model, sizeof(exif->model)); break;
	case TAG_EXIF_DIRECTORY:
		visit_directory(block, read_integer(block, entry), visit_exif, exif);
		break;
	case TAG_GPS_DIRECTORY:
		visit_directory(block, read_integer(block, entry), visit_gps, exif);
		break;
	default: break;
	}
}

void ct_exif_read(const void *data, size_t length, struct ct_worker_exif *ret_exif)
{
	static const char prefix[6] = { 'E', 'x', 'i', 'f', 0, 0 };
	struct block block = { .data = data, .length = length };

	*ret_exif = (struct ct_worker_exif){ 0 };
	if (length >= sizeof(prefix) && memcmp(data, prefix, sizeof(prefix)) == 0) {
		block.data += sizeof(prefix);
		block.length -= sizeof(prefix);
	}
	if (block.length < 8)
		return;
	block.big_endian = memcmp(block.data, "MM\0*", 4) == 0;
	if (!block.big_endian && memcmp(block.data, "II*\0", 4) != 0)
		return;
	visit_directory(&block, get32(&block, 4), visit_main, ret_exif);
}

/* ---- how long is it? ---- */

static bool names_directory(unsigned tag)
{
	return tag == TAG_EXIF_DIRECTORY || tag == TAG_GPS_DIRECTORY ||
	       tag == TAG_INTEROPERABILITY_DIRECTORY;
}

/* As libexif walks: whatever type the entries claim to have. */
static void walk(const struct block *block, size_t at, int depth, unsigned *left)
{
	if (!holds(block, at, 2))
		return;
	uint32_t count = get16(block, at);
	at += 2;
	for (uint32_t i = 0; i<count && * left> 0; i++, at += ENTRY_BYTES) {
		if (!holds(block, at, ENTRY_BYTES))
			return;
		--*left;
		if (depth < MAX_DEPTH && names_directory(get16(block, at)))
			walk(block, get32(block, at + 8), depth + 1, left);
	}
	if (depth == 0 && holds(block, at, 4)) /* the thumbnail's */
		walk(block, get32(block, at), 1, left);
}

/* Of "II*\0" or "MM\0*", of which the asterisk was found; NULL: neither. */
static const uint8_t *find_begin(const uint8_t *first, const uint8_t *asterisk, const uint8_t *end)
{
	if (asterisk - first >= 2 && end - asterisk >= 6 && memcmp(asterisk - 2, "II*\0", 4) == 0)
		return asterisk - 2;
	if (asterisk - first >= 3 && end - asterisk >= 5 && memcmp(asterisk - 3, "MM\0*", 4) == 0)
		return asterisk - 3;
	return NULL;
}

bool ct_exif_is_endless(const void *data, size_t length)
{
	const uint8_t *first = data;
	const uint8_t *end = first + length;
	const uint8_t *at = first;
	unsigned left = MAX_STEPS;
	while (left > 0 && at < end && (at = memchr(at, '*', (size_t)(end - at))) != NULL) {
		const uint8_t *begin = find_begin(first, at++, end);
		if (begin == NULL)
			continue;
		const struct block block = { begin, (size_t)(end - begin), begin[0] == 'M' };
		left--;
		walk(&block, get32(&block, 4), 0, &left);
	}
	return left == 0;
}
