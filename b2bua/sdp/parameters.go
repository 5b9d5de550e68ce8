package sdp

import (
	"slices"
	"strconv"
	"strings"

	"flowbridge/media"
)

// opusWanted has our wishes as a receiver (RFC 7587 section 6.1). Sound above 4 kHz would be lost in G.711.
const opusWanted = "maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1"

// wanted returns the a=fmtp that we write for a format that is not described by the text, or "".
func (f *Format) wanted() string {
	switch {
	case f.lines == linesOfOurs && f.Events():
		return "0-15"
	case f.IsStandIn() && f.own().Name == opusCodec.Name:
		return opusWanted
	}
	return ""
}

// parameter returns a parameter in the a=fmtp of a payload type.
func (d *Description) parameter(number uint8, name string) string {
	for line, rest := cutLine(d.stream); line != ""; line, rest = cutLine(rest) {
		n, all, ok := aboutFormat(line)
		if !ok || n != number || !strings.HasPrefix(line, "a=fmtp:") {
			continue
		}
		for param := range strings.SplitSeq(all, ";") {
			if key, value, _ := strings.Cut(strings.TrimSpace(param), "="); strings.EqualFold(key, name) {
				return strings.ToLower(strings.TrimSpace(value))
			}
		}
	}
	return ""
}

// MayPause reports whether who speaks this codec may send nothing while silent: Opus with usedtx (RFC 7587), or G.729
// without annexb=no (RFC 4856).
func (d *Description) MayPause(speaks Codec) bool {
	return slices.ContainsFunc(d.formats, func(f Format) bool {
		if f.Codec != speaks && !f.IsStandIn() {
			return false
		}
		number := f.source
		if f.IsStandIn() {
			number = f.wire
		}
		switch f.own().Name {
		case opusCodec.Name:
			return d.opusWishes(number).DTX
		case "G729":
			return d.parameter(number, "annexb") != "no"
		}
		return false
	})
}

// takesShort reports whether the peer takes no packets of 20 ms (a=maxptime, RFC 8866 section 6.4).
func (d *Description) takesShort() bool {
	if d == nil {
		return false
	}
	value, ok := attributeOf(d.stream, "maxptime")
	ms, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return ok && err == nil && ms < 20
}

// opusWishes reads the a=fmtp of a payload type (RFC 7587 section 6.1).
func (d *Description) opusWishes(number uint8) media.OpusWishes {
	is := func(name string) bool { return d.parameter(number, name) == "1" }
	rate, _ := strconv.ParseUint(d.parameter(number, "maxaveragebitrate"), 10, 32)
	// ParseUint was given a limit of 32 bits
	return media.OpusWishes{Bitrate: uint32(rate), FEC: is("useinbandfec"), DTX: is("usedtx"), CBR: is("cbr")}
}
