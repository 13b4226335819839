/*
 * What the tests of jobs, images and the job of imaging share: a real database in a fresh
 * directory, and short ways to put jobs in and to wait for them. Everything asserts by itself.
 */
#ifndef CT_TESTS_JOBS_SUPPORT_H
#define CT_TESTS_JOBS_SUPPORT_H

#include "jobs/jobs.h"
#include "metadata/jobs.h"

struct fixture {
	char directory[64];
	char path[96];
	struct ct_metadata *metadata;
};
extern struct fixture fixture;

void directory_setup(void); /* without opening the database: for tests that fork */
void database_setup(void);
void database_teardown(void);
void open_database(void);

const char *id_of(int number, char ret_id[CT_ID_CHARS + 1]);
struct ct_job_row make_job(int number, const char *kind);
void insert_job(const struct ct_job_row *row);
/* Needs ct_job_row_done(). */
struct ct_job_row get_job(int number);
/* Until it is in that state, else fails after ten seconds. Needs ct_job_row_done(). */
struct ct_job_row wait_for_job(int number, enum ct_job_state state);
int count_jobs(enum ct_job_state state, const char *kind);
/* A transaction of the tests' own. */
void write_database(ct_transaction_fn run, void *arg);
void sleep_ms(int ms);

#endif
