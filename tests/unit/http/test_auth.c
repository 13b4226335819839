#include "fixture.h"

#include "base/hash.h"
#include "http/host_priv.h"
#include "http/request_priv.h"
#include "metadata/api_keys.h"
#include "metadata/metadata.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READER "calo_reader00_0123456789012345678901234567890123456789abc"
#define WRITER "calo_writer00_0123456789012345678901234567890123456789abc"
#define WRONG "calo_reader00_0123456789012345678901234567890123456789abd"

static struct rig rig;
static struct reply reply;
static struct ct_metadata *metadata;
static char path[64];

static enum ct_http_next tell(struct ct_http_request *request, void *context)
{
	struct ct_http_response *response = ct_http_response_new(200);
	(void)context;
	ct_http_response_header_u64(response, "X-Scopes", request->scopes);
	ct_http_response_header(response, "X-Key", ct_http_key_id(request));
	return ct_http_answer(request, response);
}

static enum ct_http_next swallow(
    struct ct_http_request *request, const void *data, size_t length, void *context)
{
	(void)request;
	(void)data;
	(void)length;
	(void)context;
	return CT_HTTP_PROCEED;
}

static const struct ct_http_handler teller = { .head = tell, .body = swallow };
static const struct ct_http_route routes[] = {
	{ CT_HTTP_GET, "/public", 0, &teller, NULL },
	{ CT_HTTP_GET, "/read", CT_SCOPE_READ, &teller, NULL },
	{ CT_HTTP_POST, "/write", CT_SCOPE_WRITE, &teller, NULL },
	{ CT_HTTP_GET, "/both", CT_SCOPE_READ | CT_SCOPE_WRITE, &teller, NULL },
};

struct new_key {
	const char *key;
	unsigned scopes;
};

static int insert(struct ct_metadata_view *view, void *arg)
{
	const struct new_key *key = arg;
	struct ct_api_key_row row = { .scopes = key->scopes, .created_at = 1 };
	memcpy(row.id, key->key + 5, 8);
	ct_hash_once(key->key, strlen(key->key), &row.secret);
	return ct_api_key_insert(view, &row);
}

static int revoke_key(struct ct_metadata_view *view, void *arg)
{
	return ct_api_key_revoke(view, arg, 2);
}

static void add_key(const char *key, unsigned scopes)
{
	struct new_key new_key = { key, scopes };
	cr_assert_eq(ct_metadata_write(metadata, insert, &new_key), 0);
}

static bool plain_keys_anywhere;

static void remove_database(void)
{
	char other[80];
	unlink(path);
	(void)snprintf(other, sizeof(other), "%s-wal", path);
	unlink(other);
	(void)snprintf(other, sizeof(other), "%s-shm", path);
	unlink(other);
}

static void start(const char *listen, bool insecure)
{
	struct ct_metadata_options options = { .path = path };
	(void)snprintf(path, sizeof(path), "/tmp/http-auth-%d.db", (int)getpid());
	remove_database(); /* of a test of this number that was killed: its keys would count */
	cr_assert_eq(ct_metadata_open(&options, &metadata), 0);
	struct ct_http_options http = {
		.listen = listen,
		.metadata = metadata,
		.insecure = insecure,
		.plain_keys_anywhere = plain_keys_anywhere,
	};
	rig_start_with(&rig, &http, routes, sizeof(routes) / sizeof(routes[0]));
}

static void stop(void)
{
	rig_stop(&rig);
	ct_metadata_close(metadata);
	remove_database();
}

static int try(const char *line, const char *headers)
{
	char text[1024];
	(void)snprintf(
	    text, sizeof(text), "%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", line, headers);
	ask(&rig, text, &reply);
	return reply.status;
}

#define BEARER(key) "Authorization: Bearer " key "\r\n"

TestSuite(auth, .timeout = 60);

Test(auth, without_keys_this_machine_may_do_all_but_not_through_a_proxy)
{
	start(NULL, false);
	cr_assert_eq(try("GET /both", ""), 200);
	cr_assert_str_eq(reply_header(&reply, "X-Key"), "");
	cr_assert_eq((unsigned)strtoul(reply_header(&reply, "X-Scopes"), NULL, 10), ~0u);
	const char *marks[] = { "Forwarded: for=1.2.3.4\r\n", "X-Forwarded-For: 1.2.3.4\r\n",
		"x-forwarded-proto: https\r\n", "Via: 1.1 proxy\r\n" };
	for (size_t i = 0; i < 4; i++) {
		cr_assert_eq(try("GET /public", marks[i]), 403, "%s", marks[i]);
		cr_assert_not_null(strstr(reply.body, "\"code\":\"proxied_open_server\""));
	}
	cr_assert_eq(try("GET /public", "X-Forwarded: a\r\nViaduct: b\r\n"), 200);
	stop();
}

