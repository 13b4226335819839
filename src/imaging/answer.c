/*
 * The worker has read hostile bytes, so its answer is hostile too: every number is compared with
 * what was asked for, every text with what it may hold, and no memory file is used unsealed.
 */
#include "imaging/pool_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "calotype/error.h"
#include "config/image_types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_ISO 10000000

CT_DEFINE_CLEANUP(json_cleanup, struct ct_json *, ct_json_free)

/* Printable ASCII, ended within its place. */
static bool is_text(const char *text, size_t capacity)
{
	for (size_t i = 0; i < capacity; i++) {
		if (text[i] == '\0')
			return true;
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return false;
}

static bool is_exif(const struct ct_worker_exif *exif)
{
	return is_text(exif->make, sizeof(exif->make)) &&
	       is_text(exif->model, sizeof(exif->model)) &&
	       is_text(exif->lens, sizeof(exif->lens)) &&
	       is_text(exif->taken_at, sizeof(exif->taken_at)) &&
	       is_text(exif->utc_offset, sizeof(exif->utc_offset));
}

static bool is_head(const struct ct_worker_request *request, const struct ct_worker_reply *reply)
{
	if (reply->width < 1 || reply->width > CT_PLAN_MAX_DIMENSION)
		return false;
	if (reply->height < 1 || reply->height > CT_PLAN_MAX_DIMENSION)
		return false;
	uint64_t pixels = (uint64_t)reply->width * (uint64_t)reply->height;
	if (pixels > request->max_pixels)
		return false;
	if (reply->frames < 1 || (uint64_t)reply->frames > request->max_all_pixels / pixels)
		return false;
	return reply->orientation >= 1 && reply->orientation <= 8;
}

/* The prints must be those that the plan names for the size that was reported. */
static bool is_planned(const struct ct_worker_request *request, const struct ct_worker_reply *reply)
{
	struct ct_plan plan;
	if (ct_plan_prints(
		reply->width, reply->height, request->widths, request->width_count, &plan) < 0)
		return false;
	if (reply->print_count != plan.count)
		return false;
	for (size_t i = 0; i < plan.count; i++) {
		const struct ct_worker_print *print = &reply->prints[i];
		if (print->width != plan.prints[i].width || print->height != plan.prints[i].height)
			return false;
		if (print->size_bytes < 1 || print->size_bytes > request->max_print_bytes)
			return false;
	}
	return true;
}

/* RFC 9649 section 2.4: RIFF, the size, WEBP. */
static int check_webp(int fd)
{
	char head[12];
	int r = ct_file_pread_all(fd, head, sizeof(head), 0);
	if (r < 0)
		return r == -ENODATA ? CT_ERROR_PEER_PROTOCOL : r;
	bool is_webp = memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "WEBP", 4) == 0;
	return is_webp ? 0 : CT_ERROR_PEER_PROTOCOL;
}

/*
 * Sealed first, looked at then: nothing can change it any more. A worker that still has the file
 * mapped for writing makes the seal fail; what fails later is no fault of its own.
 */
static int seal(int fd, uint64_t size_bytes)
{
	struct stat status;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return CT_ERROR_PEER_PROTOCOL;
	if (fstat(fd, &status) < 0)
		return -errno;
	return (uint64_t)status.st_size == size_bytes ? check_webp(fd) : CT_ERROR_PEER_PROTOCOL;
}

static bool has_digits(const char *text, const char *pattern)
{
	size_t i = 0;
	for (; pattern[i] != '\0'; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';
		if (pattern[i] == '0' ? !digit : text[i] != pattern[i])
			return false;
	}
	return text[i] == '\0';
}

static int two(const char *text)
{
	return (text[0] - '0') * 10 + (text[1] - '0');
}

/* The offset east of UTC in minutes. */
static bool read_offset(const char *text, int *ret_minutes)
{
	bool east = has_digits(text, "+00:00");
	if (!east && !has_digits(text, "-00:00"))
		return false;
	int minutes = two(text + 1) * 60 + two(text + 4);
	*ret_minutes = east ? minutes : -minutes;
	return two(text + 1) <= 14 && two(text + 4) < 60;
}

