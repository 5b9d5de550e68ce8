/* Writes what TestReference compares with: packets by libopus' encoder, and what libopus' decoder makes of them.
 *
 *	gcc -O2 -o /tmp/reference reference.c -lopus -lm
 *	/tmp/reference modes > modes.bin; /tmp/reference speech > speech.bin
 *	/tmp/reference encode BITRATE FEC < 8kHz.s16 > packets; /tmp/reference decode < packets > 8kHz.s16
 *
 * Packets are a length of two bytes, little-endian, and that many bytes. 0 to 65534: a packet, of which 0 is lost; 65535:
 * the end. Then, in modes.bin, come a number of samples and every STRIDE-th sample of 8 kHz and mono, 16 bits each.
 * speech.bin has a number, that many bytes of PCMU, and packets of these samples at 12 and at 24 kbit/s.
 * Made with libopus 1.3.1 (Debian 12). */
#include <math.h>
#include <opus/opus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRIDE 7
#define FORCE_MODE 11002 /* OPUS_SET_FORCE_MODE: 1000 SILK, 1001 hybrid, 1002 CELT */

static void put16(int v) { putchar(v & 255), putchar(v >> 8 & 255); }

static int get16(void) {
	int a = getchar(), b = getchar();
	return b == EOF ? -1 : a | b << 8;
}