Test(auth, insecure_opens_it)
{
	start(NULL, true);
	cr_assert_eq(try("GET /both", "X-Forwarded-For: 1.2.3.4\r\n"), 200);
	stop();
}

Test(auth, names_of_this_machine)
{
	const char *ours[] = { "localhost", "LocalHost:8080", "localhost.", "a.b.localhost:1",
		"127.0.0.1", "127.255.0.9:65535", "[::1]", "[::1]:8080", "[0:0::1]:1",
		"[::ffff:127.0.0.1]", "photos.example.org", "PHOTOS.example.org:8443" };
	const char *foreign[] = { "evil.example", "localhost.evil.example", "notlocalhost",
		"localhost@evil.example", "evil.example#localhost", "127.0.0.1.evil.example",
		"127.1", "2130706433", "0x7f.1", "0.0.0.0", "128.0.0.1:80", "10.0.0.1", "[::]",
		"[::2]", "::1", "photos.example.org.evil", "xphotos.example.org", "example.org",
		"localhost:99999", "local host", ":8080", "" };
	const char *url = "https://photos.example.org:444/calotype";
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		cr_expect(ct_http_host_is_ours(ct_slice_from_string(ours[i]), url), "%s", ours[i]);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		cr_expect_not(
		    ct_http_host_is_ours(ct_slice_from_string(foreign[i]), url), "%s", foreign[i]);
	cr_expect_not(ct_http_host_is_ours(CT_SLICE_OF("photos.example.org"), NULL));
	cr_expect_not(ct_http_host_is_ours(CT_SLICE_OF("photos.example.org"), ""));
	cr_expect(ct_http_host_is_ours(CT_SLICE_OF("[2001:db8::1]:8"), "http://[2001:db8::1]/"));
}

static int try_raw(const char *text)
{
	ask(&rig, text, &reply);
	return reply.status;
}

