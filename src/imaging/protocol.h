/*
 * What the pool and a worker say to each other over a SOCK_SEQPACKET pair, in messages of a fixed
 * size. Both come from one build; `version` guards against a stale worker on disk.
 *
 * The pool sets the worker's limits from outside and says hello. The worker confines itself, runs
 * each codec once, and says `ready`: a reply with status 0 and the layers that hold. Then each
 * request is answered by one reply. A request carries descriptors (SCM_RIGHTS): the input, a
 * sealed memory file, then one empty memory file for each wanted width.
 *
 * Texts are NUL-terminated; the pool checks that, and everything else, since the worker that
 * answers may be in the hands of the image.
 */
#ifndef CT_IMAGING_PROTOCOL_H
#define CT_IMAGING_PROTOCOL_H

#include "imaging/plan.h"
#include <stdint.h>

#define CT_WORKER_PROTOCOL_VERSION 3u
#define CT_WORKER_SOCKET 3
#define CT_WORKER_MAX_FDS (1 + CT_PLAN_MAX_PRINTS)
#define CT_WORKER_EXIT_MEMORY 86 /* GLib would abort: told apart from a crash */

#define CT_WORKER_TYPE_BYTES 32
#define CT_WORKER_TEXT_BYTES 64
#define CT_WORKER_MESSAGE_BYTES 512
#define CT_WORKER_BLURHASH_BYTES 40

struct ct_worker_hello {
	uint32_t version;
	uint32_t without_codecs; /* 1: only the sandbox is of interest; it takes no request */
};

struct ct_worker_request {
	uint32_t version;
	uint32_t width_count;
	int32_t widths[CT_PLAN_MAX_PRINTS];
	uint64_t input_bytes;
	uint64_t max_pixels;	  /* of a frame */
	uint64_t max_all_pixels;  /* of all frames together */
	uint64_t max_whole_bytes; /* of an image that must be decoded whole in memory */
	uint64_t max_print_bytes; /* what the limit on file size says, for the message */
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
	int32_t status;	 /* 0 or a code of error.h */
	uint32_t layers; /* of sandbox.h; in the first reply */
	int32_t width;
	int32_t height;
	int32_t frames;
	int32_t orientation;
	uint32_t print_count;
	struct ct_worker_print prints[CT_PLAN_MAX_PRINTS]; /* the first descriptors, in order */
	char blurhash[CT_WORKER_BLURHASH_BYTES];
	struct ct_worker_exif exif;
	uint64_t limit; /* that was passed, when status is about one; else 0 */
	uint64_t value; /* what passed it; 0: not known */
	char message[CT_WORKER_MESSAGE_BYTES]; /* why, when status is not 0 */
};

#endif
