/*
 * JSON (RFC 8259), over jansson. A tree belongs to one thread at a time. Building never needs a
 * check in between: a failed step latches in the node, and ct_json_print() reports it. Setting
 * NULL text sets null. Reading is strict: bad UTF-8 and duplicate keys are refused.
 */
#ifndef CT_BASE_JSON_H
#define CT_BASE_JSON_H

#include "base/buffer.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

struct ct_json;

struct ct_json *ct_json_object(void);
struct ct_json *ct_json_array(void);
void ct_json_free(struct ct_json *json); /* NULL is allowed */

/* All take NULL for `object` or `array` (then nothing happens), so that out-of-memory latches. */
void ct_json_set_text(struct ct_json *object, const char *key, const char *text);
void ct_json_set_number(struct ct_json *object, const char *key, int64_t number);
void ct_json_set_real(struct ct_json *object, const char *key, double number);
void ct_json_set_bool(struct ct_json *object, const char *key, bool value);
void ct_json_set_null(struct ct_json *object, const char *key);
/* 0 gives null, else RFC 3339 with milliseconds. */
void ct_json_set_time(struct ct_json *object, const char *key, int64_t wall_ms);
/* Takes over `child`. */
void ct_json_set(struct ct_json *object, const char *key, struct ct_json *child);
void ct_json_append(struct ct_json *array, struct ct_json *child);
void ct_json_append_text(struct ct_json *array, const char *text);
/* Parses text of our own (a column of the database) into the place; bad text gives null. */
void ct_json_set_parsed(struct ct_json *object, const char *key, const char *text);

/* Compact; -ENOMEM also when a step of the building failed; -EMSGSIZE. */
int ct_json_print(const struct ct_json *json, struct ct_buffer *buffer);
/* A malloc'd string, or NULL. */
char *ct_json_to_text(const struct ct_json *json);

/*
 * The text of an array or object; -EINVAL: something else, or nested more than 64 deep; -ENOMEM.
 */
int ct_json_parse(struct ct_slice text, struct ct_json **ret_json);

/* Borrowed from `object`; NULL, or the default, when missing or of another type. */
const char *ct_json_get_text(const struct ct_json *object, const char *key);
int64_t ct_json_get_number(const struct ct_json *object, const char *key, int64_t otherwise);
double ct_json_get_real(const struct ct_json *object, const char *key, double otherwise);
bool ct_json_get_bool(const struct ct_json *object, const char *key, bool otherwise);
/* A child that the caller frees (it shares the tree); NULL when missing. */
struct ct_json *ct_json_get(const struct ct_json *object, const char *key);
size_t ct_json_length(const struct ct_json *array);
struct ct_json *ct_json_at(const struct ct_json *array, size_t index);

#endif
