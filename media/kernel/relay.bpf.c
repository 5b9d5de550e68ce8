//go:build ignore

// The relay in the kernel. doc.go says what it does and what the maps hold; model_linux_test.go says it again, in Go, and
// is compared with it.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define UP TC_ACT_UNSPEC // to the sockets, as if this program were not there

#define LOOPBACK 1 // the index of lo, in every network namespace
#define SECOND 1000000000ULL

// media/latch.go, which judges what goes up, has the reasons for these: relockSilence, streamSilence, proofFirst.
#define SOURCE_SILENCE (2 * SECOND)
#define STREAM_SILENCE (SECOND / 20)
#define STRAYS_A_SECOND 1	// that go up while the flow's source is heard
#define FOREIGN_A_SECOND 16	// the same of other streams of the source
#define UP_A_SECOND 1000	// that go up while it is silent

#define BUFFER 200 // ms, of media/quality

// RFC 3550 A.1, as in media/stream.go.
#define MAX_DROPOUT 3000
#define MAX_MISORDER 100

struct key {
	__be32 ip[4]; // IPv4 as ::ffff:a.b.c.d, as everywhere here
	__be16 port;
	__u16 zero;
};

// A change of a payload type: from, to, and whether packets are dropped, a byte each from the lowest. 0 is none.
#define FROM(change) ((change) & 0xff)
#define TO(change) ((change) >> 8 & 0x7f)
#define DROPS(change) ((change) >> 16 & 1)

#define KIND_RTCP 1	// else RTP
#define REWRITES 2	// the RTP header changes
#define PAYLOADS 4	// the payload type may change
#define LISTENS 8	// who speaks when is found out

// flow is what the program compares with and writes. It is in its state, because memory of a hash may become another
// flow's while the program reads it.
struct flow {
	__u64 up[2]; // set of payload types
	__be32 in[4], src[4], from[4], to[4];
	__be32 hop[4]; // next hop, in the form of struct bpf_redir_neigh
	__be16 in_port, src_port, from_port, to_port;
	__u32 hop_family;
	__u32 out; // interface; 0: source and destination are on this machine
	__u32 mtu; // of the IP packet
	__u32 rate; // of the timestamps, Hz
	__be32 ssrc;
	__be32 new_ssrc; // 0: as it is
	__u32 time_offset;
	__u16 seq_offset;
	__u8 flags, tos;
	__u32 changes[8];
	__u64 events[2]; // set of payload types that are telephone-events, where it LISTENS
};

// place says where a flow is.
struct place {
	__u32 slot; // of states
	__u32 kind; // KIND_RTCP, or 0
};

// figures are those of State in kernel.go. Times are those of CLOCK_MONOTONIC.
struct figures {
	__u64 last;
	__u64 id; // of the flow; 0: it ends, and its packets go up
	__u64 first;
	__u64 packets, bytes, sent, sent_bytes;
	__u64 wrong_source, wrong_ssrc, discarded;
	__u64 base, top, received;
	__u64 lost_past, wraps_past, duplicates, reordered, ssrc_changes;
	__u64 recent, older, run, runs, longest;
	__u64 timestamp_at, jitter, jitter_max, jitter_sum, timings;
	__u64 behind, waiting, lasted, late, bursts;
	__u64 strays_at, foreign_at; // when the second of the next two began
	__u32 strays, foreign; // that went up
	__u32 ssrc, timestamp;
	__u16 expect;
	__u8 started, renewed, jumped, timed, payload_type, pad;
};

// voice is Detector of media/voice, field by field. Times are in ticks of 1/8000 s.
struct voice {
	__s64 base, next, heard, window, run, run_end, start, end, said, sum, weight;
	__s32 fastest, loud, clear, even, high, low, floor, swing, usual, now;
	__u32 key, ssrc, timestamp, judged;
	__u16 foreign, overlong;
	__u8 late, started, running, talking, varied, known;
	__s16 top, highest, lowest;
};

// A finished segment of speech.
struct spoken {
	__s64 from;
	__u32 length;
	__u16 level, noise; // level: and SPARSE, TONE
};

#define TOLD 7

// speech is that of the flow's source.
struct speech {
	struct voice voice;
	__u64 told; // segments so far
	struct spoken last[TOLD]; // the newest first
};

// state begins with the lock, because a process without CAP_PERFMON may not point to one elsewhere. last stays where it
// is in all layouts: the next version looks at it.
struct state {
	struct bpf_spin_lock lock;
	__u32 pad;
	struct figures f;
	struct flow flow;
	struct speech speech;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct key);
	__type(value, struct place);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state);
} states SEC(".maps");

// steering says where packets to an address go. Several processors may count at once, so most is not exact.
struct steering {
	__u64 since; // when the second of went began
	__u32 socket; // of sockets
	__u32 most; // packets in a second
	__u32 went;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct key);
	__type(value, struct steering);
} steered SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

// hints has the slots of the flows that were put last for our even ports, which are RTP's, 16 bits for each; 0: none is
// known. It is dense, where the memory of a hash is scattered: most of what a packet costs is waiting for
// memory. It is only a hint: slots get other flows. The process writes to its memory.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u64);
} hints SEC(".maps");

// rtp is what has to be known of an RTP packet, in the machine's byte order.
struct rtp {
	__u64 levels; // of up to three blocks of its payload, 16 bits each from the lowest
	__u32 timestamp, ssrc, length;
	__u32 payload, payload_length; // where it is in the frame, without padding
	__u16 seq;
	__u8 payload_type;
};

// Before Linux 6.8 a process without CAP_PERFMON may write to a word of the stack that has a number in it only as a
// whole. So what is put together on the stack are words of 64 bits, and pair makes one of two numbers that follow each
// other in memory.
#define pair(first, second) ((__u64)(second) << 32 | (__u32)(first))
#define pair16(first, second) ((__u32)(second) << 16 | (__u16)(first))

// lookup is a key, to be written by words.
union lookup {
	__u64 words[3];
	struct key key;
};

// hide keeps the compiler from turning arithmetic into branches, of which the verifier would follow each combination.
#define hide(x) asm volatile("" : "+r"(x))

