package sdp

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// Origin is the o= line of the descriptions that we send on one leg (RFC
// 3264 section 8): the version grows with each change, and only then. Data only.
type Origin struct {
	ID      uint64
	Version uint64
	Last    string // what was sent last, without its o= line
}

func NewOrigin() Origin {
	id := rand.Uint64N(1 << 62)
	return Origin{ID: id, Version: id}
}

// Unstamped is how the o= line begins of a description that is not sent yet.
const Unstamped = "v=0\r\no=- 0 0 "

// Again gives a description that was sent before the o= line that it has now:
// another one may have been sent, and refused, since.
func (o *Origin) Again(sdp []byte) []byte {
	rest, ok := strings.CutPrefix(string(sdp), "v=0\r\no=- "+strconv.FormatUint(o.ID, 10)+" ")
	if !ok {
		return sdp
	}
	_, rest, _ = strings.Cut(rest, " ")
	return o.Stamp([]byte(Unstamped + rest))
}

// Stamp gives a description its o= line. One that has it keeps it.
func (o *Origin) Stamp(sdp []byte) []byte {
	rest, ok := strings.CutPrefix(string(sdp), Unstamped)
	if !ok {
		return sdp
	}
	if o.Last != "" && o.Last != rest {
		o.Version++
	}
	o.Last = rest
	return []byte("v=0\r\no=- " + strconv.FormatUint(o.ID, 10) + " " + strconv.FormatUint(o.Version, 10) + " " + rest)
}
