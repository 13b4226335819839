#include "start.h"

#include "base/clock.h"
#include "base/key_text.h"
#include "base/log.h"
#include "base/url.h"
#include "calotype/error.h"
#include "imaging/sandbox.h"
#include "metadata/api_keys.h"
#include "metadata/metadata.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int ct_start_refuse(
    const struct ct_config_value *value, int error, const char *event, const char *detail)
{
	if (detail == NULL)
		detail = error > -CT_ERROR_FIRST ? strerror(-error) : ct_error_text(error);
	ct_log(CT_LOG_ERROR, event, CT_LOG_TEXT("option", value->source),
	    CT_LOG_TEXT("value", value->text), CT_LOG_CODE(error), CT_LOG_TEXT("detail", detail));
	return CT_START_TOLD;
}

int ct_start_explain_data(const struct ct_config *config, int error)
{
	if (error >= 0)
		return error;
	const char *detail = NULL;
	if (error == -EBUSY)
		detail = "another calotyped holds this data directory";
	else if (error == -EXDEV)
		detail = "all of it must lie on one file system";
	else if (error == -EPROTONOSUPPORT)
		detail = "this directory is not Calotype's, or a later version has made it";
	return ct_start_refuse(&config->data, error, "start.cannot_use_data", detail);
}

int ct_start_explain_database(const struct ct_config *config, int error, const char *why)
{
	bool is_apart = config->database.text[0] != '\0';
	if (error >= 0)
		return error;
	const char *detail = error == -EPROTONOSUPPORT
				 ? "a later version of Calotype has changed this database"
				 : why;
	return ct_start_refuse(is_apart ? &config->database : &config->data, error,
	    "start.cannot_use_database", detail);
}

int ct_start_explain_listen(const struct ct_config *config, int error)
{
	if (error >= 0)
		return error;
	const char *detail = NULL;
	if (error == -EADDRINUSE)
		detail = "another program listens there";
	else if (error == -EADDRNOTAVAIL)
		detail = "this machine has no such address; right would be one of its own, or "
			 "0.0.0.0 for all";
	else if (error == -EINVAL)
		detail = "systemd has passed no socket";
	return ct_start_refuse(&config->listen, error, "start.cannot_listen", detail);
}

int ct_start_explain_accept(const struct ct_config *config, int error)
{
	if (error != -EINVAL)
		return error;
	return ct_start_refuse(&config->accept, error, "start.bad_accept",
	    "right would be image/jpeg,image/png or image/* or */*");
}

int ct_start_explain_uploads(const struct ct_config *config, int error)
{
	if (error != -ENOENT)
		return ct_start_explain_accept(config, error);
	ct_log(CT_LOG_ERROR, "start.no_file_types",
	    CT_LOG_TEXT("detail",
		"libmagic's database of file types cannot be loaded; install libmagic-mgc, and let "
		"the variable MAGIC, if it is set, name such a file"));
	return CT_START_TOLD;
}