static __always_inline __u64 ones(__u64 x)
{
	x -= x >> 1 & 0x5555555555555555;
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return x * 0x0101010101010101 >> 56;
}

static __always_inline __u64 leading_ones(__u64 x)
{
	x = ~x;
	x |= x >> 1;
	x |= x >> 2;
	x |= x >> 4;
	x |= x >> 8;
	x |= x >> 16;
	x |= x >> 32;
	return 64 - ones(x);
}

static __always_inline __u64 trailing_ones(__u64 x)
{
	return ones(x & ~(x + 1));
}

// longer takes a step of longest_ones: at has the places of runs of length n, runs those of length more. If one goes on
// for that, it takes those.
static __always_inline void longer(__u64 *at, __u64 *n, __u64 runs, __u64 more)
{
	__u64 both = *at & runs >> (*n & 63), mask;

	mask = -((both | -both) >> 63);
	hide(mask);
	*at = (both & mask) | (*at & ~mask);
	*n += more & mask;
}

// longest_ones returns the length of the longest run of ones, which are not 64.
static __always_inline __u64 longest_ones(__u64 x)
{
	__u64 x2 = x & x >> 1, x4 = x2 & x2 >> 2, x8 = x4 & x4 >> 4, x16 = x8 & x8 >> 8, x32 = x16 & x16 >> 16;
	__u64 at = ~0ULL, n = 0;

	longer(&at, &n, x32, 32);
	longer(&at, &n, x16, 16);
	longer(&at, &n, x8, 8);
	longer(&at, &n, x4, 4);
	longer(&at, &n, x2, 2);
	longer(&at, &n, x, 1);
	return n;
}

// not_zero and larger are of numbers below 2^63.
static __always_inline __u64 not_zero(__u64 x)
{
	x = -x >> 63;
	hide(x);
	return x;
}

static __always_inline __u64 larger(__u64 a, __u64 b)
{
	__u64 mask = -((a - b) >> 63);

	hide(mask);
	return a ^ ((a ^ b) & mask);
}

static __always_inline void lose(struct figures *s, __u64 n)
{
	s->runs += 1 - not_zero(s->run);
	s->run += n;
	s->longest = larger(s->longest, s->run);
}

// settle counts the n highest bits of a word that leave the window: 0 means lost. n is 1 to 64. It has no loop, because
// the verifier would walk through each round of it.
static __always_inline void settle(struct figures *s, __u64 came, __u32 n)
{
	__u64 all = ~0ULL << ((64 - n) & 63), missing = ~came & all, run = s->run, top, first;

	if (!missing) {
		s->run = 0;
		return;
	}
	if (missing == all) {
		lose(s, n);
		return;
	}
	top = missing >> 63;
	first = missing & ~(missing >> 1); // of each run; that of the top one may be outside
	s->runs += ones(first) - (not_zero(run) & top);
	s->longest = larger(s->longest, larger(longest_ones(missing), (run + leading_ones(missing)) & -top));
	s->run = trailing_ones(missing >> ((64 - n) & 63));
}

// push raises the highest number by n, at least 1. What leaves the window without having come is lost.
static __always_inline void push(struct figures *s, __u64 n)
{
	__u64 older = s->older, recent = s->recent, beyond;

	settle(s, older, n < 64 ? n : 64);
	if (n < 64) {
		s->older = older << (n & 63) | recent >> ((64 - n) & 63);
		s->recent = recent << (n & 63);
		return;
	}
	beyond = n - 64;
	s->recent = 0;
	if (beyond)
		settle(s, recent, beyond < 64 ? beyond : 64);
	if (beyond < 64) {
		s->older = recent << (beyond & 63);
		return;
	}
	s->older = 0;
	beyond -= 64;
	if (beyond) // never in the window
		lose(s, beyond);
}

// count is count of media/stream.go: where the number stands among those that came.
static __always_inline void count(struct figures *s, __u16 seq, int anew)
{
	__u16 ahead = seq - (__u16)s->top;
	__u64 behind = 0, by = 0, recent, older, bit;

	if (!anew) {
		if (ahead < MAX_DROPOUT) {
			by = ahead;
		} else if (ahead > 65535 - MAX_MISORDER) {
			behind = (__u16)-ahead;
		} else if (!s->jumped || seq != s->expect) {
			s->jumped = 1;
			s->expect = seq + 1;
			return;
		} else {
			anew = 1;
		}
	}
	s->jumped = 0;
	if (anew) {
		if (s->started) {
			__u64 expected = s->top - s->base + 1;

			if (expected > s->received)
				s->lost_past += expected - s->received;
			by = 128;
		}
		s->wraps_past += s->top >> 16;
	}
	if (by)
		push(s, by);
	if (anew) {
		s->base = s->top = seq;
		s->received = s->run = 0;
		s->recent = ~1ULL;
		s->older = ~0ULL;
	} else {
		s->top += by;
	}
	if (behind > s->top - s->base) { // sent before the first that is counted
		s->reordered++;
		return;
	}
	recent = s->recent;
	older = s->older;
	hide(recent); // not a choice of addresses, which takes CAP_PERFMON
	hide(older);
	bit = 1ULL << (behind & 63);
	if ((behind < 64 ? recent : older) & bit) {
		s->duplicates++;
		return;
	}
	s->recent = behind < 64 ? recent | bit : recent;
	s->older = behind < 64 ? older : older | bit;
	s->received++;
	s->reordered += behind != 0;
}

// delay is Delays of media/quality: which packets come too late for a receiver's jitter buffer.
static __always_inline void delay(struct figures *s, __s32 change, __u64 passed, __u32 rate)
{
	__s64 behind = s->behind + change - 1;

	s->behind = behind < 0 ? 0 : behind;
	if (s->behind <= (__u64)rate * BUFFER / 1000) {
		s->bursts += not_zero(s->waiting);
		s->late += s->waiting;
		s->waiting = 0;
	} else if (!s->waiting++) {
		s->lasted = 0;
	} else {
		s->lasted += passed;
		if ((__s64)s->lasted > (__s64)SECOND)
			s->behind = s->waiting = 0;
	}
}

