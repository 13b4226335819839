/*
 * A plain program, so that it also runs under TSan: many clients fight over few uploads, each
 * interrupts the others, loses its connection at random places and comes back, until every upload
 * is done. Then every image must be whole, and there must be one for each upload.
 */
#include "base/assert.h"
#include "base/hash.h"
#include "base/thread_pool.h"
#include "calotype/blob_open.h"
#include "calotype/error.h"
#include "uploads/session.h"
#include "uploads/uploads_priv.h"
#include "metadata/images.h"
#include "metadata/uploads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS 8
#define UPLOADS 16
#define LENGTH ((size_t)400000)
#define PIECE 8000

static struct ct_uploads *uploads;
static struct ct_blob_store *store;
static struct ct_metadata *metadata;
static char ids[UPLOADS][CT_ID_CHARS + 1];
static char data[LENGTH];

struct client {
	pthread_t thread;
	unsigned first; /* set once */
	unsigned seed;
	atomic_bool is_interrupted;
	struct ct_lock lock;
	struct ct_condition changed;
	bool is_done; /* under lock */
	int result;   /* under lock */
	unsigned interrupts, busy, conflicts;
};

static void done(void *arg, int result)
{
	struct client *client = arg;

	ct_lock_take(&client->lock);
	client->is_done = true;
	client->result = result;
	ct_condition_broadcast(&client->changed);
	ct_lock_release(&client->lock);
}

static int await(struct client *client, int started)
{
	if (started < 0)
		return started;
	ct_lock_take(&client->lock);
	while (!client->is_done)
		ct_condition_wait(&client->changed, &client->lock);
	client->is_done = false;
	int r = client->result;
	ct_lock_release(&client->lock);
	return r;
}

static void interrupted(void *arg)
{
	struct client *client = arg;

	atomic_store(&client->is_interrupted, true);
}

static struct ct_session *session_new(struct client *client)
{
	struct ct_session *session;

	atomic_store(&client->is_interrupted, false);
	CT_ASSERT(ct_session_new(uploads, "thread", interrupted, client, &session) == 0);
	return session;
}

static int open_for(struct client *client, struct ct_session *session, int which,
    enum ct_session_purpose purpose, uint64_t offset)
{
	struct ct_session_open open = {
		.id = ids[which],
		.purpose = purpose,
		.offset = offset,
		.body_bytes = CT_BLOB_LENGTH_UNKNOWN,
	};

	return await(client, ct_session_open(session, &open, done, client));
}

/* Sends until it is interrupted, loses its connection, or has sent all. */
static void send_pieces(struct client *client, struct ct_session *session, uint64_t offset)
{
	while (offset < LENGTH) {
		size_t length = LENGTH - offset < PIECE ? (size_t)(LENGTH - offset) : PIECE;
		bool breaks = rand_r(&client->seed) % 12 == 0;
		if (atomic_load(&client->is_interrupted) || breaks) {
			client->interrupts += !breaks;
			return;
		}
		CT_ASSERT(ct_session_append(session, data + offset, length) == 0);
		offset += length;
		if (rand_r(&client->seed) % 4 == 0 && offset < LENGTH)
			CT_ASSERT(await(client, ct_session_checkpoint(session, done, client)) == 0);
	}
	CT_ASSERT(await(client, ct_session_finish(session, done, client)) == 0);
}

/* True when the upload is done. */
static bool try_once(struct client *client, int which)
{
	struct ct_session *session = session_new(client);
	int r = open_for(client, session, which, CT_SESSION_READ, 0);
	uint64_t offset = ct_session_row(session)->at.offset;
	bool is_over = r == 0 && ct_session_row(session)->state == CT_UPLOAD_DONE;

	ct_session_end(session);
	if (r == CT_ERROR_UPLOAD_BUSY)
		client->busy++;
	else
		CT_ASSERT(r == 0);
	if (r < 0 || is_over)
		return is_over;

	session = session_new(client);
	r = open_for(client, session, which, CT_SESSION_APPEND, offset);
	if (r == CT_ERROR_OFFSET_CONFLICT)
		client->conflicts++;
	else if (r == CT_ERROR_UPLOAD_BUSY)
		client->busy++;
	else
		CT_ASSERT(r == 0);
	if (r == 0 && ct_session_row(session)->state == CT_UPLOAD_RECEIVING)
		send_pieces(client, session, offset);
	ct_session_end(session);
	return false;
}

