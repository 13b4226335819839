#include "images/images_priv.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/thread_pool.h"
#include "calotype/error.h"
#include "metadata/api_keys.h"
#include "metadata/images.h"

#include <errno.h>
#include <string.h>

/* ---- GET /images/{id}: point reads by key, in the HTTP thread ---- */

static int read_image(struct ct_images *images, const char *id, struct ct_json **ret_json)
{
	struct ct_image_row row;
	struct ct_metadata_view *view;
	if (!ct_id_is_valid(ct_slice_from_string(id)))
		return CT_ERROR_NOT_FOUND;
	int r = ct_metadata_borrow(images->metadata, &view);
	if (r < 0)
		return r;
	r = ct_image_get(view, id, &row);
	if (r == 0) {
		*ret_json = ct_image_to_json(view, &row, images->public_url);
		r = *ret_json != NULL ? 0 : CT_ERROR_DATABASE;
	}
	ct_metadata_give_back(images->metadata, view);
	return r;
}

static struct ct_http_response *make_problem(const struct ct_http_request *request, int error)
{
	if (error == CT_ERROR_NOT_FOUND)
		return ct_http_problem(request, error, "there is no such image");
	if (error == CT_ERROR_LIMIT_REACHED)
		return ct_http_problem(request, error, "too many images are being deleted");
	return ct_http_problem(request, error, "the image could not be read or changed");
}

static enum ct_http_next get_image(struct ct_http_request *request, void *context)
{
	struct ct_json *json = NULL;
	int r = read_image(context, ct_http_parameter(request, "id"), &json);
	if (r < 0)
		return ct_http_answer(request, make_problem(request, r));
	struct ct_http_response *response = ct_http_response_new(200);
	ct_http_response_header(response, "Cache-Control", "private, no-cache");
	ct_http_response_json(response, json);
	return ct_http_answer(request, response);
}

/* ---- GET /images ---- */

static int fill_page(struct ct_metadata_view *view, struct ct_list_page *page, void *context)
{
	const struct ct_images *images = context;
	ct_cleanup(ct_free_pointer) struct ct_image_row *rows =
	    calloc((size_t)page->limit + 1, sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	int count = ct_image_list(view, (enum ct_image_state)page->state, page->before_at,
	    page->before_id, rows, page->limit + 1);
	if (count < 0)
		return count;
	page->has_more = count > page->limit;
	for (int i = 0; i < count && i < page->limit; i++) {
		struct ct_json *item = ct_image_to_json(view, &rows[i], images->public_url);
		if (item == NULL)
			return CT_ERROR_DATABASE;
		ct_json_append(page->items, item);
	}
	if (page->has_more) {
		const struct ct_image_row *last = &rows[page->limit - 1];
		page->last_at = last->created_at;
		memcpy(page->last_id, last->id, sizeof(page->last_id));
	}
	return 0;
}

static enum ct_http_next list_images(struct ct_http_request *request, void *context)
{
	struct ct_images *images = context;
	return ct_list_answer(request, &images->list);
}

/* ---- DELETE /images/{id}: waits for the commit and the files, in a thread of the pool ---- */

struct delete_call {
	struct ct_http_request *request;
	struct ct_images *images;
};

static void run_delete(void *arg)
{
	struct delete_call *call = arg;
	int r = ct_images_delete(call->images, ct_http_parameter(call->request, "id"));
	(void)ct_http_answer(call->request, /* its result is for handlers */
	    r < 0 ? make_problem(call->request, r) : ct_http_response_new(204));
	free(call);
}

static enum ct_http_next delete_image(struct ct_http_request *request, void *context)
{
	struct ct_images *images = context;
	ct_cleanup(ct_free_pointer) struct delete_call *call = calloc(1, sizeof(*call));
	if (call == NULL)
		return ct_http_answer(request, NULL);
	call->request = request;
	call->images = images;
	int r = ct_thread_pool_submit(images->readers, run_delete, call);
	if (r < 0)
		return ct_http_answer(request, make_problem(request, r));
	(void)ct_steal(call); /* the pool's now */
	return CT_HTTP_WAIT;
}

/* ---- life ---- */

CT_DEFINE_CLEANUP(images_cleanup, struct ct_images *, ct_images_free)

int ct_images_new(const struct ct_images_options *options, struct ct_images **ret_images)
{
	CT_ASSERT(options->metadata != NULL && options->store != NULL);
	ct_cleanup(images_cleanup) struct ct_images *images = calloc(1, sizeof(*images));
	if (images == NULL)
		return -ENOMEM;
	images->metadata = options->metadata;
	images->store = options->store;
	images->readers = options->readers;
	images->deleted = options->deleted;
	images->deleted_arg = options->deleted_arg;
	if (options->public_url != NULL) {
		images->public_url = strdup(options->public_url);
		if (images->public_url == NULL)
			return -ENOMEM;
	}
	*ret_images = ct_steal(images);
	return 0;
}

void ct_images_free(struct ct_images *images)
{
	if (images == NULL)
		return;
	free(images->public_url);
	free(images);
}

int ct_images_add_routes(struct ct_images *images, struct ct_http_server *server)
{
	static const struct ct_http_handler get_handler = { .head = get_image };
	static const struct ct_http_handler list_handler = { .head = list_images };
	static const struct ct_http_handler delete_handler = { .head = delete_image };
	CT_ASSERT(images->readers != NULL);
	for (int i = 0; i < CT_IMAGE_STATE_COUNT; i++)
		images->states[i] = ct_image_state_name((enum ct_image_state)i);
	images->list = (struct ct_list){
		.path = "/images",
		.public_url = images->public_url,
		.states = images->states,
		.state_count = CT_IMAGE_STATE_COUNT,
		.default_state = CT_IMAGE_READY,
		.readers = images->readers,
		.metadata = images->metadata,
		.fill = fill_page,
		.context = images,
	};
	images->routes[0] =
	    (struct ct_http_route){ CT_HTTP_GET, "/images", CT_SCOPE_READ, &list_handler, images };
	images->routes[1] = (struct ct_http_route){ CT_HTTP_GET, "/images/{id}", CT_SCOPE_READ,
		&get_handler, images };
	images->routes[2] = (struct ct_http_route){ CT_HTTP_DELETE, "/images/{id}", CT_SCOPE_WRITE,
		&delete_handler, images };
	return ct_http_server_add(server, images->routes, 3);
}
