/*
 * What the tests of metadata share: a directory of their own, a connection of the writer with an
 * open transaction for the tests of rows, and faults in the system calls that SQLite makes.
 */
#ifndef CT_TESTS_METADATA_SUPPORT_H
#define CT_TESTS_METADATA_SUPPORT_H

#include "metadata/blobs.h"
#include "metadata/images.h"
#include "metadata/jobs.h"
#include "metadata/sqlite_priv.h"
#include "metadata/uploads.h"
#include <criterion/criterion.h>

struct fixture {
	char directory[64];
	char path[96];		       /* of the database, in it */
	struct ct_metadata_view *view; /* rows_setup only */
};

extern struct fixture fixture;

void directory_setup(void);
void directory_teardown(void);
/* The view is the writer's, in a transaction. The end asserts that no query scanned. */
void rows_setup(void);
void rows_teardown(void);

/* Criterion counts no failure in a fixture of its own, so set-up and end are part of the test. */
#define RowsTest(suite, name)                    \
	static void suite##_##name##_body(void); \
	Test(suite, name)                        \
	{                                        \
		rows_setup();                    \
		suite##_##name##_body();         \
		rows_teardown();                 \
	}                                        \
	static void suite##_##name##_body(void)

/* Takes the fifth and the sixth migration back: the tally, and to which directory it belongs. */
#define UNTIL_FOURTH                                                                 \
	"DROP TRIGGER upload_tallied; DROP TRIGGER upload_untallied; "               \
	"DROP TRIGGER upload_retallied; DROP TRIGGER job_tallied; "                  \
	"DROP TRIGGER job_untallied; DROP TRIGGER job_retallied; DROP TABLE tally; " \
	"DROP TABLE data_directory;"

/* A database with the defaults, or the test fails. */
struct ct_metadata *open_metadata(void);

/* "000...07" for 7: rising ids for rising numbers. */
const char *id_of(int number, char ret_id[CT_ID_CHARS + 1]);
struct ct_digest digest_of(int number);
void insert_blob(struct ct_metadata_view *view, int number, int64_t at);
struct ct_image_row make_image(int number, enum ct_image_state state, int blob, int64_t at);
struct ct_job_row make_job(int number, int64_t run_at);
struct ct_upload_row make_upload(int number, int64_t expires_at);

/* ---- faults: plain counters of this process ---- */

extern _Atomic int fdatasync_calls;
extern _Atomic int fsync_calls;
/* The next so many calls fail with EIO. */
extern _Atomic int failing_syncs;
/* While set, every write fails with this errno. */
extern _Atomic int write_errno;

#endif
