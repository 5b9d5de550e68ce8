// Package answerer detects what answered a call: a person, a machine with a greeting, call screening, a fax, or the
// tones of a network that could not connect the call. It gets the called party's RTP, starting at the answer. It keeps
// no audio and no words.
//
//		packets ──▶ blocks of 20 ms: level, strongest frequencies ──▶ Detector ──▶ one [Answer] or two, perhaps a [Beep]
//
//	  - fax: CED, 2100 Hz, or CNG, 1100 Hz, for 0.4 s (ITU-T T.30 §4.3).
//	  - sit: three tones of about 950, 1400 and 1800 Hz in a row (ITU-T E.180 §6; the North American ones are similar).
//	  - machine: the first utterance lasts for 1.8 s, with no pause of more than 0.6 s, or there is a beep.
//	  - screening, if asked for: such an utterance is over within 10 s, and 1.5 s of silence follow it without a beep. A
//	    beep in the next 10 s changes it, or unknown, to machine. A machine's utterance then has to last for 10 s.
//	  - human: the first utterance was over within 1.2 s, and 0.7 s of silence followed.
//	  - beep: a single steady tone of 0.1 to 2 s, then a quarter of a second of silence. At the frequencies of ringing
//	    and busy tones 0.7 s of silence must follow, and a tone that comes again is no beep.
//
// Only the length of the greeting tells a person from a machine. A person who answers with a long sentence counts as a
// machine, or as call screening. A machine with a short greeting counts as a person, unless its beep comes at once.
// Speech is sound louder than the noise of the line. With each new block, all blocks are judged again, because the
// noise is known only after a while.
//
// # Decisions
//
// This package is separate from package voice, because that package decodes nothing and uses only steps that the
// kernel's verifier accepts.
//
// A beep may have any frequency, so each block takes one Fourier transform. A Goertzel filter for each frequency would
// cost more than ten times as much. Benchmarks: BenchmarkPacket, BenchmarkGoertzel.
//
// Its accuracy was measured on generated sounds, not on calls. Test: TestAnswererFigures.
package answerer