static void *run(void *arg)
{
	struct client *client = arg;

	for (int which = 0; which < UPLOADS; which++) {
		/* A pause, or nobody would ever get far before the next one interrupts. */
		while (!try_once(client, (which + (int)client->first) % UPLOADS))
			(void)usleep((useconds_t)(rand_r(&client->seed) % 8000));
	}
	return NULL;
}

static void create_all(struct client *client)
{
	struct ct_session_start start = {
		.length_bytes = LENGTH, .filename = "a.bin", .key_id = ""
	};

	for (int i = 0; i < UPLOADS; i++) {
		struct ct_session *session = session_new(client);
		CT_ASSERT(await(client, ct_session_create(session, &start, done, client)) == 0);
		memcpy(ids[i], ct_session_row(session)->id, sizeof(ids[i]));
		ct_session_end(session);
	}
}

static void check_all(void)
{
	struct ct_metadata_view *view;
	struct ct_upload_row row;
	static struct ct_image_row images[UPLOADS + 1];
	struct ct_digest digest;

	ct_hash_once(data, LENGTH, &digest);
	CT_ASSERT(ct_metadata_borrow(metadata, &view) == 0);
	for (int i = 0; i < UPLOADS; i++) {
		CT_ASSERT(ct_upload_get(view, ids[i], &row) == 0);
		CT_ASSERT(row.state == CT_UPLOAD_DONE && row.at.offset == LENGTH);
	}
	CT_ASSERT(ct_image_list_of_blob(view, &digest, images, UPLOADS + 1) == UPLOADS);
	ct_metadata_give_back(metadata, view);
}

static void run_clients(struct client *clients)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i].first = i;
		clients[i].seed = i + 1;
		ct_lock_init(&clients[i].lock, CT_LOCK_LEAF);
		ct_condition_init(&clients[i].changed);
	}
	create_all(&clients[0]);
	for (unsigned i = 0; i < CLIENTS; i++)
		CT_ASSERT(ct_thread_start("client", run, &clients[i], &clients[i].thread) == 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		CT_ASSERT(pthread_join(clients[i].thread, NULL) == 0);
}

int main(void)
{
	static struct client clients[CLIENTS];
	char directory[] = "/tmp/calotype-uploads-XXXXXX";
	char path[sizeof(directory) + 8];
	struct ct_thread_pool_options pool_options = { "commit", 4, 256 };
	struct ct_thread_pool *pool;
	unsigned interrupts = 0, conflicts = 0, busy = 0;

	CT_ASSERT(mkdtemp(directory) != NULL);
	(void)snprintf(path, sizeof(path), "%s/db", directory);
	struct ct_metadata_options metadata_options = { .path = path };
	CT_ASSERT(ct_metadata_open(&metadata_options, &metadata) == 0);
	CT_ASSERT(ct_thread_pool_new(&pool_options, &pool) == 0);
	CT_ASSERT(ct_blob_store_open_memory(64 << 20, &store) == 0);
	struct ct_uploads_options options = {
		.metadata = metadata,
		.store = store,
		.commit_pool = pool,
		.owner = "threads",
		.accept = "*/*",
	};
	CT_ASSERT(ct_uploads_new(&options, &uploads) == 0);
	CT_ASSERT(ct_uploads_start(uploads) == 0);
	for (size_t i = 0; i < LENGTH; i++)
		data[i] = (char)(i * 2654435761u >> 24);

	run_clients(clients);
	CT_ASSERT(ct_uploads_stop(uploads, 10000) == 0);
	check_all();
	for (unsigned i = 0; i < CLIENTS; i++) {
		interrupts += clients[i].interrupts;
		conflicts += clients[i].conflicts;
		busy += clients[i].busy;
	}
	printf("%u interrupted, %u conflicts, %u busy\n", interrupts, conflicts, busy);
	CT_ASSERT(interrupts > 0);

	ct_uploads_free(uploads);
	ct_thread_pool_free(pool);
	ct_metadata_close(metadata);
	ct_blob_store_close(store);
	CT_ASSERT(remove(path) == 0 && rmdir(directory) == 0);
	return 0;
}
