/*
 * The only file that talks to SQLite. Connections are opened without SQLite's own mutexes: a view
 * has one user at a time. The caches are small, since the page cache of the system stands behind
 * them. Temporary tables and the journals of savepoints stay in memory, since the server may run
 * on a read-only root.
 */
#include "metadata/sqlite_priv.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define CHECKPOINT_PAGES 1000	      /* 4 MiB, as SQLite's own default */
#define CHECKPOINT_WAITING_PAGES 8000 /* readers overlap all the time: wait for them */

static const char common_pragmas[] = "PRAGMA foreign_keys = ON;"
				     "PRAGMA temp_store = MEMORY;";
static const char writer_pragmas[] = "PRAGMA journal_mode = WAL;"
				     "PRAGMA synchronous = FULL;"
				     "PRAGMA journal_size_limit = 16777216;"
				     "PRAGMA cache_size = -1024;";
static const char reader_pragmas[] = "PRAGMA query_only = ON;"
				     "PRAGMA cache_size = -128;";

/* ---- errors ---- */

static bool is_space_errno(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

static int map_code(struct sqlite3 *connection, int code)
{
	switch (code) {
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_ROWID: return -EEXIST;
	default: break;
	}
	switch (code & 0xff) {
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_BUSY: return CT_ERROR_DATABASE_BUSY;
	case SQLITE_FULL: return CT_ERROR_INSUFFICIENT_SPACE;
	case SQLITE_IOERR:
		if (is_space_errno(sqlite3_system_errno(connection)))
			return CT_ERROR_INSUFFICIENT_SPACE;
		return CT_ERROR_DATABASE;
	default: return CT_ERROR_DATABASE;
	}
}

/* What SQLite says would be lost in the code, so it is logged here. */
static int fail(struct ct_metadata_view *view, int code)
{
	int error = map_code(view->connection, code);
	if (error == CT_ERROR_DATABASE || error == CT_ERROR_DATABASE_BUSY)
		ct_log(CT_LOG_ERROR, "database.failed", CT_LOG_NUMBER("sqlite", code),
		    CT_LOG_NUMBER("errno", sqlite3_system_errno(view->connection)),
		    CT_LOG_TEXT("message", sqlite3_errmsg(view->connection)));
	return error;
}

/* ---- connections ---- */

static void configure_library(void)
{
	/* A lock less at each allocation. It fails when SQLite already runs in this process. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int remember_wal_pages(void *arg, sqlite3 *connection, const char *name, int pages)
{
	(void)connection;
	(void)name;
	struct ct_metadata_view *view = arg;
	CT_ASSERT_MAGIC(view, CT_VIEW_MAGIC);
	view->wal_pages = pages;
	return SQLITE_OK;
}

/*
 * SQLite would make it readable for all; it holds file names and hashes of keys. O_EXCL, because
 * closing a descriptor of a database that is open elsewhere in this process drops its locks.
 */
static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	return close(fd) < 0 ? -errno : 0;
}

int ct_connection_set_busy_ms(struct ct_metadata_view *view, unsigned busy_ms)
{
	CT_ASSERT(busy_ms <= INT_MAX);
	int code = sqlite3_busy_timeout(view->connection, (int)busy_ms);
	return code == SQLITE_OK ? 0 : fail(view, code);
}

static int open_connection(struct ct_metadata_view *view, const char *path)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int code = sqlite3_open_v2(path, &view->connection, flags, NULL);
	if (code != SQLITE_OK)
		return view->connection == NULL ? -ENOMEM : fail(view, code);
	return ct_connection_set_busy_ms(view, CT_CONNECTION_BUSY_MS);
}

CT_DEFINE_CLEANUP(view_cleanup, struct ct_metadata_view *, ct_connection_close)

int ct_connection_open(
    const char *path, enum ct_connection_role role, struct ct_metadata_view **ret_view)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CT_ASSERT(pthread_once(&once, configure_library) == 0);
	ct_cleanup(view_cleanup) struct ct_metadata_view *view = calloc(1, sizeof(*view));
	if (view == NULL)
		return -ENOMEM;
	view->magic = CT_VIEW_MAGIC;
	view->role = role;
	int r = role == CT_CONNECTION_WRITER ? make_file(path) : 0;
	if (r >= 0)
		r = open_connection(view, path);
	if (r >= 0)
		r = ct_connection_execute(view, common_pragmas);
	if (r >= 0)
		r = ct_connection_execute(
		    view, role == CT_CONNECTION_WRITER ? writer_pragmas : reader_pragmas);
	if (r < 0)
		return r;
	if (role == CT_CONNECTION_WRITER)
		(void)sqlite3_wal_hook(view->connection, remember_wal_pages, view);
	*ret_view = ct_steal(view);
	return 0;
}

void ct_connection_close(struct ct_metadata_view *view)
{
	if (view == NULL)
		return;
	CT_ASSERT_MAGIC(view, CT_VIEW_MAGIC);
	/* A failed last step is reported again by its finalization. */
	for (size_t i = 0; i < CT_STATEMENT_SLOTS; i++)
		(void)sqlite3_finalize(view->statements[i].statement);
	CT_ASSERT(sqlite3_close(view->connection) == SQLITE_OK);
	view->magic = 0;
	free(view);
}

