/*
 * Ownership of locals: `ct_cleanup(fn) struct x *x = NULL;` is freed at the end of its scope
 * unless given away with ct_steal(). fn takes a pointer to the variable; CT_DEFINE_CLEANUP makes
 * such a function out of a destructor that takes NULL.
 */
#ifndef CT_BASE_CLEANUP_H
#define CT_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define ct_cleanup(function) __attribute__((cleanup(function)))

#define ct_steal(variable)                                    \
	__extension__({                                       \
		__typeof__(variable) ct_stolen_ = (variable); \
		(variable) = NULL;                            \
		ct_stolen_;                                   \
	})

static inline int ct_steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

#define CT_DEFINE_CLEANUP(name, type, destroy)                        \
	__attribute__((unused)) static inline void name(type *object) \
	{                                                             \
		destroy(*object);                                     \
	}

/* For anything from malloc: ct_cleanup(ct_free_pointer). */
static inline void ct_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

/* For a descriptor that was only read from; a writer closes by name and checks the result. */
static inline void ct_close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

#endif