/* voice makes n samples of a voice: pulses and noise through three formants, in syllables of 180 ms. */
static void voice(int16_t *out, int n, int rate) {
	static const double formants[4][3] = {{700, 1200, 2500}, {300, 2200, 3000}, {450, 850, 2400}, {550, 1700, 2500}};
	double y[3][2] = {{0}}, phase = 0;
	uint32_t seed = 1;
	for (int i = 0; i < n; i++) {
		double t = (double)i / rate, at = fmod(t, 0.18) / 0.18, x;
		int syllable = (int)(t / 0.18);
		double noise = ((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0 - 1, v = 0;
		phase += (110 + 30 * sin(2 * M_PI * t / 0.7)) / rate;
		x = phase >= 1 ? 40.0 * rate / 48000 : 0;
		phase -= phase >= 1;
		x = syllable % 5 == 4 ? 0.6 * noise * sqrt(rate / 48000.0) : x + 0.03 * noise;
		x *= at < 0.8 ? sin(M_PI * at / 0.8) : 0.01;
		for (int f = 0; f < 3; f++) {
			double r = exp(-M_PI * (70 + 40 * f) / rate), w = 2 * M_PI * formants[syllable & 3][f] / rate;
			double is = (1 - r) * x + 2 * r * cos(w) * y[f][0] - r * r * y[f][1];
			y[f][1] = y[f][0], y[f][0] = is, v += is;
		}
		v = 14000 * v + 2 * noise;
		out[i] = (int16_t)lrint(v > 32000 ? 32000 : v < -32000 ? -32000 : v);
	}
}

static OpusEncoder *encoder(int rate, int channels, int bitrate) {
	int err;
	OpusEncoder *e = opus_encoder_create(rate, channels, OPUS_APPLICATION_VOIP, &err);
	if (err != 0 || opus_encoder_ctl(e, OPUS_SET_BITRATE(bitrate)) != 0) exit(1);
	return e;
}

static OpusDecoder *decoder(void) {
	int err;
	OpusDecoder *d = opus_decoder_create(8000, 1, &err);
	if (err != 0) exit(1);
	return d;
}

static void modes(void) {
	/* mode, bandwidth, bit/s, units of 2.5 ms, channels */
	static const int all[][5] = {
		{1000, 1101, 6000, 24, 1}, {1000, 1101, 12000, 8, 1}, {1000, 1102, 12000, 4, 1}, {1000, 1103, 16000, 16, 2},
		{1000, 1103, 20000, 48, 1}, {1001, 1104, 24000, 8, 1}, {1001, 1105, 32000, 4, 1}, {1001, 1105, 40000, 8, 2},
		{1001, 1105, 28000, 24, 1}, {1002, 1101, 32000, 1, 1}, {1002, 1103, 24000, 2, 1}, {1002, 1104, 32000, 4, 1},
		{1002, 1105, 64000, 8, 2}, {1002, 1105, 64000, 1, 2}, {1002, 1105, 32000, 16, 1}, {1002, 1105, 24000, 48, 2},
		{0, 0, 32000, 0, 1}, {0, 0, 32000, 0, 2}, /* another mode in each packet */
	};
	static int16_t in[2 * 17280], mono[17280], out[960], heard[4000];
	voice(mono, 17280, 48000); /* 360 ms */
	for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
		const int *m = all[k];
		int channels = m[4], n = 0;
		OpusEncoder *e = encoder(48000, channels, m[2]);
		OpusDecoder *d = decoder();
		for (int i = 0; i < 17280; i++)
			for (int c = 0; c < channels; c++) in[i * channels + c] = mono[c == 0 ? i : i > 40 ? i - 40 : 0] / (1 + c);
		for (int at = 0, turn = 0; at < 17280; turn++) {
			const int *is = m[0] ? m : all[turn * 7 % 16];
			int size = is[3] * 120;
			unsigned char pkt[1500];
			if (at + size > 17280) is = all[9], size = 120;
			opus_encoder_ctl(e, FORCE_MODE, is[0]);
			opus_encoder_ctl(e, OPUS_SET_BANDWIDTH(is[1]));
			int len = opus_encode(e, in + at * channels, size, pkt, sizeof pkt);
			if (len < 0) fprintf(stderr, "mode %zu: %s\n", k, opus_strerror(len)), exit(1);
			put16(len), fwrite(pkt, 1, len, stdout);
			n += opus_decode(d, pkt, len, out, 960, 0);
			memcpy(heard + n - size / 6, out, size / 6 * 2);
			at += size;
		}
		put16(65535), put16(n);
		for (int i = 0; i < n; i += STRIDE) put16(heard[i]);
	}
}

static int ulaw(int v) {
	int sign = v < 0 ? 0x80 : 0, e = 7;
	v = (v < 0 ? -v : v) + 132;
	if (v > 32767) v = 32767;
	while (e > 0 && !(v & 128 << e)) e--;
	return ~(sign | e << 4 | (v >> (e + 3) & 15)) & 255;
}

static int linear(int code) {
	int c = ~code, v = (((c & 15) << 3) + 132 << (c >> 4 & 7)) - 132;
	return c & 0x80 ? -v : v;
}

static void packets(const int16_t *in, int n, int bitrate, int fec) {
	OpusEncoder *e = encoder(8000, 1, bitrate);
	opus_encoder_ctl(e, OPUS_SET_INBAND_FEC(fec));
	opus_encoder_ctl(e, OPUS_SET_PACKET_LOSS_PERC(fec ? 10 : 0));
	for (int i = 0; i + 160 <= n; i += 160) {
		unsigned char pkt[1500];
		int len = opus_encode(e, in + i, 160, pkt, sizeof pkt);
		put16(len), fwrite(pkt, 1, len, stdout);
	}
	put16(65535);
}

static void speech(void) {
	static int16_t in[11520];
	voice(in, 11520, 8000);
	put16(11520);
	for (int i = 0; i < 11520; i++) {
		int code = ulaw(in[i]);
		in[i] = linear(code), putchar(code);
	}
	packets(in, 11520, 12000, 0), packets(in, 11520, 24000, 0);
}

/* decode does what a receiver with a long enough buffer does: a packet behind a lost one tells what that was. */
static void decode(void) {
	OpusDecoder *d = decoder();
	unsigned char pkt[65536];
	int16_t out[960];
	for (int lost = 0, len; (len = get16()) >= 0 && len < 65535;) {
		if (len == 0) { lost++; continue; }
		if (fread(pkt, 1, len, stdin) != (size_t)len) exit(1);
		for (; lost > 0; lost--) {
			if (opus_decode(d, lost > 1 ? NULL : pkt, lost > 1 ? 0 : len, out, 160, lost == 1) != 160) exit(1);
			fwrite(out, 2, 160, stdout);
		}
		fwrite(out, 2, opus_decode(d, pkt, len, out, 960, 0), stdout);
	}
}

int main(int argc, char **argv) {
	static int16_t in[8000 * 600];
	if (argc == 2 && !strcmp(argv[1], "modes")) return modes(), 0;
	if (argc == 2 && !strcmp(argv[1], "speech")) return speech(), 0;
	if (argc == 2 && !strcmp(argv[1], "decode")) return decode(), 0;
	if (argc != 4 || strcmp(argv[1], "encode")) return 2;
	packets(in, (int)fread(in, 2, 8000 * 600, stdin), atoi(argv[2]), atoi(argv[3]));
	return 0;
}
