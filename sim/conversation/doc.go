// Package conversation makes telephone conversations whose truth is known: RTP of a caller and of an agent who take
// turns, interrupt each other and are silent, and when each of them speaks. It is for tests and benchmarks of what is
// measured on a call.
//
//   - [Synthetic] makes voices and noises of a seed, without files. Sounds of recordings serve as well.
//   - [New] makes a conversation of sounds. Its text is the same in all conditions.
//   - [Conversation.Packets] sends a side of it through a [Condition]: level, noise, echo, loss, jitter and the like.
//
// Equal arguments give equal packets. Everything is computed: no clock, no network, no goroutine.
package conversation
