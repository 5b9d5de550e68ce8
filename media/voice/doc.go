// Package voice says when somebody speaks, from RTP as it passes: from the level of G.711 codes and from timestamps. It
// decodes nothing, keeps no audio and no words, and has no clock. Package turns, below, makes figures of it.
//
//	packets of a side ──▶ [Detector] ──▶ [Segment] by segment, and a [View] at any time
//
// # How it is judged
//
//   - level: a block of 20 ms has the mean of the highest codes of eight byte lanes.
//   - floor: of the noise. It falls at once and rises slowly. How much the noise swings raises all thresholds.
//   - A segment begins after 70 ms of blocks that are clear of the noise and about as loud as the speaker usually is.
//     It is backdated to the first block of its run. It ends with the last block that counts, once 200 ms have passed.
//   - Sound that is much quieter than the speaker is no speech: an echo, music, other people. So a word ends 22 dB
//     below its level on a quiet line as on a noisy one. A speaker who stays quieter is believed after a while: some
//     10 s for each decibel.
//   - After a gap of 50 ms a segment goes on only with 40 ms of clear blocks, so that clicks do not prolong it.
//   - Sound whose level hardly varies is noise, however loud: a fan, a dial tone, the tone of a key. It is told as a
//     segment whose Noise is its Level.
//
// # Decisions
//
// Durations are counted in RTP time, so that neither jitter nor loss changes them. A place in the stream becomes a
// moment by the fastest packet of the last second, which waited in no queue: its last sample was spoken when it
// arrived. Tests:
// TestDelaysDoNotMatter, TestStreamsThatBreak.
//
// Integers, shifts and at most three blocks a packet: the same steps in the same order are meant for the program in
// media/kernel, whose verifier knows no signed division and no unbounded loop. A [Detector] is 160 bytes without
// pointers, allocates nothing and can go on in another process. Tests: TestDetectorIsSmall, TestDetectorGoesOn,
// FuzzDetector.
//
// Not everything can be measured. Codecs other than G.711 would have to be decoded, so a [View] tells a [Reason]
// instead. Packets below 10 ms and of 70 ms and more are not judged either. Test: TestReasons.
//
// How exact it is: package turns, TestFiguresOfConversations.
package voice
