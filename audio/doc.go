// Package audio is what a telephone call sounds like: G.711, the tones of call
// progress, sounds that are read from files. It knows nothing of RTP.
package audio