static bool read_time(const char *text, struct tm *ret_time)
{
	if (!has_digits(text, "0000:00:00 00:00:00"))
		return false;
	*ret_time = (struct tm){
		.tm_year = two(text) * 100 + two(text + 2) - 1900,
		.tm_mon = two(text + 5) - 1,
		.tm_mday = two(text + 8),
		.tm_hour = two(text + 11),
		.tm_min = two(text + 14),
		.tm_sec = two(text + 17),
	};
	return ret_time->tm_mon >= 0 && ret_time->tm_mon < 12 && ret_time->tm_mday >= 1 &&
	       ret_time->tm_mday <= 31 && ret_time->tm_hour < 24 && ret_time->tm_min < 60 &&
	       ret_time->tm_sec < 61;
}

static void set_taken_at(struct ct_json *json, const struct ct_worker_exif *exif)
{
	char text[CT_TIME_RFC3339_CHARS + 1];
	struct tm local;
	int minutes = 0;

	if (!read_time(exif->taken_at, &local))
		return;
	if (read_offset(exif->utc_offset, &minutes)) {
		int64_t utc = (int64_t)timegm(&local) - (int64_t)minutes * 60;
		ct_time_format_rfc3339(utc * 1000, text);
	} else {
		const char *from = exif->taken_at;
		(void)snprintf(text, sizeof(text), "%.4s-%.2s-%.2sT%.8s", from, from + 5, from + 8,
		    from + 11); /* 19 characters, as was checked */
	}
	ct_json_set_text(json, "taken_at", text);
}

