#include "help.h"

#include "base/assert.h"

#define COMMON                                                                               \
	"  -u, --url URL       the server [CALOTYPE_URL, else " CT_OPTIONS_DEFAULT_URL "]\n" \
	"  -j, --json          JSON on standard output\n"                                    \
	"  -h, --help          this text\n"

static const char *const texts[CT_COMMAND_COUNT] = {
	[CT_COMMAND_NONE] =
	    "usage: calotype [OPTIONS] COMMAND ...\n"
	    "\n"
	    "  put FILE|FOLDER...      upload, continuing where an earlier try was cut off\n"
	    "  status JOB              how a job is going\n"
	    "  get ID|SHA256 -o FILE   download an original and check it\n"
	    "  ls                      list images\n"
	    "  rm ID...                delete images\n"
	    "\n" COMMON "  -V, --version       the version\n"
	    "\n"
	    "\"calotype COMMAND --help\" tells more. With --json standard output gets one object "
	    "a\n"
	    "call (put: a line for each file), also when it fails: then with \"error\", the "
	    "problem\n"
	    "as the server sent it, or {\"code\",\"detail\"}.\n"
	    "\n"
	    "The API key is taken from CALOTYPE_API_KEY, or from the first line of the file that\n"
	    "CALOTYPE_API_KEY_FILE names.\n"
	    "\n"
	    "Exit status: 0 all done; 1 some failed (refused, or the job failed); 2 wrong usage;\n"
	    "3 the server stayed unreachable (the same command continues); 4 the key is missing\n"
	    "or may not do this; 130 interrupted (the same command continues).\n",
	[CT_COMMAND_PUT] =
	    "usage: calotype put [OPTIONS] FILE|FOLDER...\n"
	    "\n"
	    "Uploads files, and the files of folders in sorted order without hidden ones, and\n"
	    "waits until the server has processed them. An upload that was cut off goes on where\n"
	    "it was when the same command is given again.\n"
	    "\n"
	    "  --no-wait           do not wait for the jobs\n"
	    "  --limit-rate BYTES  send at most so many bytes a second (K, M, G: binary)\n"
	    "  --chunk-size BYTES  send pieces of this size [one request for all]\n" COMMON "\n"
	    "With --json one line a file:\n"
	    "  "
	    "{\"file\",\"state\",\"job\",\"image\",\"sha256\",\"width\",\"height\",\"type\","
	    "\"size\",\"url\"}\n"
	    "as far as they are known, and \"error\" when it failed. state is ready, uploaded "
	    "(with\n"
	    "--no-wait), failed, refused, unreachable or interrupted; with the last two \"sent\" "
	    "says\n"
	    "how many bytes had gone out of \"size\". Files that were not begun have a line, "
	    "too.\n",
	[CT_COMMAND_STATUS] =
	    "usage: calotype status [OPTIONS] JOB\n"
	    "\n"
	    "Shows a job. The exit status is 1 when it has failed or was canceled.\n"
	    "\n" COMMON "\n"
	    "With --json the job, or {\"id\",\"error\"} when it could not be had.\n",
	[CT_COMMAND_GET] =
	    "usage: calotype get [OPTIONS] ID|SHA256 -o FILE\n"
	    "\n"
	    "Downloads the original of an image, or a blob by its SHA-256, into FILE.part, checks\n"
	    "its SHA-256 and then renames it. A FILE.part that was cut off is continued.\n"
	    "\n"
	    "  -o, --output FILE   where to\n" COMMON "\n"
	    "With --json {\"file\",\"image\",\"sha256\",\"size\"}, or instead of \"size\" "
	    "\"received\", the\n"
	    "bytes that are in FILE.part, and \"error\".\n",
	[CT_COMMAND_LIST] = "usage: calotype ls [OPTIONS]\n"
			    "\n"
			    "Lists images, newest first.\n"
			    "\n"
			    "  -n, --limit N       at most so many [all]\n"
			    "  -s, --state STATE   ready, pending or failed [ready]\n" COMMON "\n"
			    "With --json one document: {\"items\": [...]}.\n",
	[CT_COMMAND_REMOVE] = "usage: calotype rm [OPTIONS] ID...\n"
			      "\n"
			      "Deletes images: they are gone from the server's answers at once.\n"
			      "A blob that another image uses stays.\n"
			      "\n" COMMON "\n"
			      "With --json one document: {\"removed\": [{\"id\"}], \"failed\": "
			      "[{\"id\",\"error\"}]}.\n",
};

const char *ct_help_text(enum ct_command command)
{
	CT_ASSERT(command < CT_COMMAND_COUNT);
	return texts[command];
}
