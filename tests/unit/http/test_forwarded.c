#include "fixture.h"

#include "base/hash.h"
#include "http/forwarded_priv.h"
#include "http/response.h"
#include "metadata/api_keys.h"
#include "metadata/metadata.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY "calo_reader00_0123456789012345678901234567890123456789abc"
#define BEARER "Authorization: Bearer " KEY "\r\n"

static struct rig rig;
static struct reply reply;
static struct ct_metadata *metadata;
static char path[64];

TestSuite(forwarded, .timeout = 60);

static void expect_slice(struct ct_slice slice, const char *expected, const char *of)
{
	if (expected == NULL)
		cr_expect_null(slice.data, "%s", of);
	else
		cr_expect(ct_slice_equal(slice, expected), "%s: '%.*s'", of, (int)slice.length,
		    slice.data != NULL ? slice.data : "");
}

Test(forwarded, nodes)
{
	static const struct {
		const char *text, *node;
	} rows[] = { { "192.0.2.1", "192.0.2.1" }, { "192.0.2.1:47011", "192.0.2.1" },
		{ "[2001:db8::1]", "2001:db8::1" }, { "[2001:db8::1]:80", "2001:db8::1" },
		{ "2001:db8::1", "2001:db8::1" }, { "::ffff:192.0.2.1", "::ffff:192.0.2.1" },
		{ "unknown", NULL }, { "_hidden", NULL }, { "", NULL }, { "[", NULL },
		{ "[]", NULL }, { "192.0.2.1.5", NULL }, { "192.0.2.256", NULL },
		{ "a.example", NULL }, { "127.0.0.1 x", NULL } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_slice(ct_http_forwarded_node(ct_slice_from_string(rows[i].text)),
		    rows[i].node, rows[i].text);
	expect_slice(ct_http_forwarded_node(CT_SLICE_ABSENT), NULL, "absent");
}

Test(forwarded, parameters)
{
	const char *text = "For=\"[2001:db8::1]:1\" ; proto=https;by=_x;host=a;empty=;flag";
	static const char *const rows[][2] = { { "for", "[2001:db8::1]:1" }, { "PROTO", "https" },
		{ "by", "_x" }, { "empty", "" }, { "flag", NULL }, { "port", NULL } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_slice(ct_http_forwarded_parameter(ct_slice_from_string(text), rows[i][0]),
		    rows[i][1], rows[i][0]);
}

Test(forwarded, lists_are_cut_from_their_end)
{
	struct ct_slice rest = CT_SLICE_OF("a, b=\"x,y\" ,c=\"\\\",\"");
	expect_slice(ct_http_forwarded_cut_last(&rest), "c=\"\\\",\"", "last");
	expect_slice(ct_http_forwarded_cut_last(&rest), "b=\"x,y\"", "second");
	expect_slice(ct_http_forwarded_cut_last(&rest), "a", "first");
	cr_assert_null(rest.data);
}

static enum ct_http_next tell(struct ct_http_request *request, void *context)
{
	struct ct_http_response *response = ct_http_response_new(200);
	(void)context;
	ct_http_response_header(response, "X-Client", request->client.text);
	ct_http_response_header(response, "X-Tls", request->is_tls ? "yes" : "no");
	return ct_http_answer(request, response);
}

static const struct ct_http_handler teller = { .head = tell };
static const struct ct_http_route routes[] = {
	{ CT_HTTP_GET, "/public", 0, &teller, NULL },
	{ CT_HTTP_GET, "/read", CT_SCOPE_READ, &teller, NULL },
};

static int insert(struct ct_metadata_view *view, void *arg)
{
	struct ct_api_key_row row = { .scopes = CT_SCOPE_READ, .created_at = 1 };
	(void)arg;
	memcpy(row.id, &KEY[5], 8);
	ct_hash_once(KEY, strlen(KEY), &row.secret);
	return ct_api_key_insert(view, &row);
}

static void start(const char *listen, const char *trusted, bool with_key)
{
	(void)snprintf(path, sizeof(path), "/tmp/http-forwarded-%d.db", (int)getpid());
	cr_assert_eq(ct_metadata_open(&(struct ct_metadata_options){ .path = path }, &metadata), 0);
	if (with_key)
		cr_assert_eq(ct_metadata_write(metadata, insert, NULL), 0);
	struct ct_http_options options = {
		.listen = listen,
		.metadata = metadata,
		.trusted_proxies = trusted,
		.max_per_address = 3,
	};
	rig_start_with(&rig, &options, routes, sizeof(routes) / sizeof(routes[0]));
}

static void stop(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	rig_stop(&rig);
	ct_metadata_close(metadata);
	for (size_t i = 0; i < 3; i++) {
		char name[80];
		(void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

static int try(const char *target, const char *headers)
{
	char text[1024];
	(void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", target, headers);
	ask(&rig, text, &reply);
	return reply.status;
}

Test(forwarded, the_client_is_the_last_one_that_is_not_trusted)
{
	static const struct {
		const char *headers, *client, *tls;
	} rows[] = {
		{ "", "127.0.0.1", "no" },
		{ "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7", "no" },
		{ "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n", "192.0.2.7", "no" },
		{ "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.1.2.3\r\n", "192.0.2.7", "no" },
		{ "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7", "no" },
		{ "X-Forwarded-For: 10.0.0.1\r\n", "10.0.0.1", "no" },
		{ "X-Forwarded-For: 127.0.0.1, unknown\r\n", "unknown", "no" },
		{ "X-Forwarded-For: 127.0.0.1, 192.0.2.7:99\r\n", "192.0.2.7", "no" },
		{ "X-Forwarded-For: 127.0.0.1, \r\n", "unknown", "no" },
		{ "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7",
		    "yes" },
		{ "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: HTTPS, https\r\n", "192.0.2.7",
		    "yes" },
		{ "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https, http\r\n", "192.0.2.7",
		    "no" },
		{ "X-Forwarded-Proto: https\r\n", "127.0.0.1", "yes" },
		{ "Forwarded: for=192.0.2.7;proto=https\r\n", "192.0.2.7", "yes" },
		{ "Forwarded: for=6.6.6.6;proto=https, for=192.0.2.7\r\n", "192.0.2.7", "no" },
		{ "Forwarded: for=\"[2001:db8::7]:5\";proto=https\r\nForwarded: for=10.0.0.2\r\n",
		    "2001:db8::7", "yes" },
		{ "Forwarded: for=_secret;proto=https\r\n", "unknown", "yes" },
		{ "Forwarded: for=127.0.0.1, proto=https\r\n", "unknown", "yes" },
	};
	start(NULL, "127.0.0.1, 10.0.0.0/8", true);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(try("/public", rows[i].headers), 200, "%s", rows[i].headers);
		cr_expect_str_eq(
		    reply_header(&reply, "X-Client"), rows[i].client, "%s", rows[i].headers);
		cr_expect_str_eq(reply_header(&reply, "X-Tls"), rows[i].tls, "%s", rows[i].headers);
	}
	/* A client could have sent the one that the proxy does not write. */
	cr_expect_eq(
	    try("/public", "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 192.0.2.7\r\n"), 400);
	cr_expect_eq(try("/public", "Forwarded: for=1.2.3.4\r\nX-Forwarded-Proto: https\r\n"), 400);
	stop();
}

Test(forwarded, others_are_not_listened_to)
{
	start(NULL, "192.0.2.0/24", true);
	cr_assert_eq(try("/public", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
				    "Forwarded: for=192.0.2.8;proto=https\r\n"),
	    200);
	cr_assert_str_eq(reply_header(&reply, "X-Client"), "127.0.0.1");
	cr_assert_str_eq(reply_header(&reply, "X-Tls"), "no");
	stop();
}

Test(forwarded, a_key_needs_tls_up_to_the_proxy)
{
	start(NULL, "127.0.0.1", true);
	cr_assert_eq(try("/read", BEARER "X-Forwarded-For: 192.0.2.7\r\n"), 403);
	cr_assert_not_null(strstr(reply.body, "\"code\":\"insecure_transport\""));
	cr_assert_eq(try("/read", BEARER "X-Forwarded-For: 127.0.0.1, unknown\r\n"), 403);
	cr_assert_eq(
	    try("/read", BEARER "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"), 403);
	cr_assert_eq(
	    try("/read", BEARER "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"), 200);
	cr_assert_eq(try("/read", BEARER "Forwarded: for=192.0.2.7;proto=https\r\n"), 200);
	cr_assert_eq(try("/read", BEARER "Forwarded: for=192.0.2.7;proto=http\r\n"), 403);
	cr_assert_eq(try("/read", BEARER), 200, "the proxy's own host");
	cr_assert_eq(try("/read", BEARER "X-Forwarded-For: 127.0.0.9\r\n"), 200);
	stop();
}

Test(forwarded, without_keys_a_trusted_proxy_is_refused_too)
{
	start(NULL, "127.0.0.1", false);
	cr_assert_eq(
	    try("/read", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"), 403);
	cr_assert_not_null(strstr(reply.body, "\"code\":\"proxied_open_server\""));
	stop();
}

Test(forwarded, unix_sockets_may_be_proxies)
{
	struct ct_http_peer peer;
	struct ct_networks *networks = NULL;
	struct sockaddr_storage address = { .ss_family = AF_UNIX };
	ct_http_peer_init(&peer, &address, NULL);
	cr_assert(peer.is_unix && peer.is_loopback && !peer.is_trusted);
	cr_assert_eq(ct_networks_parse("unix", &networks), 0);
	ct_http_peer_init(&peer, &address, networks);
	cr_assert(peer.is_unix && peer.is_trusted);
	ct_networks_free(networks);
}

#define THROUGH_PROXY(address) \
	"GET /s/a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: " address "\r\n\r\n"

/* Requests through a proxy count for their client, the proxy's connections for nobody. */
Test(forwarded, the_limit_of_an_address_reaches_through_the_proxy)
{
	struct ct_http_options options = { .trusted_proxies = "127.0.0.1", .max_per_address = 3 };
	int fds[8];
	script = (struct script){ .head = ACT_WAIT_ANSWER, .delay_ms = 1500 };
	rig_start(&rig, &options);
	for (int i = 0; i < 8; i++) {
		fds[i] = client_open(&rig);
		client_say(fds[i], i % 2 ? THROUGH_PROXY("192.0.2.1") : THROUGH_PROXY("192.0.2.2"));
		if (i < 6)
			cr_assert(wait_for(&counts.head, i + 1), "request %d is refused", i);
	}
	for (int i = 6; i < 8; i++) {
		cr_assert(client_read(fds[i], false, &reply));
		cr_assert_eq(reply.status, 429);
		cr_assert_not_null(strstr(reply.body, "3 connections and requests"));
	}
	for (int i = 0; i < 6; i++) {
		cr_assert(client_read(fds[i], false, &reply));
		cr_assert_eq(reply.status, 200);
	}
	/* They are counted down again. */
	script = (struct script){ .head = ACT_ANSWER };
	for (int i = 0; i < 10; i++) {
		client_say(fds[0], THROUGH_PROXY("192.0.2.1"));
		cr_assert(client_read(fds[0], false, &reply));
		cr_assert_eq(reply.status, 200);
	}
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	rig_stop(&rig);
}
