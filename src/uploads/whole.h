/*
 * What a whole upload and a resumable one to the same address share.
 */
#ifndef CT_UPLOADS_WHOLE_H
#define CT_UPLOADS_WHOLE_H

#include "http/http.h"
#include "uploads/filename.h"

/*
 * The cleaned name that the path (PUT), the query or Content-Disposition tells; empty when none
 * does. -EINVAL, -ENAMETOOLONG.
 */
int ct_whole_read_filename(
    const struct ct_http_request *request, char ret_name[CT_FILENAME_MAX + 1]);
/* The problem of an error of it. */
struct ct_http_response *ct_whole_refuse_filename(const struct ct_http_request *request, int r);

#endif
