// Package stage has what stands in the way of the packets that a side sends, and what is sent in their place. A side
// has a stage for each kind of order that it was given, always in this order:
//
//	a packet that was accepted → ear, who speaks? → answer, who answered? → mask, hides keys → tap, a recording
//	→ listener, reads keys → dialer and player, send digits and sounds in its place
//	→ rewritten, by package media → player, mixes a sound in
//
// The same order counts where stages are attended to without a packet. What a stage has hidden or dropped no later one
// sees. Tests: TestOrderOfStages, TestMaskComesAfterDetection, TestOrderOfAttention, all in package media.
//
// Who has the turn of a session owns its stages. They read no clock and no socket.
package stage
