// Package conversation generates telephone conversations with a known truth: the RTP of a caller and an agent who
// take turns, interrupt each other and are silent, and the times at which each speaks. It is for tests and
// benchmarks of measurements on calls.
//
//   - [Synthetic] makes voices and noises from a seed, without files. Sounds from recordings work as well.
//   - [New] puts sounds together to a conversation. The utterances are the same in all conditions.
//   - [Conversation.Packets] sends one side through a [Condition]: level, noise, echo, loss, jitter and the like.
//
// Equal arguments give equal packets. Everything is computed: no clock, no network, no goroutine.
package conversation