// measure is time of media/stream.go: it updates the jitter (RFC 3550 6.4.1) and the delays. newest says that no packet
// with a higher number came.
static __always_inline void measure(struct figures *s, __u32 timestamp, int newest, __u32 rate, __u64 now)
{
	__u64 passed = now - s->timestamp_at;
	__u32 units, d, step = timestamp - s->timestamp, jump = 2 * rate;
	__u8 known = s->timed;
	int change, far;

	if (known && -step <= (newest ? jump : 0)) // of a telephone-event (RFC 4733 2.2)
		return;
	if ((__s64)passed < 0) // the state is from another processor's packet
		units = -(__u32)(-passed / 1000 * rate / 1000000);
	else
		units = passed / 1000 * rate / 1000000;
	d = change = units - step;
	s->timed = 1;
	s->timestamp = timestamp;
	s->timestamp_at = now;
	if (d >> 31)
		d = -d;
	far = d > jump;
	if (!known || (far && step + jump > 2 * jump)) {
		s->behind = s->waiting = 0;
		return;
	}
	delay(s, change, passed, rate);
	if (far)
		return;
	s->jitter += d - ((s->jitter + 8) >> 4);
	s->timings++;
	s->jitter_sum += s->jitter;
	if (s->jitter > s->jitter_max)
		s->jitter_max = s->jitter;
}

// observe counts a packet of the flow. The lock is held, so nothing is called.
static __always_inline void observe(struct figures *s, const struct rtp *r, __u32 rate, __u64 now)
{
	int anew = !s->started || s->renewed || r->ssrc != s->ssrc;
	__u64 twice = s->duplicates;

	s->packets++;
	s->bytes += r->length;
	if (!s->first)
		s->first = now;
	s->last = now;
	s->payload_type = r->payload_type;
	if (anew) {
		if (s->started && !s->renewed)
			s->ssrc_changes++;
		s->timed = s->jitter = 0;
	}
	count(s, r->seq, anew);
	if (anew) {
		s->ssrc = r->ssrc;
		s->started = 1;
		s->renewed = 0;
	}
	if (s->duplicates == twice)
		measure(s, r->timestamp, r->seq == (__u16)s->top, rate, now);
}

// datagram is what the program does to a packet.
struct datagram {
	__u64 src[2]; // as it came
	__u32 l4; // offset of UDP
	__u32 length; // of the IP packet
	__u32 udp_length;
	__be16 src_port, checksum;
};

// allow reports whether another packet may go, of so many in a second.
static __always_inline int allow(__u64 *since, __u32 *went, __u64 now, __u32 most)
{
	if (now - *since >= SECOND) {
		*since = now;
		*went = 0;
	}
	if (*went >= most)
		return 0;
	(*went)++;
	return 1;
}

// refuse decides about a packet that is not of the flow: up, or counted and dropped. It goes up where the latch may
// take it, as the flow's own source is silent, and else as often as the latch and the figures need to know of it. The
// lock is held.
static __always_inline int refuse(struct figures *s, int foreign, __u64 now)
{
	__s64 silent = now - s->last;

	if (foreign) {
		if (allow(&s->foreign_at, &s->foreign, now, silent >= (__s64)STREAM_SILENCE ? UP_A_SECOND : FOREIGN_A_SECOND))
			return UP;
		s->wrong_ssrc++;
	} else {
		if (allow(&s->strays_at, &s->strays, now, silent >= (__s64)SOURCE_SILENCE ? UP_A_SECOND : STRAYS_A_SECOND))
			return UP;
		s->wrong_source++;
	}
	return TC_ACT_SHOT;
}

// difference adds the change of a word to a checksum's (RFC 1624).
static __always_inline __u64 difference(__u64 sum, __u32 was, __u32 is)
{
	return sum + (__u32)~was + is;
}

static __always_inline __u32 fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum + (sum >> 32);
}

static __always_inline __u16 fold16(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32 & 0xffff) + (sum >> 48);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

