package quality

import (
	"math"
	"strings"
	"time"
)

// The E-model of ITU-T G.107 (narrow band). Parameters that are not measured have their default value.
const (
	ratingBest = 93.2 // R without delay, loss and codec: Ro - Is with the default values

	talkerEcho = 65.0  // TELR, dB: the loudness of the talker's own echo
	noiseFloor = -61.2 // No, dBm0p
	receiveLR  = 2.0   // RLR, dB

	// Delays in addition to the network's: a packet is filled before it is sent, and a receiver's jitter buffer is assumed
	// to hold twice the jitter.
	packetDelay     = 20.0  // ms
	bufferDelayMax  = 300.0 // ms
	burstRatioMax   = 8.0   // the model was not validated above it
	packetsToJudge  = 50    // one second of packets, 20 ms each
	scoreMin        = 1.0
	scoreMax        = 4.5
	ratingOfMaximum = 100.0
)

// Impairment is the effect of a codec on speech: Ie, without loss, and Bpl, its robustness against loss.
type Impairment struct{ ie, bpl float64 }

// ImpairmentOf returns the impairment of a codec by its encoding name (RFC 3551), ignoring case. It returns nil if no
// figures are published. The figures come from ITU-T G.113 Appendix I, for codecs with packet loss concealment. GSM
// (full rate) has no Bpl there and gets the Bpl of enhanced full rate. G.722 and Opus exceed this scale and count as
// G.711.
func ImpairmentOf(codec string) *Impairment { return impairments[strings.ToUpper(codec)] }

var impairments = func() map[string]*Impairment { //nolint:gochecknoglobals // a constant
	g711 := &Impairment{0, 25.1}
	return map[string]*Impairment{
		"PCMU": g711, "PCMA": g711, "G722": g711, "OPUS": g711, "G729": {11, 19}, "G723": {15, 16.1},
		"GSM-EFR": {5, 10}, "GSM": {20, 10},
	}
}()

// Heard describes how a stream arrived.
type Heard struct {
	Received uint64        // distinct packets
	Lost     uint64        // packets that did not come
	Late     uint64        // those of Received that came too late to be heard
	Bursts   uint64        // runs of lost or late packets
	RTT      time.Duration // round trip to the sender
	JitterMS float64       // mean jitter, in milliseconds
}

// MOS returns the listening quality, 1.0 to 4.5. 0 means unknown: less than a second of packets, or no figures for the
// codec.
func (h Heard) MOS(codec *Impairment) float64 {
	if codec == nil || h.Received < packetsToJudge {
		return 0
	}
	lost, ratio := 0.0, 1.0
	if missing := h.Lost + h.Late; missing > 0 {
		lost = float64(missing) / float64(h.Lost+max(h.Received, h.Late))
		ratio = burstRatio(float64(missing)/float64(max(h.Bursts, 1)), lost)
	}
	delay := float64(h.RTT)/float64(2*time.Millisecond) + packetDelay + min(2*h.JitterMS, bufferDelayMax)
	return opinion(ratingBest - delayImpairment(delay) - codec.withLoss(100*lost, ratio))
}

// burstRatio returns BurstR: the mean length of bursts, in packets, relative to their mean length if the same share
// were lost at random.
func burstRatio(length, lost float64) float64 {
	return min(max(length*(1-lost), 1), burstRatioMax)
}

// withLoss returns Ie,eff at a loss in percent (G.107 §7.5).
func (i Impairment) withLoss(percent, burstRatio float64) float64 {
	if percent == 0 {
		return i.ie
	}
	return i.ie + (95-i.ie)*percent/(percent/burstRatio+i.bpl)
}

// delayImpairment returns Id at a mouth-to-ear delay in milliseconds: talker echo and the delay itself (G.107 §7.4).
// Listener echo, less than one, is left out.
func delayImpairment(ms float64) float64 {
	level := talkerEcho - 40*math.Log10((1+ms/10)/(1+ms/150)) + 6*math.Exp(-0.3*ms*ms)
	half := (-1.5*(noiseFloor-receiveLR) - (80 + 2.5*(level-14))) / 2
	echo := max(half+math.Sqrt(half*half+100)-1, 0) * (1 - math.Exp(-ms))
	if ms <= 100 {
		return echo
	}
	x := math.Log2(ms / 100)
	return echo + 25*(math.Pow(1+math.Pow(x, 6), 1.0/6)-3*math.Pow(1+math.Pow(x/3, 6), 1.0/6)+2)
}

// opinion returns the MOS of a rating R (G.107 Annex B).
func opinion(r float64) float64 {
	switch {
	case r <= 0:
		return scoreMin
	case r >= ratingOfMaximum:
		return scoreMax
	}
	return max(scoreMin, 1+0.035*r+r*(r-60)*(100-r)*7e-6)
}
