/*
 * Calotype's HTTP interface as typed calls. Each returns 0, or a negative error of which
 * ct_server_failure() knows more. They block, but come back within a second of an interrupt. One
 * server belongs to one thread.
 */
#ifndef CT_CLI_SERVER_H
#define CT_CLI_SERVER_H

#include "base/json.h"
#include "base/text.h"
#include "calotype/digest.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ct_server;

#define CT_SERVER_ETAG_MAX 127
#define CT_SERVER_DETAIL_MAX 511
#define CT_SERVER_CODE_MAX 63
#define CT_SERVER_NEXT_MAX 1023
#define CT_SERVER_PROBLEM_MAX 4095

/* What a failed call means for the caller. */
enum ct_verdict {
	CT_VERDICT_RETRY,   /* no connection, 5xx, 408, 409, 423, 429 */
	CT_VERDICT_MISSING, /* 404, 410 */
	CT_VERDICT_AUTH,    /* 401, 403 */
	CT_VERDICT_REFUSED, /* any other 4xx, or an answer without sense */
	CT_VERDICT_INTERRUPTED,
	CT_VERDICT_LOCAL /* a callback broke it off, or no memory */
};

struct ct_failure {
	enum ct_verdict verdict;
	int error;
	int status;		/* 0: no answer */
	int64_t retry_after_ms; /* 0: not told */
	char code[CT_SERVER_CODE_MAX + 1];
	char detail[CT_SERVER_DETAIL_MAX + 1]; /* escaped */
	/* The problem (RFC 9457) as the server sent it, JSON; "": there was none, or a longer one.
	 */
	char problem[CT_SERVER_PROBLEM_MAX + 1];
};

/* The key from CALOTYPE_API_KEY, or the file that CALOTYPE_API_KEY_FILE names. `*ret_key` is NULL
 * when there is none; malloc'd. -errno of the file. */
int ct_server_key_from_environment(char **ret_key);

int ct_server_open(const char *url, const char *api_key, struct ct_server **ret_server);
void ct_server_close(struct ct_server *server);
const char *ct_server_url(const struct ct_server *server);

/* Of the last call that failed; borrowed until the next call. */
const struct ct_failure *ct_server_failure(const struct ct_server *server);

/* Keeps the problem, if it is a JSON object that is not too long. */
void ct_failure_set_problem(struct ct_failure *failure, const struct ct_json *problem);

/* The caller's own verdict on an answer, as if the call had failed; returns `error`. */
int ct_server_fail(
    struct ct_server *server, enum ct_verdict verdict, int error, const char *detail);

/* ---- uploads: tus 1.0.0 ---- */

struct ct_upload_status {
	uint64_t offset;
	char upload[CT_ID_CHARS + 1];
	char job[CT_ID_CHARS + 1]; /* "": not complete, or not told */
};

struct ct_append {
	const char *upload;
	uint64_t offset;
	uint64_t length_bytes;
	uint64_t max_bytes_per_second; /* 0: no limit */
	/* As in base/http_client.h. */
	int64_t (*read)(void *arg, void *data, size_t capacity);
	void (*sent)(void *arg, uint64_t sent_bytes);
	void *arg;
};

int ct_server_create_upload(struct ct_server *server, const char *filename, uint64_t size_bytes,
    struct ct_upload_status *ret_status);
int ct_server_get_upload(
    struct ct_server *server, const char *upload, struct ct_upload_status *ret_status);
int ct_server_append(
    struct ct_server *server, const struct ct_append *append, struct ct_upload_status *ret_status);
int ct_server_delete_upload(struct ct_server *server, const char *upload);

/* ---- jobs and images ---- */

struct ct_job_poll {
	char etag[CT_SERVER_ETAG_MAX + 1]; /* of what is known; "" at first; renewed */
	unsigned wait_s; /* > 0: the server may wait so long for another version than `etag` */
	int64_t retry_after_ms; /* 0: not told, or the server has waited */
	bool waited;		/* it knows how to: ask again at once */
	struct ct_json *job;	/* the caller's; NULL: as before */
};

int ct_server_get_job(struct ct_server *server, const char *job, struct ct_job_poll *poll);
int ct_server_get_image(struct ct_server *server, const char *image, struct ct_json **ret_image);
int ct_server_delete_image(struct ct_server *server, const char *image);

/*
 * One page: `query` begins with "?" or is empty. `ret_next` becomes the query of the next page, ""
 * on the last.
 */
int ct_server_list_images(struct ct_server *server, const char *query, struct ct_json **ret_page,
    char ret_next[CT_SERVER_NEXT_MAX + 1]);

/* Makes the addresses in an image absolute, for people and programs. NULL is allowed. */
void ct_image_make_absolute(struct ct_json *image, const char *url);

/* ---- blobs ---- */

struct ct_blob_head {
	uint64_t size_bytes;
	char etag[CT_SERVER_ETAG_MAX + 1];
};

int ct_server_head_blob(
    struct ct_server *server, const char *sha256, struct ct_blob_head *ret_head);

struct ct_blob_download {
	uint64_t offset; /* > 0: the rest from here, if it still has this: */
	const char *etag;
	/* Before the first byte: where the bytes begin (0, or `offset`), and how many follow in all
	 * (UINT64_MAX: not told). Nonzero breaks off, here and in write. */
	int (*begin)(void *arg, uint64_t offset, uint64_t total_bytes);
	int (*write)(void *arg, const void *data, size_t length);
	void *arg;
};

int ct_server_download_blob(
    struct ct_server *server, const char *sha256, const struct ct_blob_download *download);

#endif
