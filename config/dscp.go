package config

import (
	"strconv"
	"strings"
)

// dscpNames are the code points of RFC 2474 (CS), RFC 2597 (AF), RFC 3246 (EF), RFC 5865 and RFC 8622.
var dscpNames = map[string]uint8{
	"cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56,
	"af11": 10, "af12": 12, "af13": 14, "af21": 18, "af22": 20, "af23": 22,
	"af31": 26, "af32": 28, "af33": 30, "af41": 34, "af42": 36, "af43": 38,
	"ef": 46, "voice-admit": 44, "le": 1,
}

// parseDSCP parses the name or number of a code point.
func parseDSCP(t string) (uint8, complaint) {
	if known, ok := dscpNames[strings.ToLower(t)]; ok {
		return known, complaint{}
	}
	n, err := strconv.ParseUint(t, 10, 8)
	if err != nil || n > 63 {
		return 0, refuse("is no DSCP", "write ef, cs0 to cs7, af11 to af43, or a number from 0 to 63")
	}
	return uint8(n), complaint{}
}