// first_words reads the first n words at an offset of the frame. The offset is a constant for each place that calls it:
// without CAP_PERFMON no number may be added to the address of a packet.
#define first_words(skb, offset, words, n)                                                                                         \
	({                                                                                                                         \
		__u32 *at = (void *)(long)(skb)->data + (offset);                                                                  \
		int there = (void *)(at + (n)) <= (void *)(long)(skb)->data_end;                                                   \
		if (there) {                                                                                                       \
			_Pragma("clang loop unroll(full)") for (int i = 0; i < (n); i++)(words)[i] = at[i];                        \
			asm volatile("# " #offset "" ::: "memory"); /* keeps the compiler from sharing this */                     \
		}                                                                                                                  \
		there;                                                                                                             \
	})

#define BEHIND4 (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr))
#define BEHIND6 (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct udphdr))

// rtp_of reads a well-formed RTP packet, and reports whether it is one, with the rules of media/packet.
static __always_inline int rtp_of(struct __sk_buff *skb, const struct datagram *d, int v6, __be32 *head, struct rtp *r)
{
	__u8 first, type, padding;
	__u32 size = 12;
	__be16 extension;

	if (d->udp_length < sizeof(struct udphdr) + 12 || !(v6 ? first_words(skb, BEHIND6, head, 3) : first_words(skb, BEHIND4, head, 3)))
		return 0;
	r->length = d->udp_length - sizeof(struct udphdr);
	first = bpf_ntohl(head[0]) >> 24;
	type = bpf_ntohl(head[0]) >> 16;
	if (first >> 6 != 2 || (type >= 192 && type <= 223)) // RTCP's (RFC 5761 4)
		return 0;
	size += 4 * (first & 0x0f);
	if (first & 0x10) {
		if (r->length < size + 4 || bpf_skb_load_bytes(skb, d->l4 + sizeof(struct udphdr) + size + 2, &extension, 2))
			return 0;
		size += 4 + 4 * bpf_ntohs(extension);
	}
	if (r->length < size)
		return 0;
	if (first & 0x20) {
		if (bpf_skb_load_bytes(skb, d->l4 + d->udp_length - 1, &padding, 1))
			return 0;
		if (!padding || padding > r->length - size)
			return 0;
		r->payload_length = -padding;
	}
	r->payload = d->l4 + sizeof(struct udphdr) + size;
	r->payload_length += r->length - size;
	r->payload_type = type & 0x7f;
	r->seq = bpf_ntohl(head[0]);
	r->timestamp = bpf_ntohl(head[1]);
	r->ssrc = head[2];
	return 1;
}

// has reports whether a payload type is in a set.
static __always_inline int has(__u64 low, __u64 high, __u8 type)
{
	hide(low);
	hide(high);
	return (type < 64 ? low : high) >> (type & 63) & 1;
}

// rewrite writes the first bytes of an RTP header as the flow says, and returns the change of the checksum. It reports a
// payload type that is dropped.
static __always_inline __u64 rewrite(const struct flow *f, const struct rtp *r, const __be32 *head, __u64 *out, int *dropped)
{
	__u32 first = bpf_ntohl(head[0]), is[3];
	__u8 type = r->payload_type;

	if (f->flags & PAYLOADS) {
#pragma clang loop unroll(full)
		for (int i = 0; i < 8; i++) {
			__u32 c = f->changes[i];

			hide(c);
			if (c && FROM(c) == r->payload_type) {
				type = TO(c);
				*dropped = DROPS(c);
				break;
			}
		}
	}
	first = (first & 0xff800000) | (__u32)type << 16 | (__u16)(r->seq + f->seq_offset);
	is[0] = bpf_htonl(first);
	is[1] = bpf_htonl(r->timestamp + f->time_offset);
	is[2] = f->new_ssrc ? f->new_ssrc : head[2];
	out[0] = pair(is[0], is[1]);
	out[1] = is[2];
	return difference(difference(difference(0, head[0], is[0]), head[1], is[1]), head[2], is[2]);
}

// Who speaks when: what follows is media/voice, where the reasons are. It is judged only with CAP_PERFMON, because it adds
// numbers to addresses; listens is set before the program is loaded, and without it the verifier leaves this out.
volatile const __u32 listens = 0;

#define TICK (SECOND / 8000)
#define MILLISECOND 8
#define BLOCK 160
#define HALF 80
#define BLOCKS 3

// Levels.
#define LEAST 128
#define ONSET 170
#define OFFSET 60
#define UNSTEADY 272
#define DEPTH 200
#define DEEP 600
#define REACH 450
#define USUAL 900
#define PURE 96
#define FALL 3
#define SPREAD 15
#define FINE 64
#define FLOOR_MIN (LEAST * 3 / 4)
#define LEVEL_MAX (127 * 16)
#define SPARSE 0x8000
#define TONE 0x4000

// Times.
#define BEGIN (70 * MILLISECOND)
#define RESTART (40 * MILLISECOND)
#define BRIDGE (50 * MILLISECOND)
#define HANGOVER (200 * MILLISECOND)
#define LONGEST (60000 * MILLISECOND)
#define STEADY (800 * MILLISECOND)
#define STEADY_FIRST (500 * MILLISECOND)
#define RING_MIN (300 * MILLISECOND)
#define RING_MAX (1100 * MILLISECOND)
#define PAUSE (200 * MILLISECOND)
#define JUMP (2000 * MILLISECOND)
#define WINDOW (1000 * MILLISECOND)
#define LATE_IN_ROW 8

#define LANES 0x00ff00ff00ff00ffULL
#define SIGNS 0x8080808080808080ULL
#define GATHER 0x0001000100010001ULL
#define A_LAW 0x5555555555555555ULL

// below is all ones where a number is negative. most and fewest choose without a branch. x is hidden also before its sign
// is taken: the compiler would compare the two numbers of which it is the difference, and branch.
static __always_inline __s64 below(__s64 x)
{
	hide(x);
	x >>= 63;
	hide(x);
	return x;
}

static __always_inline __s64 most(__s64 a, __s64 b)
{
	return a ^ ((a ^ b) & below(a - b));
}

static __always_inline __s64 fewest(__s64 a, __s64 b)
{
	return b ^ ((a ^ b) & below(a - b));
}

static __always_inline __u64 higher(__u64 top, __u64 word)
{
	__u64 keep;

	word |= SIGNS;
	keep = (word - top) & SIGNS;
	keep -= keep >> 7;
	return top ^ ((top ^ word) & keep);
}

// peaks takes 16 codes of 32 into top, from one offset in a block to another.
#define peaks(top, block, from, to, law)                                                                                           \
	_Pragma("clang loop unroll(full)") for (int at = (from); at < (to); at += 32)                                                 \
	{                                                                                                                          \
		top = higher(top, *(__u64 *)((block) + at) ^ (law));                                                                \
		top = higher(top, *(__u64 *)((block) + at + 8) ^ (law));                                                            \
	}

// levels_of finds how loud the blocks of a packet of G.711 are, before the lock is taken.
static __always_inline __u64 levels_of(struct __sk_buff *skb, const struct rtp *r)
{
	void *end = (void *)(long)skb->data_end, *block = (void *)(long)skb->data;
	__u64 law = r->payload_type ? A_LAW : ~0ULL, levels = 0, top;
	__u32 left = r->payload_length;
	__s64 level;

	if (r->payload_type & ~8 || left >= BLOCKS * BLOCK + HALF || r->payload > 2047)
		return 0;
	block += r->payload;
#pragma clang loop unroll(full)
	for (int i = 0; i < BLOCKS; i++) {
		if (left < HALF || block + BLOCK * i + HALF > end)
			break;
		top = 0;
		peaks(top, block + BLOCK * i, 0, HALF, law);
		if (left >= BLOCK) {
			if (block + BLOCK * i + BLOCK > end)
				break;
			peaks(top, block + BLOCK * i, 96, BLOCK, law);
		}
		level = (((top & LANES) + (top >> 8 & LANES)) * GATHER >> 48) * 2;
		if (r->payload_type)
			level += most(0, fewest(level, 150 - (level >> 3)));
		levels |= (__u64)level << 16 * i;
		if (left < BLOCK + HALF)
			break;
		left -= BLOCK;
	}
	return levels;
}

// tell keeps a segment for the process. All are moved, because that takes no place that is computed.
static __always_inline void tell(struct speech *s, __s64 from, __s64 to, __u64 level, __u64 noise)
{
#pragma clang loop unroll(full)
	for (int i = TOLD - 1; i > 0; i--)
		s->last[i] = s->last[i - 1];
	s->last[0].from = from;
	s->last[0].length = to - from;
	s->last[0].level = level;
	s->last[0].noise = noise;
	s->told++;
}

// segment tells what was said from start to end, and returns its level; -1: it is noise.
static __always_inline __s64 segment(struct speech *s)
{
	struct voice *v = &s->voice;
	__s64 from = most(v->start + v->base, v->said), to = most(v->end + v->base, v->said);
	__u64 weight = v->weight > 1 ? v->weight : 1, level = (__u64)v->sum / weight;
	__u64 noise = fewest((most(v->floor, 0) + v->swing) >> 6, LEVEL_MAX);

	if ((!v->varied && v->even >= STEADY) || (!v->known && v->end - v->start >= RING_MIN &&
						 v->end - v->start <= RING_MAX && v->highest - v->lowest < PURE))
		noise = level;
	v->said = to;
	if (to > from)
		tell(s, from, to,
		     level | (v->weight * 5 < (v->end - v->start) * 2 ? SPARSE : 0) | (v->highest - v->lowest < PURE ? TONE : 0), noise);
	return noise < level ? level : -1;
}

static __always_inline void learn(struct voice *v, __s64 level, __s64 ticks)
{
	__s64 over = level - v->usual;

	ticks = fewest(ticks, 1 << 13);
	if (over < 0)
		ticks >>= 3;
	v->usual += over * ticks >> 13;
	v->known = 1;
}

// stands returns where a packet of n ticks stands; -1: it is late, or came twice.
static __always_inline __s64 stands(struct voice *v, __s64 now, __s64 n, __u32 ssrc, __u32 timestamp)
{
	__s64 due, at, late, silent;

	if (!v->started) {
		v->started = 1;
		v->ssrc = ssrc;
		v->timestamp = timestamp;
		v->base = v->said = now - n;
		v->heard = v->window = now;
		v->fastest = JUMP;
		v->usual = USUAL * FINE;
		v->floor = -1;
	}
	due = now - n - v->base;
	at = v->next + (__s32)(timestamp - v->timestamp);
	late = due - at;
	silent = now - v->heard;
	if (ssrc != v->ssrc || late > JUMP || late < -JUMP || (silent > PAUSE && late > silent >> 1)) {
		at = most(due, v->next);
	} else if (at < v->next) {
		if (++v->late < LATE_IN_ROW)
			return -1;
		at = most(due, v->next);
	}
	v->late = 0;
	v->ssrc = ssrc;
	v->heard = now;
	v->next = at + n;
	v->timestamp = timestamp + n;
	late = due - at;
	if (late < 0) {
		v->base += late;
		v->fastest = 0;
	} else {
		v->fastest = fewest(v->fastest, late);
	}
	if (now - v->window > WINDOW) {
		v->base += v->fastest;
		v->window = now;
		v->fastest = JUMP;
	}
	return at;
}

static __always_inline void settle_speech(struct speech *s, __s64 at)
{
	struct voice *v = &s->voice;

	if (v->talking && at - v->end > HANGOVER) {
		__s64 level = segment(s);

		if (level >= 0)
			learn(v, level * FINE, v->end - v->start);
		v->talking = 0;
		v->running = v->run_end > v->end;
		v->sum = v->weight = 0;
	}
	if (at - v->run_end > BRIDGE)
		v->running = 0;
}

static __always_inline void steady(struct voice *v, __s64 n, __s64 level)
{
	if (!v->even)
		v->high = v->low = level;
	v->high = most(v->high, level);
	v->low = fewest(v->low, level);
	v->even += n;
	if (v->high - v->low >= UNSTEADY) {
		v->varied = 1;
		v->even = 0;
	} else if (v->even >= (v->known | v->varied ? STEADY : STEADY_FIRST)) {
		v->floor = v->low * FINE;
		v->even = STEADY;
	}
}

static __always_inline void begin_run(struct voice *v, __s64 at)
{
	v->running = 1;
	v->run = at;
	v->loud = v->clear = 0;
	if (!v->talking) {
		v->sum = v->weight = v->even = v->varied = v->top = 0;
		v->now = v->usual;
	}
}

// interrupt ends stretches that are too short for speech: masks of whether a block is below clear, and below loud.
static __always_inline void interrupt(struct voice *v, __s64 clear, __s64 loud)
{
	v->clear &= ~(clear & below((__s64)v->clear - RESTART));
	v->loud &= ~(loud & below((__s64)v->loud - BEGIN));
}

// speak takes a block that may be speech. It is clear from on, and begins a segment from first.
static __always_inline void speak(struct voice *v, __s64 n, __s64 level, __s64 on, __s64 first)
{
	__s64 is = ~below(level - first), talking = -(__s64)v->talking, top = most(level, v->top - (n >> FALL));

	hide(talking);
	v->top = top;
	v->highest = most(top, v->highest & talking);
	v->lowest = fewest(top, v->lowest | (~talking & 0x7fff));
	interrupt(v, below(level - on), ~is);
	v->clear += n & ~below(level - on);
	v->loud += n & is;
	v->sum += level * n & is;
	v->weight += n & is;
	v->now += ((level * FINE - v->now) * n >> 13) & is;
	if (v->talking) {
		if (v->clear >= RESTART)
			v->end = v->run_end;
	} else if (v->loud >= BEGIN) {
		v->talking = 1;
		v->start = v->run;
		v->end = v->run_end;
	}
}

// hear judges a block of n ticks.
static __always_inline void hear(struct voice *v, __s64 at, __s64 n, __s64 level)
{
	__s64 floor, swing = v->swing, speaker = v->usual >> 6, raise = SPREAD * swing >> 9, on, off, far, above;
	__s64 talking = -(__s64)v->talking, running = -(__s64)(v->talking | v->running);

	hide(talking);
	hide(running);
	floor = v->floor;
	floor ^= (floor ^ fewest(level, LEAST) * FINE) & below(floor);
	on = (floor >> 6) + ONSET + raise;
	off = (floor >> 6) + OFFSET + raise;
	far = speaker ^ ((speaker ^ v->now >> 6) & talking);
	far = fewest((((floor >> 6) + far) >> 1) - DEPTH, far - DEEP);
	v->usual -= n >> 5 & below(off - far) & ~below(level - on) & below(level - far);
	off = most(off, far);
	on = most(most(on, off), LEAST);
	off = most(off, FLOOR_MIN);
	above = level * FINE - floor;
	floor += ((above * n * 13 >> 13) & below(above)) +
		 (fewest((__u64)((108 ^ ((108 ^ 50) & running)) * n) / BLOCK, above) & ~below(above));
	v->floor = floor;
	v->swing = most(0, swing + (((level * FINE - floor - swing) * n * 51 >> 19) & ~talking & below(level - on)));
	if (level < off) {
		if (v->running) {
			if (v->even < STEADY)
				steady(v, n, level);
			v->low = fewest(v->low, level);
			interrupt(v, -1, -1);
		}
		return;
	}
	if (!v->running)
		begin_run(v, at);
	v->run_end = at + n;
	steady(v, n, level);
	speak(v, n, level, on, most(on, speaker - REACH));
}

// listen is Detector.Packet. The lock is held.
static __always_inline void listen(struct speech *s, const struct flow *f, const struct rtp *r, __u64 now)
{
	struct voice *v = &s->voice;
	__s64 clock = now / TICK, n = r->payload_length, at, size;

	if (has(f->events[0], f->events[1], r->payload_type)) {
		if (r->timestamp != v->key)
			tell(s, clock, clock, 0, 0);
		v->key = r->timestamp;
		return;
	}
	if (r->payload_type == 13) { // comfort noise
		n = 0;
	} else if (r->payload_type & ~8) {
		v->foreign += v->foreign != 0xffff;
		return;
	} else if (n < HALF || n >= BLOCKS * BLOCK + HALF) {
		v->overlong += v->overlong != 0xffff;
		return;
	}
	at = stands(v, clock, n, r->ssrc, r->timestamp);
	if (at < 0)
		return;
	v->judged++;
	v->foreign = v->overlong = 0;
	settle_speech(s, at);
	for (int i = 0; i < 16 * BLOCKS && n >= HALF; i += 16) {
		size = n < BLOCK + HALF ? n : BLOCK;
		hear(v, at, size, r->levels >> i & 0xffff);
		at += size;
		n -= size;
	}
	if (v->talking && v->end - v->start >= LONGEST) {
		segment(s);
		v->start = v->end;
		v->sum = v->weight = 0;
	}
}

// leaving is what a packet of a flow needs to leave, copied from the flow.
struct leaving {
	__u64 from[2], to[2];
	__u64 hop[3]; // struct bpf_redir_neigh
	__u64 header[2]; // of RTP, as it leaves
	__u64 data; // change of the checksum by that
	__u64 out; // interface
	__u32 ports, tos;
	int rewrites;
};

#define GOES 100 // the packet is of the flow, and leaves

// judge compares a packet with the flow in a state, counts it, and copies how it leaves. The lock is held: the flow is
// whole, and stays what it is. It may not be the one that was looked up.
static __always_inline int judge(struct state *st, const struct datagram *d, const union lookup *k, struct rtp *r,
				 const __be32 *head, int sound, __u32 kind, int local, int listening, __u64 now, struct leaving *l)
{
	const struct flow *f = &st->flow;
	int dropped = 0;

	if (!st->f.id || k->words[0] != pair(f->in[0], f->in[1]) || k->words[1] != pair(f->in[2], f->in[3]) || k->words[2] != f->in_port ||
	    (f->flags & KIND_RTCP) != kind || local != !f->out)
		return UP;
	if (d->src[0] != pair(f->src[0], f->src[1]) || d->src[1] != pair(f->src[2], f->src[3]) || d->src_port != f->src_port)
		return refuse(&st->f, 0, now);
	if (!sound)
		return UP;
	if (!kind) {
		if (r->ssrc != f->ssrc)
			return refuse(&st->f, 1, now);
		if (has(f->up[0], f->up[1], r->payload_type))
			return UP;
	}
	if (d->length > f->mtu)
		return UP;
	if (kind) {
		st->f.packets++;
		st->f.bytes += r->length;
		st->f.last = now;
		if (!st->f.first)
			st->f.first = now;
	} else {
		r->ssrc = bpf_ntohl(r->ssrc);
		if (listening && f->flags & LISTENS)
			listen(&st->speech, f, r, now);
		observe(&st->f, r, f->rate, now);
		l->rewrites = f->flags & REWRITES;
		if (l->rewrites)
			l->data = rewrite(f, r, head, l->header, &dropped);
	}
	if (dropped) {
		st->f.discarded++;
		return TC_ACT_SHOT;
	}
	st->f.sent++;
	st->f.sent_bytes += r->length;
	l->from[0] = pair(f->from[0], f->from[1]);
	l->from[1] = pair(f->from[2], f->from[3]);
	l->to[0] = pair(f->to[0], f->to[1]);
	l->to[1] = pair(f->to[2], f->to[3]);
	l->hop[0] = pair(f->hop_family, f->hop[0]);
	l->hop[1] = pair(f->hop[1], f->hop[2]);
	l->hop[2] = f->hop[3];
	l->ports = pair16(f->from_port, f->to_port);
	l->tos = f->tos;
	l->out = f->out;
	return GOES;
}

// send4 and send6 give the packet its new addresses, with the checksums that follow. data is the change of UDP's
// checksum that is not the addresses'.
static __always_inline int send4(struct __sk_buff *skb, const struct leaving *l, const struct datagram *d)
{
	const __u32 at = ETH_HLEN + sizeof(struct iphdr) + 6;
	__u32 was[6], first, third, from = l->from[1] >> 32, to = l->to[1] >> 32;
	__u64 addresses, header, data, out[3];
	__u16 check;

	if (!first_words(skb, ETH_HLEN, was, 6))
		return TC_ACT_SHOT;
	first = (was[0] & bpf_htonl(0xff00ffff)) | bpf_htonl((__u32)l->tos << 16);
	third = (was[2] & bpf_htonl(0xffff0000)) - bpf_htonl(0x01000000); // TTL, protocol, checksum
	check = was[2] >> 16;
	addresses = difference(difference(0, was[3], from), was[4], to);
	header = difference(difference(addresses, was[0], first), was[2] & bpf_htonl(0xffff0000), third);
	check = ~fold16(header + (__u16)~check);
	data = difference(l->data, was[5], l->ports);
	out[0] = pair(first, was[1]);
	out[1] = pair(third | (__u32)check << 16, from);
	out[2] = pair(to, l->ports);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, out, sizeof(out), 0))
		return TC_ACT_SHOT;
	if (d->checksum) {
		bpf_l4_csum_replace(skb, at, 0, fold32(addresses), BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
		bpf_l4_csum_replace(skb, at, 0, fold32(data), BPF_F_MARK_MANGLED_0);
	} else {
		bpf_csum_update(skb, fold32(data)); // no checksum compensates for it
	}
	return TC_ACT_OK;
}

