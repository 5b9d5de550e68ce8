// Package quality rates how a stream sounds: which packets were lost ([Losses]), and how loss, delay and the codec
// affect speech ([Heard], the E-model of ITU-T G.107).
package quality
