#include "model.h"

#include "base/hash.h"
#include "samples.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACED 24

static struct {
	uint64_t operation;
	const char *name;
	char subject[CT_ID_CHARS + 1];
} traced[TRACED];

/* Around the blocks of the hash, pages, and what the sniffer looks at; the last two are refused. */
static const size_t lengths[MODEL_CONTENTS] = { 256, 257, 320, 1000, 1024, 4096, 4097, 9000, 16384,
	66000, 40, 3000 };
#define REFUSED_CONTENTS 2

static uint64_t next_random(struct model *model)
{
	/* splitmix64 */
	uint64_t z = (model->random += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

unsigned model_random(struct model *model, unsigned limit)
{
	return (unsigned)(next_random(model) % limit);
}

bool model_chance(struct model *model, unsigned percent)
{
	return model_random(model, 100) < percent;
}

static void make_content(struct model_content *content, int number)
{
	const struct sample *sample = &samples[SAMPLE_PNG];
	uint32_t state = (uint32_t)number * 2654435761u + 1;

	content->length = lengths[number];
	content->is_taken = number < MODEL_CONTENTS - REFUSED_CONTENTS;
	content->data = malloc(content->length);
	if (content->data == NULL)
		abort();
	for (size_t i = 0; i < content->length; i++) {
		state = state * 1664525u + 1013904223u;
		content->data[i] = content->is_taken ? (char)(state >> 24) : "just words\n"[i % 11];
	}
	if (content->is_taken)
		memcpy(content->data, sample->data,
		    sample->length < content->length ? sample->length : content->length);
	ct_hash_once(content->data, content->length, &content->digest);
}

void model_init(struct model *model, uint64_t seed)
{
	*model = (struct model){ .seed = seed, .random = seed };
	for (int i = 0; i < MODEL_CONTENTS; i++)
		make_content(&model->contents[i], i);
}

void model_done(struct model *model)
{
	for (int i = 0; i < MODEL_CONTENTS; i++)
		free(model->contents[i].data);
}

void model_trace(struct model *model, const char *name, const void *subject)
{
	size_t i = (size_t)(model->operation % TRACED);

	traced[i].operation = model->operation;
	traced[i].name = name;
	(void)snprintf(traced[i].subject, sizeof(traced[i].subject), "%s",
	    subject != NULL ? (const char *)subject : "");
}

void model_fail(const struct model *model, const char *text, ...)
{
	va_list arguments;

	for (uint64_t i = 1; i <= TRACED; i++) {
		size_t at = (size_t)((model->operation + i) % TRACED);
		if (traced[at].name != NULL)
			(void)fprintf(stderr, "%10" PRIu64 " %s %s\n", traced[at].operation,
			    traced[at].name, traced[at].subject);
	}
	(void)fprintf(
	    stderr, "seed %" PRIu64 ", operation %" PRIu64 ": ", model->seed, model->operation);
	va_start(arguments, text);
	(void)vfprintf(stderr, text, arguments);
	va_end(arguments);
	(void)fprintf(stderr, "\nagain: --seed %" PRIu64 " --operations %" PRIu64 "\n", model->seed,
	    model->operation);
	_Exit(1);
}

/* ---- finding ---- */

struct model_upload *model_free_upload(struct model *model)
{
	return model_find_upload(model, "");
}

struct model_upload *model_find_upload(struct model *model, const char *id)
{
	for (int i = 0; i < MODEL_UPLOADS; i++)
		if (strcmp(model->uploads[i].id, id) == 0)
			return &model->uploads[i];
	return NULL;
}

struct model_whole *model_free_whole(struct model *model)
{
	for (int i = 0; i < MODEL_WHOLES; i++)
		if (model->wholes[i].session == NULL)
			return &model->wholes[i];
	return NULL;
}

struct model_image *model_find_image(struct model *model, const char *id)
{
	for (int i = 0; i < MODEL_IMAGES; i++)
		if (strcmp(model->images[i].id, id) == 0)
			return &model->images[i];
	return NULL;
}

struct model_upload *model_pick_upload(
    struct model *model, bool (*fits)(const struct model *, const struct model_upload *))
{
	struct model_upload *found[MODEL_UPLOADS];
	unsigned count = 0;

	for (int i = 0; i < MODEL_UPLOADS; i++)
		if (model->uploads[i].id[0] != '\0' && fits(model, &model->uploads[i]))
			found[count++] = &model->uploads[i];
	return count > 0 ? found[model_random(model, count)] : NULL;
}

struct model_image *model_pick_image(struct model *model)
{
	struct model_image *found[MODEL_IMAGES];
	unsigned count = 0;

	for (int i = 0; i < MODEL_IMAGES; i++)
		if (model->images[i].id[0] != '\0')
			found[count++] = &model->images[i];
	return count > 0 ? found[model_random(model, count)] : NULL;
}

unsigned model_image_count(const struct model *model)
{
	unsigned count = 0;

	for (int i = 0; i < MODEL_IMAGES; i++)
		count += model->images[i].id[0] != '\0';
	return count;
}

unsigned model_receiving_count(const struct model *model)
{
	unsigned count = 0;

	for (int i = 0; i < MODEL_UPLOADS; i++)
		count += model->uploads[i].id[0] != '\0' &&
			 model->uploads[i].state == CT_UPLOAD_RECEIVING;
	return count;
}

bool model_is_open(const struct model_upload *upload)
{
	return upload->state == CT_UPLOAD_RECEIVING || upload->state == CT_UPLOAD_FINISHING;
}

bool model_is_expired(const struct model *model, const struct model_upload *upload)
{
	return upload->state == CT_UPLOAD_RECEIVING && upload->expires_at <= model->now_ms;
}

uint64_t model_used_bytes(const struct model *model)
{
	uint64_t sum = 0;

	for (int i = 0; i < MODEL_CONTENTS; i++)
		sum += model->contents[i].has_file ? model->contents[i].length : 0;
	for (int i = 0; i < MODEL_UPLOADS; i++)
		if (model->uploads[i].id[0] != '\0' && model->uploads[i].has_staging)
			sum += model->uploads[i].content->length;
	for (int i = 0; i < MODEL_WHOLES; i++)
		if (model->wholes[i].session != NULL)
			sum += model->wholes[i].is_length_known ? model->wholes[i].content->length
								: model->wholes[i].sent;
	for (int i = 0; i < MODEL_ORPHANS; i++)
		sum += model->orphans[i].id[0] != '\0' ? model->orphans[i].length : 0;
	return sum;
}

/* ---- what has happened ---- */

static void expect_event(struct model *model, bool is_deletion, const char *image_id)
{
	MODEL_EXPECT(model, model->event_count < MODEL_EVENTS, "too many between two audits");
	struct model_event *event = &model->events[model->event_count++];

	event->is_deletion = is_deletion;
	(void)snprintf(event->image_id, sizeof(event->image_id), "%s", image_id);
}

void model_created(
    struct model *model, struct model_upload *upload, const char *id, struct model_content *content)
{
	model->acknowledged++;
	*upload = (struct model_upload){
		.content = content,
		.state = CT_UPLOAD_RECEIVING,
		.expires_at = model->now_ms + MODEL_EXPIRY_MS,
		.updated_at = model->now_ms,
		.written_at = model->now_ms,
		.has_staging = true,
	};
	(void)snprintf(upload->id, sizeof(upload->id), "%s", id);
}

void model_saved(struct model *model, struct model_upload *upload)
{
	MODEL_EXPECT(model, upload->sent >= upload->offset, "the model itself moves back");
	model->acknowledged++;
	upload->offset = upload->sent;
	upload->expires_at = model->now_ms + MODEL_EXPIRY_MS;
	upload->updated_at = model->now_ms;
}

void model_ended(struct model *model, struct model_upload *upload, enum ct_upload_state state)
{
	model->acknowledged += state == CT_UPLOAD_REFUSED || state == CT_UPLOAD_CANCELED;
	model->expired += state == CT_UPLOAD_EXPIRED;
	upload->state = state;
	upload->updated_at = model->now_ms;
	upload->has_staging = false;
}

void model_imaged(struct model *model, struct model_content *content, const char *image_id)
{
	struct model_image *image = model_find_image(model, "");

	MODEL_EXPECT(model, image != NULL, "no place for one more image");
	MODEL_EXPECT(model, content->is_taken, "an image of a refused type");
	model->acknowledged++;
	model->finished++;
	model->duplicates += content->has_file;
	*image = (struct model_image){ .content = content };
	(void)snprintf(image->id, sizeof(image->id), "%s", image_id);
	content->images++;
	content->has_row = content->has_file = true;
	content->row_at = content->file_at = model->now_ms;
	expect_event(model, false, image_id);
}

void model_finished(struct model *model, struct model_upload *upload, const char *image_id)
{
	struct model_content *content = upload->content;
	int64_t file_at = content->file_at;
	/* A crash had come right after the publishing. */
	bool is_published = !upload->has_staging;

	model_ended(model, upload, CT_UPLOAD_DONE);
	upload->offset = content->length;
	(void)snprintf(upload->image_id, sizeof(upload->image_id), "%s", image_id);
	model_imaged(model, content, image_id);
	if (is_published)
		content->file_at = file_at;
}

void model_deleted(struct model *model, struct model_image *image)
{
	model->acknowledged++;
	model->deleted++;
	image->content->images--;
	image->content->row_at = model->now_ms;
	expect_event(model, true, image->id);
	image->id[0] = '\0';
}

void model_orphaned(struct model *model, const struct model_upload *upload)
{
	for (int i = 0; i < MODEL_ORPHANS; i++) {
		struct model_orphan *orphan = &model->orphans[i];

		if (orphan->id[0] != '\0')
			continue;
		*orphan = (struct model_orphan){
			.length = upload->content->length,
			.written_at = upload->written_at,
			.is_new = true,
		};
		memcpy(orphan->id, upload->id, sizeof(orphan->id));
		return;
	}
	model_fail(model, "no place for one more staging file without an upload");
}

bool model_will_expire(const struct model *model, const struct model_upload *upload)
{
	return upload->session == NULL && model_is_expired(model, upload);
}

bool model_will_be_finished(const struct model *model, const struct model_upload *upload)
{
	return upload->session == NULL && upload->state == CT_UPLOAD_FINISHING &&
	       upload->updated_at <= model->now_ms - MODEL_STRANDED_MS;
}

bool model_will_be_forgotten(const struct model *model, const struct model_upload *upload)
{
	return !model_is_open(upload) && upload->updated_at < model->now_ms - MODEL_KEEP_MS;
}

/* Complete and published for so long, but a crash came before its image. */
static bool is_waited_for(const struct model *model, int64_t before)
{
	for (int i = 0; i < MODEL_UPLOADS; i++)
		if (model->uploads[i].id[0] != '\0' &&
		    model->uploads[i].state == CT_UPLOAD_FINISHING &&
		    model->uploads[i].updated_at <= before)
			return true;
	return false;
}

void model_swept(struct model *model)
{
	int64_t before = model->now_ms - MODEL_GRACE_MS;

	if (is_waited_for(model, before))
		return;
	for (int i = 0; i < MODEL_CONTENTS; i++) {
		struct model_content *content = &model->contents[i];
		bool was_there = content->has_file;

		if (content->images > 0 || content->file_at >= before ||
		    (content->has_row && content->row_at >= before))
			continue;
		content->has_row = content->has_file = false;
		model->swept += was_there;
	}
}