static __always_inline int send6(struct __sk_buff *skb, const struct leaving *l, const struct datagram *d)
{
	const __u32 at = ETH_HLEN + sizeof(struct ipv6hdr) + 6;
	__u32 was[11], first, second;
	__u64 addresses = 0, header, data, out[6];

	if (!first_words(skb, ETH_HLEN, was, 11))
		return TC_ACT_SHOT;
	first = (was[0] & bpf_htonl(0xf00fffff)) | bpf_htonl((__u32)l->tos << 20);
	second = was[1] - bpf_htonl(1); // the hop limit is the last byte
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++)
		addresses = difference(difference(addresses, was[2 + i], l->from[i / 2] >> 32 * (i & 1)), was[6 + i], l->to[i / 2] >> 32 * (i & 1));
	header = difference(difference(addresses, was[0], first), was[1], second);
	data = difference(l->data, was[10], l->ports);
	out[0] = pair(first, second);
	out[1] = l->from[0];
	out[2] = l->from[1];
	out[3] = l->to[0];
	out[4] = l->to[1];
	out[5] = l->ports;
	if (bpf_skb_store_bytes(skb, ETH_HLEN, out, sizeof(was), 0))
		return TC_ACT_SHOT;
	bpf_l4_csum_replace(skb, at, 0, fold32(addresses), BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
	bpf_l4_csum_replace(skb, at, 0, fold32(data), BPF_F_MARK_MANGLED_0);
	// Where the device has summed the packet, the helper takes the addresses' change from the sum, as an IPv4 header's
	// checksum would. IPv6 has none.
	bpf_csum_update(skb, fold32(header));
	return TC_ACT_OK;
}

