/*
 * One connection to SQLite with its prepared statements, and queries on it. sqlite.c is the only
 * file that sees sqlite3.h.
 *
 * A query is the use of one statement: bind the parameters in order, then step, then read the
 * columns in order. A failed bind or read latches in `error`; ct_query_step() and ct_query_end()
 * report it, so one check is enough.
 *
 *	ct_cleanup(ct_query_done) struct ct_query query = ct_query_begin(view, SQL);
 *	ct_query_bind_text(&query, id);
 *	int r = ct_query_one(&query);
 *	if (r < 0)
 *		return r;
 *	int64_t number = ct_query_number(&query);
 *	return ct_query_end(&query);
 *
 * Threads: a connection belongs to one thread at a time.
 */
#ifndef CT_METADATA_SQLITE_PRIV_H
#define CT_METADATA_SQLITE_PRIV_H

#include "base/assert.h"
#include "base/cleanup.h"
#include "calotype/digest.h"
#include "calotype/error.h"
#include "metadata/metadata.h"

struct sqlite3;
struct sqlite3_stmt;

#define CT_STATEMENT_SLOTS 128	    /* of a hash table: about twice the statements there are */
#define CT_CONNECTION_BUSY_MS 10000 /* another process: `calotyped key` beside a server */
#define CT_VIEW_MAGIC 0x76696577u

enum ct_connection_role { CT_CONNECTION_READER, CT_CONNECTION_WRITER };

struct ct_statement_slot {
	const char *sql; /* static text: its address is the key */
	struct sqlite3_stmt *statement;
};

/* How many rows there are: read from `tally` at the open and kept count of since. */
struct ct_row_counts {
	int64_t receiving; /* uploads */
	int64_t queued;	   /* jobs */
};

struct ct_metadata_view {
	uint32_t magic;
	/* Set once. */
	enum ct_connection_role role;
	struct sqlite3 *connection;
	/* Owned by the thread that uses it. */
	struct ct_statement_slot statements[CT_STATEMENT_SLOTS];
	struct ct_row_counts change; /* of the transactions that are not yet committed */
	int wal_pages;		     /* in the write-ahead log after the last commit */
	uint64_t scanned_rows;	     /* stepped over without an index, for tests */
	uint64_t sorts;		     /* that no index saved, for tests */
	/* Under the lock of the pool of readers. */
	struct ct_metadata_view *next_idle;
};

/* The writer's makes the file when missing; its mode is WAL from then on. BLOCKING. */
int ct_connection_open(
    const char *path, enum ct_connection_role role, struct ct_metadata_view **ret_view);
/* How long it waits for the lock of another process [CT_CONNECTION_BUSY_MS]. */
int ct_connection_set_busy_ms(struct ct_metadata_view *view, unsigned busy_ms);
void ct_connection_close(struct ct_metadata_view *view); /* NULL is allowed */
/* Runs a script of statements without parameters and results. */
int ct_connection_execute(struct ct_metadata_view *view, const char *script);
/* Its file was deleted or replaced under it: what is written now would be lost. */
bool ct_connection_has_moved(const struct ct_metadata_view *view);
bool ct_connection_is_in_transaction(const struct ct_metadata_view *view);
/* No query is open: true of any view that changes hands. */
bool ct_connection_is_idle(const struct ct_metadata_view *view);
/* Moves the write-ahead log into the database when it has grown; a failure only delays it. */
void ct_connection_checkpoint(struct ct_metadata_view *view);

/* Brings the schema up to date, each numbered migration in its own transaction (migrate.c). */
int ct_connection_migrate(struct ct_metadata_view *view);

struct ct_query {
	struct ct_metadata_view *view;
	struct sqlite3_stmt *statement;
	int parameter; /* bound last */
	int column;    /* read next */
	int error;
};

/* For a statement that reads. `sql` must be static. */
struct ct_query ct_query_begin(struct ct_metadata_view *view, const char *sql);
/* For one that changes rows: asserts that the view is the writer's. */
struct ct_query ct_query_begin_change(struct ct_metadata_view *view, const char *sql);
void ct_query_done(struct ct_query *query);

/* What is bound must live until the query is done. */
void ct_query_bind_number(struct ct_query *query, int64_t number);
void ct_query_bind_size(struct ct_query *query, uint64_t size_bytes); /* at most INT64_MAX */
void ct_query_bind_real(struct ct_query *query, double number);
void ct_query_bind_text(struct ct_query *query, const char *text); /* NULL binds NULL */
void ct_query_bind_bytes(struct ct_query *query, const void *data, size_t length);
void ct_query_bind_digest(struct ct_query *query, const struct ct_digest *digest);
void ct_query_bind_null(struct ct_query *query);
/* The two parameters of "(created_at, id) < (?, ?)"; an empty or no id begins at the newest. */
void ct_query_bind_page(struct ct_query *query, int64_t before_at, const char *before_id);

int ct_query_step(struct ct_query *query); /* 1: a row, 0: no more */
int ct_query_one(struct ct_query *query);  /* 0: a row, else CT_ERROR_NOT_FOUND */
int ct_query_run(struct ct_query *query);  /* to its end; how many rows it changed */
/* 0 when it changed a row, else CT_ERROR_NOT_FOUND. */
int ct_query_run_one(struct ct_query *query);
int ct_query_end(struct ct_query *query); /* 0, or what a read has latched */

bool ct_query_is_null(struct ct_query *query); /* of the next column, which stays the next */
int64_t ct_query_number(struct ct_query *query);
uint64_t ct_query_size(struct ct_query *query); /* 0 for NULL */
int ct_query_int(struct ct_query *query);
int ct_query_state(struct ct_query *query, int count); /* 0 to count - 1 */
double ct_query_real(struct ct_query *query);
void ct_query_text(struct ct_query *query, char *ret_text, size_t capacity);
char *ct_query_text_copy(struct ct_query *query); /* malloc'd; NULL for NULL */
void ct_query_bytes(struct ct_query *query, void *ret_data, size_t length);
void ct_query_digest(struct ct_query *query, struct ct_digest *ret_digest);

#endif
