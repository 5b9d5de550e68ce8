// Package audio holds the sounds of a telephone call: G.711, the tones of call progress, and sounds that are read from
// files. It knows nothing of RTP.
package audio
