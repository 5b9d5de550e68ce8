package quality

import (
	"math"
	"testing"
	"time"
)

// The MOS for an R value is that of ITU-T G.107 Annex B, table B.1.
func TestOpinion(t *testing.T) {
	for _, tt := range []struct{ r, want float64 }{
		{93.2, 4.41}, {90, 4.34}, {80, 4.03}, {70, 3.60}, {60, 3.10}, {50, 2.58}, {0, 1}, {-5, 1}, {3, 1}, {100, 4.5}, {120, 4.5},
	} {
		if got := opinion(tt.r); math.Abs(got-tt.want) > 0.01 {
			t.Errorf("R %.1f: got %.3f; want %.2f", tt.r, got, tt.want)
		}
	}
}

// The delay impairment Id is close to the approximation of Cole and Rosenbluth, which was
// fitted to G.107: 0.024 d, plus 0.11 (d - 177.3) above 177.3 ms.
func TestDelayImpairment(t *testing.T) {
	for _, tt := range []struct{ ms, want, tolerance float64 }{
		{0, 0, 0.01}, {50, 1.2, 0.7}, {100, 2.4, 0.7}, {150, 3.6, 0.9}, {200, 7.3, 2.5}, {300, 20.7, 2.5}, {400, 34.1, 5},
	} {
		if got := delayImpairment(tt.ms); math.Abs(got-tt.want) > tt.tolerance {
			t.Errorf("%v ms: got %.2f; want %.2f, within %.2f", tt.ms, got, tt.want, tt.tolerance)
		}
	}
	for ms := 1.0; ms < 1000; ms++ {
		if delayImpairment(ms) < delayImpairment(ms-1) {
			t.Errorf("%v ms are better than one less", ms)
		}
	}
}

// The impairment uses the values of G.113 Appendix I. The expected Ie,eff were computed by
// hand.
func TestImpairmentWithLoss(t *testing.T) {
	for _, tt := range []struct {
		codec          string
		percent, ratio float64
		want           float64
	}{
		{"PCMU", 0, 1, 0},
		{"pcma", 1, 1, 95.0 / 26.1},
		{"PCMA", 5, 1, 95 * 5 / 30.1},
		{"PCMA", 5, 2, 95 * 5 / 27.6},
		{"G729", 0, 1, 11},
		{"G729", 2, 1, 11 + 84*2/21.0},
		{"G723", 1, 1, 15 + 80/17.1},
		{"GSM-EFR", 3, 1, 5 + 90*3/13.0},
		{"GSM", 0, 1, 20},
		{"opus", 0, 1, 0},
	} {
		i := ImpairmentOf(tt.codec)
		if i == nil {
			t.Fatalf("%s: no figures", tt.codec)
		}
		if got := i.withLoss(tt.percent, tt.ratio); math.Abs(got-tt.want) > 0.001 {
			t.Errorf("%s, %v %%, ratio %v: got %.3f; want %.3f", tt.codec, tt.percent, tt.ratio, got, tt.want)
		}
	}
	if ImpairmentOf("iLBC") != nil || ImpairmentOf("") != nil {
		t.Error("there are no published figures of iLBC and of none")
	}
}

func TestScore(t *testing.T) {
	g711, g729 := ImpairmentOf("PCMU"), ImpairmentOf("G729")
	for _, tt := range []struct {
		name  string
		codec *Impairment
		heard Heard
		want  float64
	}{
		{"perfect", g711, Heard{Received: 5000}, 4.4},
		{"perfect G.729", g729, Heard{Received: 5000}, 4.1},
		{"less than a second", g711, Heard{Received: 49}, 0},
		{"a second", g711, Heard{Received: 50}, 4.4},
		{"codec unknown", nil, Heard{Received: 5000}, 0},
		{"1 %, one by one", g711, Heard{Received: 9900, Lost: 100, Bursts: 100}, 4.3},
		{"5 %, one by one", g711, Heard{Received: 9500, Lost: 500, Bursts: 500}, 3.95},
		{"5 % in bursts of 5", g711, Heard{Received: 9500, Lost: 500, Bursts: 100}, 3.85},
		{"nearly all lost", g711, Heard{Received: 60, Lost: 100000, Bursts: 3}, 1},
		{"far away", g711, Heard{Received: 5000, RTT: 600 * time.Millisecond}, 3.6},
		{"much jitter", g711, Heard{Received: 5000, JitterMS: 150}, 3.6},
	} {
		got := tt.heard.MOS(tt.codec)
		if math.Abs(got-tt.want) > 0.1 || (tt.want == 0) != (got == 0) {
			t.Errorf("%s: got %.2f; want %.2f", tt.name, got, tt.want)
		}
	}
}
