// Package audio provides the sounds of a telephone call: G.711, call progress tones, and sounds read from files. It
// knows nothing of RTP.
package audio
