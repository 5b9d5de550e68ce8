package message

import (
	"bytes"
	"errors"

	"github.com/emiago/sipgo/sip"
)

// MaxSDP is the maximum size of a session description in bytes.
const MaxSDP = 8 << 10

// AcceptedBodies lists the accepted content types.
const AcceptedBodies = SDPType + ", multipart/mixed, multipart/related, multipart/alternative"

// errEncoded means that a body is compressed or has another encoding.
var errEncoded = errors.New("a body with a Content-Encoding")

// bodyOf returns the session description in a message's body and the parts that came
// with it.
func bodyOf(msg sip.Message, contentType string) (sdp []byte, others []bodyPart, err error) {
	if len(msg.Body()) == 0 {
		return nil, nil, nil
	}
	for _, v := range RawValues(msg, "content-encoding", "e") {
		if !EqualFold(Trim(v), "identity") {
			return nil, nil, errEncoded
		}
	}
	return splitBody(contentType, msg.Body())
}

func contentTypeOf(msg sip.Message) string {
	type typed interface{ ContentType() *sip.ContentTypeHeader }
	if m, ok := msg.(typed); ok && len(msg.Body()) > 0 && m.ContentType() != nil {
		return m.ContentType().Value()
	}
	return "" // without a body the library would look for the header in vain, and allocate
}

// SDPBody returns the SDP in a message, or nil if there is none. It is for messages that can't be refused, and for
// messages that BodyRefusal has accepted.
func SDPBody(msg sip.Message) []byte {
	sdp, _, err := bodyOf(msg, contentTypeOf(msg))
	if err != nil {
		return nil
	}
	return sdp
}

// AnswerSDP returns the session description in the body of an answer, or nil if there is none. A body, or a part of it,
// that begins like a description but has no Content-Type counts as one (untyped): some platforms leave the header out,
// and refusing an answer would lose the call. An offer without the header is refused (BodyRefusal).
func AnswerSDP(msg sip.Message) (sdp []byte, untyped bool) {
	kind := contentTypeOf(msg)
	if kind == "" && bytes.HasPrefix(msg.Body(), descriptionBegins) {
		kind, untyped = SDPType, true
	}
	sdp, others, err := bodyOf(msg, kind)
	if err != nil {
		return nil, false
	}
	for i := 0; sdp == nil && i < len(others); i++ {
		p := &others[i]
		kind, _ := disposition(p.field("Content-Disposition"))
		if !p.has("Content-Type") && (kind == "" || kind == "session") && bytes.HasPrefix(p.body,
			descriptionBegins) && p.plain() {
			sdp, untyped = p.body, true
		}
	}
	return sdp, untyped && sdp != nil
}

// descriptionBegins is the first line of a session description, without its line end (RFC 8866 section 5.1).
var descriptionBegins = []byte("v=0")

// BodyRefusal returns the refusal of a request whose body is not acceptable (RFC 3261 section 8.2.3, RFC 5621 section
// 4). A code of 0 means that the body is acceptable.
func BodyRefusal(req *sip.Request) (code int, reason string, headers []sip.Header) {
	switch _, _, err := bodyOf(req, contentTypeOf(req)); {
	case err == nil:
		return 0, "", nil
	case errors.Is(err, errBadBody):
		return 400, Printable(err.Error(), MaxPhrase), nil
	case errors.Is(err, errEncoded):
		return 415, StatusText(415), []sip.Header{sip.NewHeader("Accept-Encoding", "identity")}
	default: // errBodyType, errPartRequired
		return 415, StatusText(415), []sip.Header{sip.NewHeader("Accept", AcceptedBodies)}
	}
}

// SDPType is the content type of a session description.
const SDPType = "application/sdp"
