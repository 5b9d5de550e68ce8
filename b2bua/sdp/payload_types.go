package sdp

import (
	"slices"
	"strconv"
)

// keepPayloadTypes takes out of a description the formats that no RTP packet can
// have, and those that are there twice: neither side could do anything with them.
// The error is errNoCodec: none is left.
func (d *Description) keepPayloadTypes() error {
	muxes := d.Muxes()
	var kept []string
	for _, f := range d.Media().MediaName.Formats {
		if isPayloadType(f, muxes) && !slices.Contains(kept, f) {
			kept = append(kept, f)
		}
	}
	if kept == nil {
		return ErrNoCodec
	}
	d.Media().MediaName.Formats = kept
	return nil
}

// isPayloadType says whether a format is a payload type that may be used: 7 bits
// (RFC 3550 section 5.1) and nothing that could be taken for RTCP. That is 72 to
// 76 (RFC 3551 section 6), and 64 to 95 where both come to one port (RFC 5761
// section 4).
func isPayloadType(format string, muxes bool) bool {
	n, err := strconv.ParseUint(format, 10, 7)
	if err != nil || strconv.FormatUint(n, 10) != format {
		return false
	}
	if muxes {
		return n < 64 || n > 95
	}
	return n < 72 || n > 76
}