int ct_connection_execute(struct ct_metadata_view *view, const char *script)
{
	int code = sqlite3_exec(view->connection, script, NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : fail(view, code);
}

bool ct_connection_has_moved(const struct ct_metadata_view *view)
{
	int moved = 0;
	/* A file system that cannot tell says no. */
	(void)sqlite3_file_control(view->connection, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	return moved != 0;
}

bool ct_connection_is_in_transaction(const struct ct_metadata_view *view)
{
	return sqlite3_get_autocommit(view->connection) == 0;
}

bool ct_connection_is_idle(const struct ct_metadata_view *view)
{
	sqlite3_stmt *statement = sqlite3_next_stmt(view->connection, NULL);
	for (; statement != NULL; statement = sqlite3_next_stmt(view->connection, statement)) {
		if (sqlite3_stmt_busy(statement))
			return false;
	}
	return !ct_connection_is_in_transaction(view);
}

/*
 * Runs after the callbacks, so that nobody's commit waits for it. A failure loses nothing: the
 * pages stay in the log and are written anew by the next one, which also fsyncs anew.
 */
void ct_connection_checkpoint(struct ct_metadata_view *view)
{
	CT_ASSERT(view->role == CT_CONNECTION_WRITER);
	if (view->wal_pages < CHECKPOINT_PAGES)
		return;
	int mode = view->wal_pages < CHECKPOINT_WAITING_PAGES ? SQLITE_CHECKPOINT_PASSIVE
							      : SQLITE_CHECKPOINT_RESTART;
	int code = sqlite3_wal_checkpoint_v2(view->connection, "main", mode, NULL, NULL);
	if (code != SQLITE_OK && code != SQLITE_BUSY)
		(void)fail(view, code); /* for its line in the log */
	view->wal_pages = 0;
}

/* ---- queries ---- */

static struct ct_statement_slot *find_slot(struct ct_metadata_view *view, const char *sql)
{
	uintptr_t hash = (uintptr_t)sql * 0x9e3779b97f4a7c15u;
	size_t start = (size_t)(hash >> 48);
	for (size_t i = 0; i < CT_STATEMENT_SLOTS; i++) {
		struct ct_statement_slot *slot =
		    &view->statements[(start + i) % CT_STATEMENT_SLOTS];
		if (slot->sql == sql || slot->sql == NULL)
			return slot;
	}
	CT_ASSERT(!"more statements than slots");
	return NULL;
}

struct ct_query ct_query_begin(struct ct_metadata_view *view, const char *sql)
{
	CT_ASSERT_MAGIC(view, CT_VIEW_MAGIC);
	struct ct_query query = { .view = view };
	struct ct_statement_slot *slot = find_slot(view, sql);
	if (slot->sql == NULL) {
		int code = sqlite3_prepare_v3(
		    view->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &slot->statement, NULL);
		if (code != SQLITE_OK) {
			query.error = fail(view, code);
			return query;
		}
		slot->sql = sql;
	}
	CT_ASSERT(!sqlite3_stmt_busy(slot->statement));
	query.statement = slot->statement;
	return query;
}

struct ct_query ct_query_begin_change(struct ct_metadata_view *view, const char *sql)
{
	CT_ASSERT(view->role == CT_CONNECTION_WRITER);
	CT_ASSERT(ct_connection_is_in_transaction(view));
	return ct_query_begin(view, sql);
}

static void count_work(struct ct_metadata_view *view, sqlite3_stmt *statement)
{
	view->scanned_rows +=
	    (uint64_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
	view->scanned_rows +=
	    (uint64_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_AUTOINDEX, 1);
	view->sorts += (uint64_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_SORT, 1);
}

void ct_query_done(struct ct_query *query)
{
	if (query->statement == NULL)
		return;
	count_work(query->view, query->statement);
	/* It repeats the error of the last step. */
	(void)sqlite3_reset(query->statement);
	/* What was bound may be gone from now on. It never fails. */
	(void)sqlite3_clear_bindings(query->statement);
	query->statement = NULL;
}

static void latch(struct ct_query *query, int code)
{
	if (code != SQLITE_OK && query->error == 0)
		query->error = fail(query->view, code);
}

void ct_query_bind_number(struct ct_query *query, int64_t number)
{
	if (query->error == 0)
		latch(query, sqlite3_bind_int64(query->statement, ++query->parameter, number));
}

void ct_query_bind_size(struct ct_query *query, uint64_t size_bytes)
{
	CT_ASSERT(size_bytes <= INT64_MAX);
	ct_query_bind_number(query, (int64_t)size_bytes);
}

void ct_query_bind_real(struct ct_query *query, double number)
{
	if (query->error == 0)
		latch(query, sqlite3_bind_double(query->statement, ++query->parameter, number));
}

void ct_query_bind_text(struct ct_query *query, const char *text)
{
	if (query->error == 0)
		latch(query, sqlite3_bind_text(
				 query->statement, ++query->parameter, text, -1, SQLITE_STATIC));
}

void ct_query_bind_bytes(struct ct_query *query, const void *data, size_t length)
{
	CT_ASSERT(length <= INT_MAX);
	if (query->error == 0)
		latch(query, sqlite3_bind_blob(query->statement, ++query->parameter, data,
				 (int)length, SQLITE_STATIC));
}

void ct_query_bind_digest(struct ct_query *query, const struct ct_digest *digest)
{
	ct_query_bind_bytes(query, digest->bytes, CT_DIGEST_BYTES);
}

void ct_query_bind_null(struct ct_query *query)
{
	if (query->error == 0)
		latch(query, sqlite3_bind_null(query->statement, ++query->parameter));
}

void ct_query_bind_page(struct ct_query *query, int64_t before_at, const char *before_id)
{
	bool is_first = before_id == NULL || before_id[0] == '\0';
	ct_query_bind_number(query, is_first ? INT64_MAX : before_at);
	ct_query_bind_text(query, is_first ? "" : before_id);
}

int ct_query_step(struct ct_query *query)
{
	if (query->error < 0)
		return query->error;
	CT_ASSERT(query->parameter == sqlite3_bind_parameter_count(query->statement));
	query->column = 0;
	int code = sqlite3_step(query->statement);
	if (code == SQLITE_ROW)
		return 1;
	if (code == SQLITE_DONE)
		return 0;
	query->error = fail(query->view, code);
	return query->error;
}

int ct_query_one(struct ct_query *query)
{
	int r = ct_query_step(query);
	if (r == 0)
		return CT_ERROR_NOT_FOUND;
	return r < 0 ? r : 0;
}

int ct_query_run(struct ct_query *query)
{
	int r = ct_query_step(query);
	CT_ASSERT(r <= 0);
	return r < 0 ? r : sqlite3_changes(query->view->connection);
}

int ct_query_run_one(struct ct_query *query)
{
	int r = ct_query_run(query);
	if (r == 0)
		return CT_ERROR_NOT_FOUND;
	return r < 0 ? r : 0;
}

int ct_query_end(struct ct_query *query)
{
	return query->error;
}

/* Columns are of declared types (STRICT): another length or range than ours means damage. */
static void latch_damage(struct ct_query *query)
{
	if (query->error != 0)
		return;
	query->error = CT_ERROR_DATABASE;
	ct_log(CT_LOG_ERROR, "database.damaged", CT_LOG_NUMBER("column", query->column - 1),
	    CT_LOG_TEXT("sql", sqlite3_sql(query->statement)));
}

static int next_column(struct ct_query *query)
{
	CT_ASSERT(query->column < sqlite3_data_count(query->statement));
	return query->column++;
}

bool ct_query_is_null(struct ct_query *query)
{
	CT_ASSERT(query->column < sqlite3_data_count(query->statement));
	return sqlite3_column_type(query->statement, query->column) == SQLITE_NULL;
}

int64_t ct_query_number(struct ct_query *query)
{
	return sqlite3_column_int64(query->statement, next_column(query));
}

uint64_t ct_query_size(struct ct_query *query)
{
	int64_t number = ct_query_number(query);
	if (number >= 0)
		return (uint64_t)number;
	latch_damage(query);
	return 0;
}

int ct_query_int(struct ct_query *query)
{
	int64_t number = ct_query_number(query);
	if (number >= INT_MIN && number <= INT_MAX)
		return (int)number;
	latch_damage(query);
	return 0;
}

int ct_query_state(struct ct_query *query, int count)
{
	int64_t number = ct_query_number(query);
	if (number >= 0 && number < count)
		return (int)number;
	latch_damage(query);
	return 0;
}

double ct_query_real(struct ct_query *query)
{
	return sqlite3_column_double(query->statement, next_column(query));
}

void ct_query_text(struct ct_query *query, char *ret_text, size_t capacity)
{
	int column = next_column(query);
	const unsigned char *text = sqlite3_column_text(query->statement, column);
	size_t length = (size_t)sqlite3_column_bytes(query->statement, column);
	ret_text[0] = '\0';
	if (text == NULL || length >= capacity)
		latch_damage(query);
	else
		memcpy(ret_text, text, length + 1);
}

char *ct_query_text_copy(struct ct_query *query)
{
	bool is_null = ct_query_is_null(query);
	const unsigned char *text = sqlite3_column_text(query->statement, next_column(query));
	char *copy = text != NULL ? strdup((const char *)text) : NULL;
	if (copy == NULL && !is_null && query->error == 0)
		query->error = -ENOMEM;
	return copy;
}

void ct_query_bytes(struct ct_query *query, void *ret_data, size_t length)
{
	int column = next_column(query);
	const void *data = sqlite3_column_blob(query->statement, column);
	if (data == NULL || (size_t)sqlite3_column_bytes(query->statement, column) != length)
		latch_damage(query);
	else
		memcpy(ret_data, data, length);
}

void ct_query_digest(struct ct_query *query, struct ct_digest *ret_digest)
{
	ct_query_bytes(query, ret_digest->bytes, CT_DIGEST_BYTES);
}
