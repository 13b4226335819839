/*
 * What the pool and a worker say to each other: one message each way, of a fixed size, over a
 * SOCK_SEQPACKET pair. Both come from one build; `version` guards against a stale worker on disk.
 * A request carries descriptors (SCM_RIGHTS): the input, then one empty memory file for each
 * wanted width. The worker first says `ready` by a reply with status 0.
 *
 * Texts are NUL-terminated; the pool checks that, and everything else, since the worker that
 * answers may be in the hands of the image.
 */
#ifndef CT_IMAGING_PROTOCOL_H
#define CT_IMAGING_PROTOCOL_H

#include "imaging/plan.h"
#include <stdint.h>

#define CT_WORKER_PROTOCOL_VERSION 1u
#define CT_WORKER_SOCKET 3
#define CT_WORKER_MAX_FDS (1 + CT_PLAN_MAX_PRINTS)
#define CT_WORKER_EXIT_MEMORY 86 /* GLib would abort: told apart from a crash */

/* Set to 1 in the environment of the pool, the worker obeys the types test/crash and so on. */
#define CT_WORKER_TEST_VARIABLE "CALOTYPE_WORKER_TEST"

#define CT_WORKER_TYPE_BYTES 32
#define CT_WORKER_TEXT_BYTES 64
#define CT_WORKER_MESSAGE_BYTES 512
#define CT_WORKER_BLURHASH_BYTES 40

struct ct_worker_request {
	uint32_t version;
	uint32_t width_count;
	int32_t widths[CT_PLAN_MAX_PRINTS];
	uint64_t max_pixels;
	uint64_t memory_bytes;
	uint64_t max_print_bytes;
	uint32_t cpu_s;
	char type[CT_WORKER_TYPE_BYTES];
};

struct ct_worker_rational {
	uint32_t numerator;
	uint32_t denominator; /* 0: not known */
};

/* What may be told about the photograph. Zero and empty mean that the file does not say. */
struct ct_worker_exif {
	char make[CT_WORKER_TEXT_BYTES];
	char model[CT_WORKER_TEXT_BYTES];
	char lens[CT_WORKER_TEXT_BYTES];
	char taken_at[24];  /* "2024:05:06 07:08:09", as it is in the file */
	char utc_offset[8]; /* "+02:00" */
	struct ct_worker_rational exposure_time;
	struct ct_worker_rational f_number;
	struct ct_worker_rational focal_length;
	uint32_t iso;
	uint32_t has_gps;
};

struct ct_worker_print {
	int32_t width;
	int32_t height;
	uint64_t size_bytes;
};

struct ct_worker_reply {
	uint32_t version;
	int32_t status; /* 0 or a code of error.h */
	int32_t width;
	int32_t height;
	int32_t frames;
	int32_t orientation;
	uint32_t print_count;
	struct ct_worker_print prints[CT_PLAN_MAX_PRINTS]; /* the first descriptors, in order */
	char blurhash[CT_WORKER_BLURHASH_BYTES];
	struct ct_worker_exif exif;
	char message[CT_WORKER_MESSAGE_BYTES]; /* why, when status is not 0 */
};

#endif
