// Package quality says how well a stream is heard: which packets were lost ([Losses]), and what that, delay and the
// codec make of speech ([Heard], the E-model of ITU-T G.107).
package quality
