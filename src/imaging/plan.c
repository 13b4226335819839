#include "imaging/plan.h"
#include "base/assert.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

const int ct_plan_widths[] = { 320, 640, 1280 };
const size_t ct_plan_width_count = sizeof(ct_plan_widths) / sizeof(ct_plan_widths[0]);

static bool is_dimension(int value)
{
	return value >= 1 && value <= CT_PLAN_MAX_DIMENSION;
}

/* Rounded to the nearest; what is thinner than a pixel is still one. */
static int height_at(int image_width, int image_height, int width)
{
	int64_t height = ((int64_t)image_height * width + image_width / 2) / image_width;
	if (height < 1)
		return 1;
	return height > CT_PLAN_MAX_SIDE ? CT_PLAN_MAX_SIDE : (int)height;
}

/* The image's own width, unless WebP cannot hold a print of that size. */
static int widest(int image_width, int image_height)
{
	int64_t width = image_width < CT_PLAN_MAX_SIDE ? image_width : CT_PLAN_MAX_SIDE;
	int64_t fitting = (int64_t)CT_PLAN_MAX_SIDE * image_width / image_height;
	if (fitting < width)
		width = fitting;
	return width < 1 ? 1 : (int)width;
}

/* Keeps the list in order and free of doubles. */
static void insert(struct ct_plan *plan, struct ct_plan_print print)
{
	size_t at = 0;
	while (at < plan->count && plan->prints[at].width < print.width)
		at++;
	if (at < plan->count && plan->prints[at].width == print.width)
		return;
	CT_ASSERT(plan->count < CT_PLAN_MAX_PRINTS);
	memmove(
	    &plan->prints[at + 1], &plan->prints[at], (plan->count - at) * sizeof(plan->prints[0]));
	plan->prints[at] = print;
	plan->count++;
}

int ct_plan_prints(int image_width, int image_height, const int *widths, size_t width_count,
    struct ct_plan *ret_plan)
{
	struct ct_plan plan = { 0 };

	if (!is_dimension(image_width) || !is_dimension(image_height))
		return -EINVAL;
	if (width_count == 0 || width_count > CT_PLAN_MAX_PRINTS)
		return -EINVAL;
	int max_width = widest(image_width, image_height);
	for (size_t i = 0; i < width_count; i++) {
		if (!is_dimension(widths[i]))
			return -EINVAL;
		int width = widths[i] < max_width ? widths[i] : max_width;
		insert(&plan,
		    (struct ct_plan_print){ width, height_at(image_width, image_height, width) });
	}
	*ret_plan = plan;
	return 0;
}

void ct_plan_operations(int print_width, char ret_operations[CT_PLAN_OPERATIONS_CHARS + 1])
{
	CT_ASSERT(is_dimension(print_width));
	int chars =
	    snprintf(ret_operations, CT_PLAN_OPERATIONS_CHARS + 1, "w=%d&fm=webp", print_width);
	CT_ASSERT(chars > 0 && chars <= CT_PLAN_OPERATIONS_CHARS);
}
