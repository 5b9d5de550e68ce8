// Package voice detects when a party speaks, from the RTP that passes: from the level of G.711 codes and from
// timestamps. It decodes nothing, keeps no audio and no words, and has no clock. Its subpackage turns derives figures
// from the detected speech.
//
//	packets of a side ──▶ [Detector] ──▶ [Segment] by segment, and a [View] at any time
//
// # How speech is detected
//
//   - level: the level of a 20 ms block is the mean of the highest codes of eight byte lanes.
//   - floor: the level of the noise. It falls fast and rises slowly. The swing of the noise raises all thresholds.
//   - A segment starts after 70 ms of blocks without a gap that are clear of the noise and about as loud as the speaker
//     usually is: clicks do not add up to speech. It is backdated to the first block of its run. It ends with the last
//     block that counts, once 200 ms have passed.
//   - Sound much quieter than the speaker is not speech: an echo, music, other people. What is too quiet follows the
//     level of the pauses, so that noise in them divides words, too. A word ends some 20 dB below its level where
//     pauses are silent. A speaker who stays quieter is believed after a while: about 10 s for each decibel.
//   - After a gap of 50 ms a segment continues only with 40 ms of clear blocks, so that clicks do not prolong it.
//   - Sound whose level hardly varies is noise, however loud: a fan, a dial tone, the tone of a key. It is returned as
//     a segment whose Noise equals its Level. It takes 0.8 s, and 0.5 s before a side's first words; a voice that
//     dwells on a vowel within them is none. Test: TestVowelInTheFirstWords. Before a side's first words a burst of
//     0.3 to 1.1 s whose peaks hardly vary is a ringing tone, and returned the same way. Test: TestRingingBeforeWords.
//
// # Decisions
//
// Durations are counted in RTP time, so that neither jitter nor loss changes them. The fastest packet of the last
// second relates places in the stream to times: it waited in no queue, so its last sample was spoken when it arrived.
// Tests: TestDelaysDoNotMatter, TestStreamsThatBreak.
//
// The detector uses integers, shifts and at most three blocks a packet: the program in media/kernel, whose verifier
// accepts no signed division and no unbounded loop, takes the same steps in the same order. A [Detector] is 160 bytes
// without pointers, allocates nothing and can continue in another process. Tests: TestDetectorIsSmall,
// TestDetectorGoesOn, FuzzDetector.
//
// Not everything can be measured. Codecs other than G.711 would have to be decoded, so a [View] gives a [Reason]
// instead. Packets of less than 10 ms, or of 70 ms or more, are not judged either. Test: TestReasons.
//
// For its accuracy see package turns, TestFiguresOfConversations.
package voice