// read4 and read6 look at the headers. They report whether the packet may be one of a flow's.
static __always_inline int read4(struct __sk_buff *skb, struct datagram *d, union lookup *k)
{
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > (void *)(long)skb->data_end)
		return 0;
	if (*(__u8 *)ip != 0x45 || ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(0x3fff) || ip->ttl <= 1)
		return 0;
	d->l4 = ETH_HLEN + sizeof(*ip);
	d->length = bpf_ntohs(ip->tot_len);
	d->udp_length = bpf_ntohs(udp->len);
	if (d->udp_length + sizeof(*ip) != d->length)
		return 0;
	d->src[0] = 0;
	d->src[1] = pair(bpf_htonl(0xffff), ip->saddr);
	k->words[0] = 0;
	k->words[1] = pair(bpf_htonl(0xffff), ip->daddr);
	k->words[2] = udp->dest;
	d->src_port = udp->source;
	d->checksum = udp->check;
	return 1;
}

static __always_inline int read6(struct __sk_buff *skb, struct datagram *d, union lookup *k)
{
	struct ipv6hdr *ip = (void *)(long)skb->data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > (void *)(long)skb->data_end)
		return 0;
	if (*(__u8 *)ip >> 4 != 6 || ip->nexthdr != IPPROTO_UDP || ip->hop_limit <= 1)
		return 0;
	d->l4 = ETH_HLEN + sizeof(*ip);
	d->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	d->udp_length = bpf_ntohs(udp->len);
	if (d->udp_length + sizeof(*ip) != d->length || !udp->check)
		return 0;
	d->src[0] = pair(ip->saddr.s6_addr32[0], ip->saddr.s6_addr32[1]);
	d->src[1] = pair(ip->saddr.s6_addr32[2], ip->saddr.s6_addr32[3]);
	k->words[0] = pair(ip->daddr.s6_addr32[0], ip->daddr.s6_addr32[1]);
	k->words[1] = pair(ip->daddr.s6_addr32[2], ip->daddr.s6_addr32[3]);
	k->words[2] = udp->dest;
	d->src_port = udp->source;
	d->checksum = udp->check;
	return 1;
}

