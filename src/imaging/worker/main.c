/*
 * calotype-worker: decodes images that strangers sent, on behalf of calotyped, and can be killed
 * at any moment. It speaks protocol.h on descriptor 3, opens nothing by itself, and ends when the
 * other side closes. It is the one program that links libvips, and is built without sanitizers,
 * which its limit on address space would break.
 */
#include "imaging/worker/develop.h"
#include "imaging/worker/run.h"

int main(void)
{
	return ct_worker_run(ct_develop);
}
