#include "uploads/uploads_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWNER_MAX 24
#define PUBLIC_URL_MAX 1024 /* answer.c's buffer holds it and what follows */
#define ORPHAN_SWEEP_MS (3600 * 1000LL)
#define TAKEOVER_MS 20000

static void fill_defaults(struct ct_uploads_options *options)
{
	if (options->accept == NULL)
		options->accept = CT_UPLOADS_ACCEPT;
	if (options->max_file_bytes == 0)
		options->max_file_bytes = CT_UPLOADS_MAX_FILE_BYTES;
	if (options->max_open_uploads == 0)
		options->max_open_uploads = CT_UPLOADS_MAX_OPEN;
	if (options->expiry_ms == 0)
		options->expiry_ms = CT_UPLOADS_EXPIRY_MS;
	if (options->orphan_sweep_ms == 0)
		options->orphan_sweep_ms =
		    options->expiry_ms < ORPHAN_SWEEP_MS ? options->expiry_ms : ORPHAN_SWEEP_MS;
	if (options->takeover_ms == 0)
		options->takeover_ms = TAKEOVER_MS;
}

/* A restarted server has the same name; its leases must not look like its own. */
static int name_instance(struct ct_uploads *uploads)
{
	char word[CT_ID_CHARS + 1];
	const char *owner = uploads->options.owner;

	CT_ASSERT(owner != NULL);
	int r = ct_id_generate(word);
	if (r < 0)
		return r;
	int length = snprintf(
	    uploads->instance, sizeof(uploads->instance), "%.*s/%s", OWNER_MAX, owner, word);
	CT_ASSERT(length > 0 && (size_t)length < sizeof(uploads->instance));
	return 0;
}

int ct_uploads_new(const struct ct_uploads_options *options, struct ct_uploads **ret_uploads)
{
	CT_ASSERT(options->metadata != NULL && options->store != NULL);
	CT_ASSERT(options->commit_pool != NULL);
	if (options->public_url != NULL && strlen(options->public_url) > PUBLIC_URL_MAX)
		return -EINVAL;
	ct_cleanup(ct_free_pointer) struct ct_uploads *uploads = calloc(1, sizeof(*uploads));
	if (uploads == NULL)
		return -ENOMEM;

	uploads->options = *options;
	fill_defaults(&uploads->options);
	int r = name_instance(uploads);
	if (r < 0)
		return r;
	r = ct_accept_new(uploads->options.accept, &uploads->accept);
	if (r < 0)
		return r;
	r = ct_sniffer_new(&uploads->sniffer);
	if (r < 0) {
		ct_accept_free(uploads->accept);
		return r;
	}
	ct_registry_init(&uploads->registry, uploads->options.takeover_ms);
	/* First at the first tick: a server that is often started again would never come to it. */
	uploads->orphans_seen_ms = ct_clock_monotonic_ms() - uploads->options.orphan_sweep_ms;
	*ret_uploads = ct_steal(uploads);
	return 0;
}

int ct_uploads_start(struct ct_uploads *uploads)
{
	return ct_registry_start(&uploads->registry);
}

int ct_uploads_stop(struct ct_uploads *uploads, int64_t timeout_ms)
{
	return ct_registry_wait_idle(&uploads->registry, timeout_ms);
}

void ct_uploads_free(struct ct_uploads *uploads)
{
	if (uploads == NULL)
		return;
	ct_registry_done(&uploads->registry);
	ct_sniffer_free(uploads->sniffer);
	ct_accept_free(uploads->accept);
	free(uploads);
}

bool ct_uploads_is_full(struct ct_uploads *uploads)
{
	int64_t open = ct_upload_open_count(uploads->options.metadata);

	return open + atomic_load(&uploads->creating) >= uploads->options.max_open_uploads;
}

int ct_uploads_add_routes(struct ct_uploads *uploads, struct ct_http_server *server)
{
	int r = ct_uploads_add_whole_routes(uploads, server);

	return r < 0 ? r : ct_uploads_add_tus_routes(uploads, server);
}
