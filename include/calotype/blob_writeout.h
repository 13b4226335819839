/*
 * Writing ahead of the sync: what a large upload has appended goes to the disk while more comes in,
 * so that ct_blob_writer_sync() or _commit() at its end has less to wait for. It proves nothing and
 * changes no promise; only those two make bytes durable, and they do all that they did without it.
 * An error it meets is final all the same, as that of an fsync: the store turns unhealthy.
 */
#ifndef CALOTYPE_BLOB_WRITEOUT_H
#define CALOTYPE_BLOB_WRITEOUT_H

#include "calotype/blob.h"

/* A piece of a staging file, with its own hold of the file: the writer may end before it runs. */
struct ct_blob_writeout;

/*
 * In the writer's thread, after an append; cheap. False nearly always: too little has come since
 * the last piece, one of this writer is under way, enough of others are (they hold up the workers
 * that syncs need too), or the store has no use for it. Else the caller gives `*ret_writeout` to a
 * worker, or drops it; what was dropped is left to the sync.
 */
bool ct_blob_writer_writeout(struct ct_blob_writer *writer, struct ct_blob_writeout **ret_writeout);

/* Begins to write the piece, and frees it. Before the store is closed. BLOCKING. */
void ct_blob_writeout_run(struct ct_blob_writeout *writeout);

/* Frees it; nothing is written. */
void ct_blob_writeout_drop(struct ct_blob_writeout *writeout);

#endif