static uint32_t divisor(uint32_t a, uint32_t b)
{
	while (b != 0) {
		uint32_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

/* "1/250", "2" or "3/5": as on the dial of a camera, not as a decimal fraction. */
static void set_fraction(struct ct_json *json, const char *key, struct ct_worker_rational value)
{
	char text[32];
	if (value.numerator == 0 || value.denominator == 0)
		return;
	uint32_t common = divisor(value.numerator, value.denominator);
	uint32_t numerator = value.numerator / common;
	uint32_t denominator = value.denominator / common;
	if (numerator > 1 && numerator < denominator) {
		denominator = (denominator + numerator / 2) / numerator;
		numerator = 1;
	}
	(void)snprintf(
	    text, sizeof(text), denominator == 1 ? "%u" : "%u/%u", numerator, denominator);
	ct_json_set_text(json, key, text);
}

/* At most two decimals. */
static void set_decimal(struct ct_json *json, const char *key, struct ct_worker_rational value)
{
	char text[32];
	if (value.numerator == 0 || value.denominator == 0)
		return;
	uint64_t hundredths =
	    ((uint64_t)value.numerator * 100 + value.denominator / 2) / value.denominator;
	int chars = snprintf(text, sizeof(text), "%llu.%02u",
	    (unsigned long long)(hundredths / 100), (unsigned)(hundredths % 100));
	CT_ASSERT(chars > 3 && (size_t)chars < sizeof(text));
	while (text[chars - 1] == '0')
		text[--chars] = '\0';
	if (text[chars - 1] == '.')
		text[--chars] = '\0';
	ct_json_set_text(json, key, text);
}

static void set_name(struct ct_json *json, const char *key, const char *text)
{
	if (text[0] != '\0')
		ct_json_set_text(json, key, text);
}

static char *exif_to_text(const struct ct_worker_exif *exif)
{
	ct_cleanup(json_cleanup) struct ct_json *json = ct_json_object();

	set_name(json, "make", exif->make);
	set_name(json, "model", exif->model);
	set_name(json, "lens", exif->lens);
	set_taken_at(json, exif);
	set_fraction(json, "exposure_time_s", exif->exposure_time);
	set_decimal(json, "f_number", exif->f_number);
	if (exif->iso > 0 && exif->iso <= MAX_ISO)
		ct_json_set_number(json, "iso", exif->iso);
	set_decimal(json, "focal_length_mm", exif->focal_length);
	return ct_json_to_text(json);
}

/* The failures that a worker may report about an image; anything else is its own. */
static int reported(const struct ct_worker_reply *reply, struct ct_imaging_failure *ret_failure)
{
	int error = reply->status;
	if (is_text(reply->message, sizeof(reply->message)) && reply->message[0] != '\0')
		ct_message_set(ret_failure->message, "%s", reply->message);
	else
		ct_message_set(ret_failure->message, "the image worker gave no reason");
	if (reply->limit > 0 && (reply->value == 0 || reply->value > reply->limit) &&
	    reply->limit <= INT64_MAX && reply->value <= INT64_MAX) {
		ret_failure->limit = reply->limit;
		ret_failure->value = reply->value;
	}
	switch (error) {
	case CT_ERROR_UNDECODABLE_IMAGE:
	case CT_ERROR_TOO_MANY_PIXELS:
	case CT_ERROR_TOO_MANY_FRAMES:
	case CT_ERROR_INTERLACED_TOO_LARGE:
	case CT_ERROR_PRINT_TOO_LARGE:
	case CT_ERROR_TYPE_MISMATCH:
	case CT_ERROR_WORKER_MEMORY: return error;
	case -ENOMEM: return CT_ERROR_WORKER_MEMORY;
	default: return CT_ERROR_PEER_PROTOCOL;
	}
}

static int nonsense(char *ret_message)
{
	ct_message_set(ret_message, "the image worker gave an answer that makes no sense");
	return CT_ERROR_PEER_PROTOCOL;
}

int ct_answer_accept(const struct ct_worker_request *request, const struct ct_worker_reply *reply,
    int *fds, struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure)
{
	char *ret_message = ret_failure->message;
	_Static_assert(CT_IMAGING_BLURHASH_BYTES == CT_WORKER_BLURHASH_BYTES, "same text");
	if (reply->status != 0)
		return reported(reply, ret_failure);
	const struct ct_image_type *type = ct_image_type_find(request->type);
	if (type == NULL || !is_head(request, reply) || !is_planned(request, reply) ||
	    !is_exif(&reply->exif) || !is_text(reply->blurhash, sizeof(reply->blurhash)))
		return nonsense(ret_message);
	for (size_t i = 0; i < reply->print_count; i++) {
		int r = seal(fds[i], reply->prints[i].size_bytes);
		if (r == CT_ERROR_PEER_PROTOCOL)
			return nonsense(ret_message);
		if (r < 0) {
			ct_message_set(ret_message, "%s", ct_error_text(r));
			return r;
		}
	}
	struct ct_developed developed = {
		.width = reply->width,
		.height = reply->height,
		.frames = reply->frames,
		.orientation = reply->orientation,
		.type = type->name,
		.exif = exif_to_text(&reply->exif),
		.has_gps = reply->exif.has_gps != 0,
		.print_count = reply->print_count,
	};
	if (developed.exif == NULL)
		return -ENOMEM;
	memcpy(developed.blurhash, reply->blurhash, sizeof(developed.blurhash));
	for (size_t i = 0; i < developed.print_count; i++) {
		developed.prints[i] = (struct ct_developed_print){
			.fd = ct_steal_fd(&fds[i]),
			.size_bytes = reply->prints[i].size_bytes,
			.width = reply->prints[i].width,
			.height = reply->prints[i].height,
			.type = CT_PLAN_PRINT_TYPE,
		};
	}
	*ret_developed = developed;
	return 0;
}

void ct_developed_done(struct ct_developed *developed)
{
	for (size_t i = 0; i < developed->print_count; i++)
		ct_close_fd(&developed->prints[i].fd);
	free(developed->exif);
	*developed = (struct ct_developed){ 0 };
}
