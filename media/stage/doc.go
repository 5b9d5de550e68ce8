// Package stage filters the packets that a side sends, and sends others in their place. A side has one stage for each
// kind of order it was given, always in this order:
//
//	an accepted packet → ear, who speaks? → answer, who answered? → mask, hides keys → tap, a recording
//	→ listener, reads keys → dialer and player, send digits and sounds instead → hold-back, keeps it for later
//	→ rewriting, by package media → player, mixes a sound in
//
// What is held back has been recorded and its keys were read when it arrived. It is sent only while neither dialer nor
// player sends, so it comes last.
//
// Stages are also attended to in this order when there is no packet. A packet that one stage hides or drops does not
// reach later stages. Tests: TestOrderOfStages, TestMaskComesAfterDetection, TestOrderOfAttention, all in package
// media.
//
// The owner of a session's turn owns its stages. They read no clock and no socket.
package stage