int ct_start_check_worker(const struct ct_config *config)
{
	char path[PATH_MAX];
	struct stat status;
	const char *given = config->worker_path.text;
	if (given[0] == '\0') {
		if (ct_imaging_find_worker(path, sizeof(path)) < 0)
			ct_log(CT_LOG_WARNING, "start.no_worker",
			    CT_LOG_TEXT("detail",
				"calotype-worker is not found, so every job will fail; "
				"--worker-path names it"));
		return 0;
	}
	int r = stat(given, &status) < 0 ? -errno : 0;
	if (r == 0 && !S_ISREG(status.st_mode))
		r = -EISDIR;
	if (r == 0 && access(given, X_OK) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	return ct_start_refuse(&config->worker_path, r, "start.no_worker",
	    r == -EISDIR ? "this is not a file; right would be the program calotype-worker" : NULL);
}

struct ct_imaging_options ct_start_imaging_options(const struct ct_config *config)
{
	_Static_assert(CT_CONFIG_MAX_WORKERS <= CT_IMAGING_MAX_WORKERS, "what --workers may be");
	uint64_t deadline_s = config->worker_deadline.number;
	return (struct ct_imaging_options){
		.worker_path = config->worker_path.text[0] ? config->worker_path.text : NULL,
		.max_workers = (unsigned)config->workers.number,
		.memory_mib = (unsigned)(config->worker_memory.number >> 20),
		.cpu_s = (unsigned)deadline_s,
		.deadline_ms = (unsigned)(deadline_s * 1000),
		.max_pixels = (int64_t)config->max_pixels.number,
		.max_all_pixels = (int64_t)config->max_all_pixels.number,
		.any_sandbox = strcmp(config->sandbox.text, "available") == 0,
	};
}

int ct_start_check_sandbox(const struct ct_config *config)
{
	const struct ct_imaging_options options = ct_start_imaging_options(config);
	char message[CT_IMAGING_MESSAGE_BYTES];
	char held[CT_SANDBOX_LIST_BYTES];
	char lacking[CT_SANDBOX_LIST_BYTES];
	unsigned layers = 0;

	int r = ct_imaging_check_sandbox(&options, false, &layers, message);
	if (r < 0) {
		ct_log(CT_LOG_WARNING, "start.sandbox_unknown", CT_LOG_CODE(r),
		    CT_LOG_TEXT("detail", message));
		return 0;
	}
	ct_sandbox_list(layers, held);
	ct_sandbox_list(CT_SANDBOX_ALL & ~layers, lacking);
	bool is_weak = (CT_SANDBOX_REQUIRED & ~layers) != 0;
	ct_log(is_weak ? CT_LOG_WARNING : CT_LOG_INFO, "start.sandbox", CT_LOG_TEXT("held", held),
	    CT_LOG_TEXT("lacking", lacking));
	if (!is_weak || options.any_sandbox)
		return 0;
	return ct_start_refuse(&config->sandbox, -ENOSYS, "start.weak_sandbox",
	    "layers of the worker's sandbox that must hold do not, so a hostile image could reach "
	    "further; --sandbox=available runs without them");
}

int ct_start_show_sandbox(const struct ct_config *config)
{
	const struct ct_imaging_options options = ct_start_imaging_options(config);
	char message[CT_IMAGING_MESSAGE_BYTES];
	unsigned layers = 0;

	int r = ct_imaging_check_sandbox(&options, true, &layers, message);
	if (r < 0) {
		(void)fprintf(stderr, "calotyped: %s\n", message);
		return EXIT_FAILURE;
	}
	for (unsigned i = 0; i < CT_SANDBOX_LAYERS; i++) {
		bool holds = (layers & CT_SANDBOX_BIT(i)) != 0;
		bool required = (CT_SANDBOX_REQUIRED & CT_SANDBOX_BIT(i)) != 0;
		const char *state = holds ? "holds" : required ? "LACKS" : "absent";
		if (printf("%-18s %-7s %s\n", ct_sandbox_name(i), state,
			holds ? ct_sandbox_text(i) : "") < 0)
			return EXIT_FAILURE;
	}
	if (fflush(stdout) != 0)
		return EXIT_FAILURE;
	return (CT_SANDBOX_REQUIRED & ~layers) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Only numbers and the name that means this machine: another name may lead anywhere. */
static bool is_loopback(const char *listen)
{
	struct ct_slice host;
	uint64_t port;
	char text[INET_ADDRSTRLEN];
	struct in_addr address;
	if (strncmp(listen, "unix:", strlen("unix:")) == 0)
		return true;
	if (ct_url_split_authority(ct_slice_from_string(listen), &host, &port) < 0)
		return false;
	if (ct_slice_equal(host, "localhost") || ct_slice_equal(host, "::1"))
		return true;
	return ct_slice_copy(host, text, sizeof(text)) == 0 &&
	       inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static int insert_key(struct ct_metadata_view *view, void *arg)
{
	const struct ct_api_key_row *row = arg;
	struct ct_api_key_row known = { 0 };
	int r = ct_api_key_insert(view, row);
	if (r != -EEXIST)
		return r;
	r = ct_api_key_get(view, row->id, &known);
	bool expired = known.expires_at != 0 && known.expires_at <= ct_clock_wall_ms();
	return r == 0 && (known.revoked_at != 0 || expired) ? CT_ERROR_UNAUTHORIZED : r;
}

static int add_configured_key(const struct ct_config *config, struct ct_metadata *metadata)
{
	struct ct_config_value secret = { .source = config->api_key.source };
	struct ct_api_key_row row = { .scopes = CT_SCOPE_READ | CT_SCOPE_WRITE | CT_SCOPE_ADMIN,
		.name = "configured",
		.created_at = ct_clock_wall_ms() };
	int r = ct_key_text_parse(ct_slice_from_string(config->api_key.text), row.id, &row.secret);
	if (r < 0)
		return ct_start_refuse(&secret, r, "start.bad_api_key",
		    "this is no key; right would be " CT_KEY_TEXT_FORM
		    ", as `calotyped key add` makes them");
	r = ct_metadata_write(metadata, insert_key, &row);
	if (r == CT_ERROR_UNAUTHORIZED)
		return ct_start_refuse(&(struct ct_config_value){ row.id, 0, secret.source }, r,
		    "start.revoked_api_key",
		    "this key was revoked or has expired; give another one");
	return r;
}

static int key_exists(struct ct_metadata *metadata, bool *ret_exists)
{
	struct ct_metadata_view *view = NULL;
	int r = ct_metadata_borrow(metadata, &view);
	if (r < 0)
		return r;
	r = ct_api_key_exists(view, ret_exists);
	ct_metadata_give_back(metadata, view);
	return r;
}

int ct_start_check_access(const struct ct_config *config, struct ct_metadata *metadata)
{
	bool exists = false;
	int r = config->api_key.text[0] ? add_configured_key(config, metadata) : 0;
	if (r == 0)
		r = key_exists(metadata, &exists);
	if (r < 0 || exists || config->insecure.number || is_loopback(config->listen.text))
		return r;
	return ct_start_refuse(&config->listen, -EACCES, "start.open_to_the_world",
	    "without an API key only a loopback address is served; make one with "
	    "`calotyped key add --scope read,write,admin`, or say --insecure");
}
