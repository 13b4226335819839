/*
 * Assertions that stay on in release. They state what only a bug of our own could break; clients,
 * disks, databases, peers and out-of-memory are errors, not asserts. Any thread.
 */
#ifndef CT_BASE_ASSERT_H
#define CT_BASE_ASSERT_H

#define CT_ASSERT(condition) \
	((condition) ? (void)0 : ct_assert_failed(#condition, __FILE__, __LINE__, __func__))

/* For an object passed through void *: its first field is `uint32_t magic`. */
#define CT_ASSERT_MAGIC(object, expected) \
	CT_ASSERT((object) != NULL && (object)->magic == (expected))

/* Writes one line to standard error and aborts. */
_Noreturn void ct_assert_failed(
    const char *condition, const char *file, int line, const char *function);

#endif
