#include "config/image_types.h"

#include <string.h>

#define ROW(name, accepted, shown) { name, shown },
static const struct ct_image_type types[] = { CT_IMAGE_TYPES(ROW) };
#undef ROW

const struct ct_image_type *ct_image_type_at(size_t index)
{
	return index < sizeof(types) / sizeof(types[0]) ? &types[index] : NULL;
}

const struct ct_image_type *ct_image_type_find(const char *name)
{
	const struct ct_image_type *type;
	for (size_t i = 0; (type = ct_image_type_at(i)) != NULL; i++) {
		if (strcmp(type->name, name) == 0)
			return type;
	}
	return NULL;
}
