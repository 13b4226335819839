/*
 * A data directory and a database belong together: the directory's file `pair` and a row of the
 * database hold the same id. With an empty database, or that of another directory, every original
 * would look like garbage to the sweep; so neither a server nor fsck goes on with such a pair.
 *
 * BLOCKING, main thread. Errors: CT_PAIRING_REFUSED with *ret_why, a sentence that says what is
 * wrong and what would be right; else -errno and those of the database.
 */
#ifndef CT_PAIRING_H
#define CT_PAIRING_H

struct ct_metadata;

#define CT_PAIRING_REFUSED (-ESTALE)

/*
 * Before the database is opened, which makes a missing one: refused when there are originals and no
 * file `database`.
 */
int ct_pairing_check_file(const char *directory, const char *database, const char **ret_why);

/*
 * Compares the ids. Where one side has none, as after a backup was restored, it gets the other's,
 * unless that side knows nothing of what the other holds.
 */
int ct_pairing_check(const char *directory, struct ct_metadata *metadata, const char **ret_why);

#endif