// rtcp_of reports whether a packet begins as a compound does (RFC 3550 A.2, RFC 5506).
static __always_inline int rtcp_of(struct __sk_buff *skb, const struct datagram *d, int v6, struct rtp *r)
{
	__u32 first;
	__be32 head[1];
	__u8 type;

	if (d->udp_length < sizeof(struct udphdr) + 4 || !(v6 ? first_words(skb, BEHIND6, head, 1) : first_words(skb, BEHIND4, head, 1)))
		return 0;
	r->length = d->udp_length - sizeof(struct udphdr);
	first = bpf_ntohl(head[0]);
	type = first >> 16;
	return first >> 30 == 2 && type >= 192 && type <= 223 && 4 * (1 + (first & 0xffff)) <= r->length;
}

// find returns the slot of the flow to an address, with its kind, or NOWHERE. It reads a flow without the lock, so judge
// compares again. What is chosen are numbers, not addresses, which would take CAP_PERFMON.
#define NOWHERE 0xffffffff

static __always_inline __u32 find(const union lookup *k, __u32 *kind)
{
	__u32 port = bpf_ntohs((__u16)k->words[2]), at = port >> 3, slot;
	__u64 *hint = bpf_map_lookup_elem(&hints, &at);
	struct state *st;
	struct place *p;

	slot = hint ? *hint >> 16 * (port >> 1 & 3) & 0xffff : 0;
	if (slot) {
		st = bpf_map_lookup_elem(&states, &slot);
		if (st && st->f.id && k->words[0] == pair(st->flow.in[0], st->flow.in[1]) &&
		    k->words[1] == pair(st->flow.in[2], st->flow.in[3]) && k->words[2] == st->flow.in_port) {
			*kind = st->flow.flags & KIND_RTCP;
			return slot;
		}
	}
	p = bpf_map_lookup_elem(&flows, k);
	if (!p)
		return NOWHERE;
	*kind = p->kind;
	return p->slot;
}

