#include "imaging/plan.h"

#include <criterion/criterion.h>
#include <errno.h>

/* Up to three expected widths; 0 ends them. */
static void assert_widths(int width, int height, int a, int b, int c)
{
	const int expected[] = { a, b, c };
	struct ct_plan plan;
	size_t count = 0;
	cr_assert_eq(ct_plan_prints(width, height, ct_plan_widths, ct_plan_width_count, &plan), 0);
	while (count < 3 && expected[count] != 0) {
		cr_assert_lt(count, plan.count);
		cr_assert_eq(plan.prints[count].width, expected[count], "%dx%d: %d, not %d", width,
		    height, plan.prints[count].width, expected[count]);
		count++;
	}
	cr_assert_eq(plan.count, count, "%dx%d: %zu prints", width, height, plan.count);
}

Test(plan, never_wider_than_the_image)
{
	assert_widths(4000, 3000, 320, 640, 1280);
	assert_widths(1281, 1, 320, 640, 1280);
	assert_widths(1280, 1000, 320, 640, 1280);
	assert_widths(1279, 1000, 320, 640, 1279);
	assert_widths(641, 10, 320, 640, 641);
	assert_widths(640, 10, 320, 640, 0);
	assert_widths(500, 500, 320, 500, 0);
	assert_widths(320, 9, 320, 0, 0);
	assert_widths(319, 9, 319, 0, 0);
	assert_widths(1, 1, 1, 0, 0);
}

Test(plan, heights_keep_the_proportions)
{
	struct ct_plan plan;
	cr_assert_eq(ct_plan_prints(3000, 4000, ct_plan_widths, ct_plan_width_count, &plan), 0);
	cr_assert_eq(plan.prints[0].height, 427); /* 426.67 */
	cr_assert_eq(plan.prints[2].height, 1707);
	cr_assert_eq(ct_plan_prints(20000, 3, ct_plan_widths, ct_plan_width_count, &plan), 0);
	cr_assert_eq(plan.prints[0].height, 1);
}

Test(plan, too_tall_for_webp_is_narrower)
{
	struct ct_plan plan;
	cr_assert_eq(ct_plan_prints(40, 20000, ct_plan_widths, ct_plan_width_count, &plan), 0);
	cr_assert_eq(plan.count, 1);
	cr_assert_eq(plan.prints[0].width, 32);
	cr_assert_eq(plan.prints[0].height, 16000);
	cr_assert_eq(ct_plan_prints(1, 60000, ct_plan_widths, ct_plan_width_count, &plan), 0);
	cr_assert_eq(plan.prints[0].width, 1);
	cr_assert_eq(plan.prints[0].height, CT_PLAN_MAX_SIDE);
}

Test(plan, no_side_is_ever_too_long)
{
	static const int sides[] = { 1, 2, 319, 320, 321, 1279, 16382, 16383, 16384, 50000,
		CT_PLAN_MAX_DIMENSION };
	static const int widths[] = { CT_PLAN_MAX_DIMENSION, 1, 320 };
	size_t count = sizeof(sides) / sizeof(sides[0]);
	for (size_t i = 0; i < count * count; i++) {
		struct ct_plan plan;
		int width = sides[i / count];
		int height = sides[i % count];
		cr_assert_eq(ct_plan_prints(width, height, widths, 3, &plan), 0);
		for (size_t k = 0; k < plan.count; k++) {
			cr_assert(plan.prints[k].width >= 1 && plan.prints[k].height >= 1);
			cr_assert_leq(plan.prints[k].width, CT_PLAN_MAX_SIDE);
			cr_assert_leq(plan.prints[k].height, CT_PLAN_MAX_SIDE);
			cr_assert_leq(plan.prints[k].width, width);
		}
	}
}

Test(plan, order_and_doubles_of_the_wanted_do_not_matter)
{
	static const int wanted[] = { 1280, 320, 640, 320, 5000, 1280, 640, 4999 };
	struct ct_plan plan;
	cr_assert_eq(ct_plan_prints(2000, 1000, wanted, 8, &plan), 0);
	cr_assert_eq(plan.count, 4);
	cr_assert_eq(plan.prints[0].width, 320);
	cr_assert_eq(plan.prints[1].width, 640);
	cr_assert_eq(plan.prints[2].width, 1280);
	cr_assert_eq(plan.prints[3].width, 2000);
}

Test(plan, refuses_what_makes_no_sense)
{
	static const int zero[] = { 0 };
	static const int many[CT_PLAN_MAX_PRINTS + 1] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct ct_plan plan;
	cr_assert_eq(ct_plan_prints(0, 1, many, 1, &plan), -EINVAL);
	cr_assert_eq(ct_plan_prints(1, CT_PLAN_MAX_DIMENSION + 1, many, 1, &plan), -EINVAL);
	cr_assert_eq(ct_plan_prints(1, 1, zero, 1, &plan), -EINVAL);
	cr_assert_eq(ct_plan_prints(1, 1, many, 0, &plan), -EINVAL);
	cr_assert_eq(ct_plan_prints(1, 1, many, CT_PLAN_MAX_PRINTS + 1, &plan), -EINVAL);
	cr_assert_eq(ct_plan_prints(100, 1, many, CT_PLAN_MAX_PRINTS, &plan), 0);
	cr_assert_eq(plan.count, CT_PLAN_MAX_PRINTS);
}

Test(plan, operations_are_canonical)
{
	char operations[CT_PLAN_OPERATIONS_CHARS + 1];
	ct_plan_operations(640, operations);
	cr_assert_str_eq(operations, "w=640&fm=webp");
	ct_plan_operations(CT_PLAN_MAX_DIMENSION, operations);
	cr_assert_str_eq(operations, "w=16777216&fm=webp");
}
