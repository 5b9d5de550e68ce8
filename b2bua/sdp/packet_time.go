package sdp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// maxPacketTime is the longest packet that a description may ask for, in
// milliseconds: what RFC 3551 section 4.2 wants every receiver to take.
const maxPacketTime = 200

// keepPacketTimes takes ptime and maxptime out of a description where they are no
// time that a packet can have, which a peer can't be asked to make sense of.
func (d *Description) keepPacketTimes() {
	d.sdp.Attributes = slices.DeleteFunc(d.sdp.Attributes, badPacketTime)
	d.Media().Attributes = slices.DeleteFunc(d.Media().Attributes, badPacketTime)
}

// badPacketTime says whether an attribute is a ptime or maxptime (RFC 8866 section
// 6.4) and not a number of milliseconds from 1 to 200; it may have a fraction.
func badPacketTime(a sdp.Attribute) bool {
	if key := strings.ToLower(a.Key); key != "ptime" && key != "maxptime" {
		return false
	}
	value := strings.TrimSpace(a.Value)
	if strings.Trim(value, "0123456789.") != "" { // a sign, an exponent, a word
		return true
	}
	ms, err := strconv.ParseFloat(value, 64)
	return err != nil || ms < 1 || ms > maxPacketTime
}
