#include "pairing.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/slice.h"
#include "base/text.h"
#include "calotype/blob_open.h"
#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/directory.h"
#include "metadata/metadata.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "pair"

struct pair {
	char of_directory[CT_ID_CHARS + 1]; /* empty: it has none */
	char of_database[CT_ID_CHARS + 1];
	bool has_originals; /* the directory */
	bool knows_blobs;   /* the database */
};

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return CT_PAIRING_REFUSED;
}

int ct_pairing_check_file(const char *directory, const char *database, const char **ret_why)
{
	if (access(database, F_OK) == 0 || errno != ENOENT)
		return 0; /* opening it will tell */
	int r = ct_disk_holds_originals(directory);
	return r <= 0
		   ? r
		   : refuse(ret_why,
			 "the data directory holds originals, and this database does not exist: "
			 "name the right one with --database, restore it, or make a new one with "
			 "`calotyped reindex`");
}

/* ---- both sides ---- */

static int read_id(const char *path, char ret_id[CT_ID_CHARS + 1])
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, CT_ID_CHARS + 2);
	ret_id[0] = '\0';
	int r = ct_file_read_line(path, &buffer);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	struct ct_slice line = { buffer.data, buffer.length };
	return ct_id_is_valid(line) ? ct_slice_copy(line, ret_id, CT_ID_CHARS + 1) : -EBADMSG;
}

static int read_database(struct ct_metadata_view *view, struct pair *pair)
{
	struct ct_blob_row row;
	int r = ct_directory_get(view, pair->of_database);
	if (r < 0 && r != CT_ERROR_NOT_FOUND)
		return r;
	r = ct_blob_list(view, NULL, &row, 1);
	pair->knows_blobs = r > 0;
	return r < 0 ? r : 0;
}

static int read_pair(
    const char *path, const char *directory, struct ct_metadata *metadata, struct pair *ret_pair)
{
	struct ct_metadata_view *view;
	*ret_pair = (struct pair){ 0 };
	int r = read_id(path, ret_pair->of_directory);
	if (r == 0)
		r = ct_disk_holds_originals(directory);
	if (r < 0)
		return r;
	ret_pair->has_originals = r > 0;
	r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = read_database(view, ret_pair);
	ct_metadata_give_back(metadata, view);
	return r;
}

/* ---- what speaks against it ---- */

static int judge(const struct pair *pair, const char **ret_why)
{
	bool has_both = pair->of_directory[0] != '\0' && pair->of_database[0] != '\0';
	if (has_both && strcmp(pair->of_directory, pair->of_database) != 0)
		return refuse(ret_why,
		    "the database belongs to another data directory; if it is right all the same, "
		    "remove the file `" FILE_NAME "` from the data directory");
	if (!has_both && pair->has_originals && !pair->knows_blobs)
		return refuse(ret_why,
		    "the data directory holds originals, and the database knows none: name the "
		    "right one with --database, or, if that is lost, move this one away and run "
		    "`calotyped reindex`");
	if (pair->of_directory[0] == '\0' && pair->knows_blobs && !pair->has_originals)
		return refuse(ret_why,
		    "the database knows originals, and the data directory is empty: name the right "
		    "one with --data; perhaps its file system is not mounted");
	return 0;
}

/* ---- tying ---- */

static int put_id(struct ct_metadata_view *view, void *arg)
{
	return ct_directory_put(view, arg);
}

static int tie(const char *path, struct ct_metadata *metadata, struct pair *pair)
{
	char *id = pair->of_database;
	bool is_in_database = id[0] != '\0';
	int r = 0;
	if (!is_in_database && pair->of_directory[0] != '\0')
		id = pair->of_directory;
	else if (!is_in_database)
		r = ct_id_generate(id);
	/* The file first: a row without it would be half a pair with the next directory, too. */
	if (r == 0 && pair->of_directory[0] == '\0')
		r = ct_file_replace(path, id, strlen(id), 0600);
	return r < 0 || is_in_database ? r : ct_metadata_write(metadata, put_id, id);
}

int ct_pairing_check(const char *directory, struct ct_metadata *metadata, const char **ret_why)
{
	struct pair pair;
	char path[PATH_MAX];
	int r = ct_path_join(directory, FILE_NAME, path, sizeof(path));
	if (r == 0)
		r = read_pair(path, directory, metadata, &pair);
	if (r == 0)
		r = judge(&pair, ret_why);
	return r < 0 ? r : tie(path, metadata, &pair);
}
