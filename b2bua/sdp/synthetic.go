package sdp

import (
	"strconv"
	"strings"
)

// payloads are the codecs that we can offer by ourselves, with their static
// payload type (RFC 3551), or the first of the dynamic ones.
var payloads = map[string]struct { //nolint:gochecknoglobals // a table
	number  int
	mapping string
}{
	"PCMU": {0, "PCMU/8000"}, "GSM": {3, "GSM/8000"}, "PCMA": {8, "PCMA/8000"}, "G722": {9, "G722/8000"},
	"G729": {18, "G729/8000"}, "OPUS": {96, "opus/48000/2"}, "ILBC": {97, "iLBC/8000"}, "AMR": {98, "AMR/8000"},
	"AMR-WB": {99, "AMR-WB/16000"}, "SPEEX": {100, "speex/8000"},
}

// eventsPayload is that of the telephone-events that we offer (RFC 4733).
const eventsPayload = 101

// Synthetic is what a caller would offer who left that to us (RFC 3261
// section 13.2.1): these codecs, in this order, and telephone-events. Where it
// wants its media is not known yet.
func Synthetic(codecs []string) (*Description, error) {
	var formats, maps strings.Builder
	for _, name := range codecs {
		if p, ok := payloads[strings.ToUpper(name)]; ok {
			number := strconv.Itoa(p.number)
			formats.WriteString(" " + number)
			maps.WriteString("a=rtpmap:" + number + " " + p.mapping + "\r\n")
		}
	}
	if formats.Len() == 0 {
		return nil, ErrNoCodec
	}
	events := strconv.Itoa(eventsPayload)
	return Parse([]byte("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n" +
		"m=audio 9 RTP/AVP" + formats.String() + " " + events + "\r\n" + maps.String() +
		"a=rtpmap:" + events + " telephone-event/8000\r\na=fmtp:" + events + " 0-15\r\na=ptime:20\r\n"))
}
