//go:build race

package b2bua

// raceDetector says whether these tests run with the race detector.
const raceDetector = true
