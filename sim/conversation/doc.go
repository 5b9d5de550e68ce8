// Package conversation generates telephone conversations whose truth is known: the RTP of a caller and an agent
// who take turns, interrupt each other and are silent, and the times at which each speaks. Tests and benchmarks
// compare measurements on calls with it.
//
//   - [Synthetic] makes voices and noises from a seed, without files. Sounds from recordings work as well.
//   - [New] puts sounds together to a conversation. The utterances are the same in all conditions.
//   - [Conversation.Packets] sends one side through a [Condition]: level, noise, echo, loss, jitter and the like.
//
// Equal arguments give equal packets. Everything is computed: no clock, no network, no goroutine.
package conversation
