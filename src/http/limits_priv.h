/*
 * The engine's fixed limits.
 */
#ifndef CT_HTTP_LIMITS_PRIV_H
#define CT_HTTP_LIMITS_PRIV_H

#include <stdint.h>

#define CT_HTTP_MAX_PATH_BYTES 4096
#define CT_HTTP_MAX_TARGET_BYTES 8192
#define CT_HTTP_MAX_HEADERS 100
#define CT_HTTP_MAX_SEGMENTS 16
#define CT_HTTP_MAX_QUERY_PARAMETERS 32
#define CT_HTTP_MAX_ROUTES 256
#define CT_HTTP_MAX_RESPONSE_HEADERS 24
#define CT_HTTP_MAX_REQUEST_ID 64
#define CT_HTTP_MAX_LISTENERS 8
#define CT_HTTP_MAX_LINGERING 256
#define CT_HTTP_DRAIN_BYTES (UINT64_C(8) << 20) /* of a body that was answered early */
#define CT_HTTP_LINGER_MS 5000
#define CT_HTTP_SMALL_POOL_BYTES (16u << 10)
#define CT_HTTP_LARGE_POOL_BYTES (256u << 10)

#endif