SEC("tc")
int relay(struct __sk_buff *skb)
{
	const __u32 headers = ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct udphdr);
	struct datagram d = {};
	union lookup k = {};
	struct leaving l = {};
	struct rtp r = {};
	struct state *st;
	__be32 head[4] = {};
	__u32 slot, kind = 0;
	__u64 now;
	int verdict, sound, listening, v6 = skb->protocol == bpf_htons(ETH_P_IPV6), local = skb->ifindex == LOOPBACK;

	if ((!v6 && skb->protocol != bpf_htons(ETH_P_IP)) || skb->pkt_type != PACKET_HOST || skb->vlan_present || skb->gso_size)
		return UP;
	if ((void *)(long)skb->data + headers > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, skb->len < headers ? skb->len : headers);
	if (v6 ? !read6(skb, &d, &k) : !read4(skb, &d, &k))
		return UP;
	slot = find(&k, &kind);
	if (slot == NOWHERE)
		return UP;
	hide(kind);
	st = bpf_map_lookup_elem(&states, &slot);
	if (!st)
		return UP;

	// What may fail is done before the packet is counted. What pads an Ethernet frame is not the sender's to relay. What
	// is looked at has to be there, and this packet's alone.
	sound = d.udp_length >= sizeof(struct udphdr) && d.length + ETH_HLEN <= skb->len;
	listening = listens && !kind && st->flow.flags & LISTENS; // as it seems without the lock
	if (sound)
		sound = !bpf_skb_pull_data(skb, listening ? d.length + ETH_HLEN
							  : d.l4 + sizeof(struct udphdr) + (kind ? 4 : 12));
	if (sound)
		sound = kind ? rtcp_of(skb, &d, v6, &r) : rtp_of(skb, &d, v6, head, &r);
	if (sound && listening)
		r.levels = levels_of(skb, &r);
	if (sound && d.length + ETH_HLEN < skb->len)
		sound = !bpf_skb_change_tail(skb, d.length + ETH_HLEN, 0);

	now = bpf_ktime_get_ns();
	bpf_spin_lock(&st->lock);
	verdict = judge(st, &d, &k, &r, head, sound, kind, local, listening, now, &l);
	bpf_spin_unlock(&st->lock);
	if (verdict != GOES)
		return verdict;
	if (l.rewrites && bpf_skb_store_bytes(skb, d.l4 + sizeof(struct udphdr), l.header, 12, 0))
		return TC_ACT_SHOT;
	// The protocol is read again. With v6, the verifier would follow everything under the lock once for each version.
	if (skb->protocol == bpf_htons(ETH_P_IPV6) ? send6(skb, &l, &d) : send4(skb, &l, &d))
		return TC_ACT_SHOT;
	if (!l.out)
		return TC_ACT_OK;
	return bpf_redirect_neigh(l.out, (void *)l.hop, sizeof(struct bpf_redir_neigh), 0);
}

// Requests of the process come as packets of BPF_PROG_TEST_RUN: an Ethernet header, and one of these.
struct request {
	__u64 id;
	__u32 slot;
	__u32 unused;
};

#define DONE 1
#define UNKNOWN 0

// take gives the figures of a flow back in the place of the request. From then on its packets go up.
SEC("tc")
int take(struct __sk_buff *skb)
{
	struct figures given;
	struct request q;
	struct state *st;
	int mine;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &q, sizeof(q)))
		return UNKNOWN;
	st = bpf_map_lookup_elem(&states, &q.slot);
	if (!st)
		return UNKNOWN;
	bpf_spin_lock(&st->lock);
	mine = st->f.id == q.id;
	given = st->f;
	if (mine)
		st->f.id = 0;
	bpf_spin_unlock(&st->lock);
	if (!mine || bpf_skb_store_bytes(skb, ETH_HLEN, &given, sizeof(given), 0))
		return UNKNOWN;
	return DONE;
}

// change replaces a flow, which follows the request.
SEC("tc")
int change(struct __sk_buff *skb)
{
	struct flow is;
	struct request q;
	struct state *st;
	int mine;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &q, sizeof(q)) || bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(q), &is, sizeof(is)))
		return UNKNOWN;
	st = bpf_map_lookup_elem(&states, &q.slot);
	if (!st)
		return UNKNOWN;
	bpf_spin_lock(&st->lock);
	mine = st->f.id == q.id;
	if (mine)
		st->flow = is;
	bpf_spin_unlock(&st->lock);
	return mine ? DONE : UNKNOWN;
}

// SINK is the first of two sockets that nobody reads, for IPv4 and IPv6. The kernel would answer a packet without a socket
// by ICMP, and to an address that may be somebody else's.
#define SINK 1022

// steer finds the socket of packets that go up to one of our addresses that has no socket of its own. Addresses share
// that, so a flood to one may not fill it.
SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	union lookup k = {};
	struct bpf_sock *sk;
	struct steering *s;
	__u32 i;

	if (ctx->protocol != IPPROTO_UDP)
		return SK_PASS;
	if (ctx->family == 2) { // AF_INET
		__u32 ip = ctx->local_ip4;

		hide(ip); // the verifier wants each field read by itself
		k.words[1] = pair(bpf_htonl(0xffff), ip);
	} else {
		k.words[0] = pair(ctx->local_ip6[0], ctx->local_ip6[1]);
		k.words[1] = pair(ctx->local_ip6[2], ctx->local_ip6[3]);
	}
	k.words[2] = bpf_htons(ctx->local_port);
	s = bpf_map_lookup_elem(&steered, &k);
	if (!s)
		return SK_PASS;
	i = s->socket;
	if (!allow(&s->since, &s->went, bpf_ktime_get_ns(), s->most))
		i = ctx->family == 2 ? SINK : SINK + 1;
	sk = bpf_map_lookup_elem(&sockets, &i);
	if (!sk)
		return SK_PASS;
	bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return SK_PASS;
}
