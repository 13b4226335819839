#include "imaging/worker/blurhash.h"
#include "base/assert.h"

#include <math.h>

#define COMPONENTS (CT_BLURHASH_COMPONENTS_X * CT_BLURHASH_COMPONENTS_Y)
#define MAX_COMPONENTS 9
#define CHANNELS 3

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			     "#$%*+,-.:;=?@[]^_{|}~";

struct colour {
	double channel[CHANNELS];
};

static double to_linear(uint8_t value)
{
	double v = value / 255.0;
	return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static int to_srgb(double linear)
{
	double v = fmin(fmax(linear, 0.0), 1.0);
	if (v <= 0.0031308)
		return (int)(v * 12.92 * 255 + 0.5);
	return (int)((1.055 * pow(v, 1 / 2.4) - 0.055) * 255 + 0.5);
}

static int clamp(int value, int max)
{
	if (value < 0)
		return 0;
	return value > max ? max : value;
}

static char *put_base83(char *at, unsigned value, int length)
{
	for (int i = length - 1; i >= 0; i--) {
		at[i] = digits[value % 83];
		value /= 83;
	}
	return at + length;
}

/* The cosine of component `c` at each of `length` places. */
static void fill_wave(double *wave, int c, int length)
{
	for (int i = 0; i < length; i++)
		wave[i] = cos(M_PI * c * i / length);
}

static struct colour component(const uint8_t *pixels, int width, int height, int cx, int cy)
{
	double wave_x[CT_BLURHASH_MAX_SIDE];
	double wave_y[CT_BLURHASH_MAX_SIDE];
	double linear[256];
	struct colour sum = { 0 };

	fill_wave(wave_x, cx, width);
	fill_wave(wave_y, cy, height);
	for (int i = 0; i < 256; i++)
		linear[i] = to_linear((uint8_t)i);
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++, pixels += CHANNELS) {
			double basis = wave_x[x] * wave_y[y];
			for (int k = 0; k < CHANNELS; k++)
				sum.channel[k] += basis * linear[pixels[k]];
		}
	}
	double scale = (cx == 0 && cy == 0 ? 1.0 : 2.0) / (width * height);
	for (int k = 0; k < CHANNELS; k++)
		sum.channel[k] *= scale;
	return sum;
}

static double largest(const struct colour *colours, int count)
{
	double max = 0;
	for (int i = 0; i < count; i++) {
		for (int k = 0; k < CHANNELS; k++)
			max = fmax(max, fabs(colours[i].channel[k]));
	}
	return max;
}

static unsigned quantise(const struct colour *colour, double max)
{
	unsigned value = 0;
	for (int k = 0; k < CHANNELS; k++) {
		double v = colour->channel[k] / max;
		double root = copysign(sqrt(fabs(v)), v);
		value = value * 19 + (unsigned)clamp((int)floor(root * 9 + 9.5), 18);
	}
	return value;
}

void ct_blurhash_encode(
    const uint8_t *pixels, int width, int height, char ret_hash[CT_BLURHASH_CHARS + 1])
{
	struct colour colours[COMPONENTS];

	CT_ASSERT(width >= 1 && width <= CT_BLURHASH_MAX_SIDE);
	CT_ASSERT(height >= 1 && height <= CT_BLURHASH_MAX_SIDE);
	for (int i = 0; i < COMPONENTS; i++) {
		colours[i] = component(pixels, width, height, i % CT_BLURHASH_COMPONENTS_X,
		    i / CT_BLURHASH_COMPONENTS_X);
	}
	int step = clamp((int)floor(largest(colours + 1, COMPONENTS - 1) * 166 - 0.5), 82);
	unsigned average = 0;
	for (int k = 0; k < CHANNELS; k++)
		average = average << 8 | (unsigned)to_srgb(colours[0].channel[k]);

	char *at = put_base83(ret_hash,
	    (CT_BLURHASH_COMPONENTS_X - 1) + (CT_BLURHASH_COMPONENTS_Y - 1) * MAX_COMPONENTS, 1);
	at = put_base83(at, (unsigned)step, 1);
	at = put_base83(at, average, 4);
	for (int i = 1; i < COMPONENTS; i++)
		at = put_base83(at, quantise(&colours[i], (step + 1) / 166.0), 2);
	*at = '\0';
	CT_ASSERT(at - ret_hash == CT_BLURHASH_CHARS);
}