Test(auth, an_open_server_answers_only_to_names_of_this_machine)
{
	start(NULL, false);
	cr_assert_eq(try_raw("GET /public HTTP/1.1\r\nHost: evil.example:8080\r\n\r\n"), 421);
	cr_assert_not_null(strstr(reply.body, "\"code\":\"misdirected\""), "%s", reply.body);
	cr_assert_not_null(strstr(reply.body, "--public-url"), "%s", reply.body);
	cr_assert_eq(
	    try_raw("POST /write HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\na"),
	    421);
	cr_assert_eq(try_raw("GET /nothing HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
	cr_assert_eq(try_raw("GET /read HTTP/1.1\r\nHost: [::1]:1\r\n\r\n"), 200);
	/* What the target names counts more than Host. */
	cr_assert_eq(
	    try_raw("GET http://evil.example/read HTTP/1.1\r\nHost: localhost\r\n\r\n"), 421);
	cr_assert_eq(
	    try_raw("GET http://localhost:8/read?a HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 200);
	cr_assert_eq(try_raw("GET /read HTTP/1.0\r\n\r\n"), 200);
	/* With a key it is the key that counts. */
	add_key(READER, CT_SCOPE_READ);
	sleep_ms(1000);
	cr_assert_eq(
	    try_raw("GET /read HTTP/1.1\r\nHost: evil.example\r\n" BEARER(READER) "\r\n"), 200);
	stop();
	start(NULL, true);
	cr_assert_eq(try_raw("GET /read HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 200);
	stop();
}

Test(auth, a_unix_socket_answers_to_any_name)
{
	char listen[64];
	(void)snprintf(listen, sizeof(listen), "unix:/tmp/http-auth-%d.sock", (int)getpid());
	start(listen, false);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", listen + strlen("unix:"));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	client_say(fd, "GET /read HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(reply.status, 200);
	close(fd);
	stop();
}

Test(auth, keys_and_scopes)
{
	start(NULL, false);
	add_key(READER, CT_SCOPE_READ);
	add_key(WRITER, CT_SCOPE_READ | CT_SCOPE_WRITE);
	cr_assert_eq(try("GET /public", ""), 200);
	cr_assert_eq((unsigned)strtoul(reply_header(&reply, "X-Scopes"), NULL, 10), 0);
	cr_assert_eq(try("GET /read", ""), 401);
	cr_assert_str_eq(reply_header(&reply, "WWW-Authenticate"), "Bearer realm=\"calotype\"");
	cr_assert_eq(try("GET /read", BEARER(READER)), 200);
	cr_assert_str_eq(reply_header(&reply, "X-Key"), "reader00");
	cr_assert_eq(try("GET /read", "authorization: bearer   " READER " \r\n"), 200);
	cr_assert_eq(try("GET /both", BEARER(READER)), 403);
	cr_assert_not_null(strstr(reply_header(&reply, "WWW-Authenticate"), "insufficient_scope"));
	cr_assert_not_null(strstr(reply_header(&reply, "WWW-Authenticate"), "scope=\"write\""));
	cr_assert_not_null(strstr(reply.body, "\"required_scope\":\"write\""), "%s", reply.body);
	cr_assert_eq(try("GET /both", BEARER(WRITER)), 200);
	cr_assert_eq(try("POST /write", BEARER(READER)), 403);
	cr_assert_eq(try("GET /public", BEARER(READER)), 200);
	cr_assert_eq((unsigned)strtoul(reply_header(&reply, "X-Scopes"), NULL, 10), CT_SCOPE_READ);
	/* What is wrong is said, also where none is needed. */
	const char *wrong[] = { BEARER(WRONG), BEARER("calo_nobody00_x"), BEARER(""), BEARER("x"),
		BEARER("calo_nobody00_0123456789012345678901234567890123456789abc"),
		BEARER(READER "d"),
		BEARER("calo_reader00-0123456789012345678901234567890123456789abc") };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_eq(try("GET /read", wrong[i]), 401, "%s", wrong[i]);
	cr_assert_eq(try("GET /public", BEARER(WRONG)), 401);
	cr_assert_not_null(strstr(reply_header(&reply, "WWW-Authenticate"), "invalid_token"));
	cr_assert_eq(try("GET /read", BEARER(READER) BEARER(READER)), 400);
	cr_assert_eq(try("GET /read", "Authorization: Basic YTpi\r\n"), 401);
	cr_assert_eq(try("GET /public", "Authorization: Basic YTpi\r\n"), 200);
	/* With keys, a proxy is as good as any client. */
	cr_assert_eq(try("GET /read", "Via: 1.1 a\r\n" BEARER(READER)), 200);
	/* A revoked key is none. */
	char id[] = "reader00";
	cr_assert_eq(ct_metadata_write(metadata, revoke_key, id), 0);
	cr_assert_eq(try("GET /read", BEARER(READER)), 401);
	stop();
}

Test(auth, the_first_key_counts_within_a_second)
{
	start(NULL, false);
	cr_assert_eq(try("GET /read", ""), 200);
	add_key(READER, CT_SCOPE_READ);
	sleep_ms(1000);
	cr_assert_eq(try("GET /read", ""), 401);
	stop();
}

#define ELSEWHERE "192.0.2.1" /* RFC 5737 */

/* A network of this test's own, in which its loopback device has another address too. */
static bool make_network(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return false; /* not root */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	struct ifreq more = { .ifr_name = "lo:1" };
	struct sockaddr_in address = { .sin_family = AF_INET };
	cr_assert_eq(inet_pton(AF_INET, ELSEWHERE, &address.sin_addr), 1);
	memcpy(&more.ifr_addr, &address, sizeof(address));
	cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &up), 0);
	cr_assert_eq(ioctl(fd, SIOCSIFADDR, &more), 0);
	close(fd);
	return true;
}

static int try_from(const char *address, const char *headers)
{
	char text[512];
	int fd = client_open_from(&rig, address);
	(void)snprintf(
	    text, sizeof(text), "GET /read HTTP/1.1\r\nHost: localhost\r\n%s\r\n", headers);
	client_say(fd, text);
	cr_assert(client_read(fd, false, &reply));
	close(fd);
	return reply.status;
}

Test(auth, another_address_is_not_this_machine)
{
	if (!make_network())
		cr_skip_test("only root can make a network");
	for (int insecure = 0; insecure < 2; insecure++) {
		start("0.0.0.0:0", insecure != 0);
		cr_assert_eq(try_from(ELSEWHERE, ""), insecure ? 200 : 401);
		cr_assert_eq(try_from("127.0.0.1", ""), 200);
		add_key(READER, CT_SCOPE_READ);
		sleep_ms(1000);
		cr_assert_eq(try_from(ELSEWHERE, BEARER(READER)), insecure ? 200 : 403);
		if (!insecure)
			cr_assert_not_null(strstr(reply.body, "\"code\":\"insecure_transport\""));
		cr_assert_eq(try_from(ELSEWHERE, ""), 401);
		cr_assert_eq(try_from("127.0.0.1", BEARER(READER)), 200);
		stop();
	}
}

Test(auth, a_trusted_network_may_send_keys_in_the_clear)
{
	if (!make_network())
		cr_skip_test("only root can make a network");
	plain_keys_anywhere = true;
	start("0.0.0.0:0", false);
	add_key(READER, CT_SCOPE_READ);
	sleep_ms(1000);
	cr_assert_eq(try_from(ELSEWHERE, BEARER(READER)), 200);
	cr_assert_eq(try_from(ELSEWHERE, ""), 401);
	stop();
}
