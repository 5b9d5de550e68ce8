package message

import (
	"slices"

	"github.com/emiago/sipgo/sip"
)

// maxUsual is the most headers that a message usually has. Lists up to this length are
// made on the stack.
const maxUsual = 32

// Outgoing is a request of ours, with the memory for some of its headers.
type Outgoing struct {
	sip.Request
	Hops   sip.MaxForwardsHeader
	Length sip.ContentLengthHeader
	Seq    sip.CSeqHeader
	ID     sip.CallIDHeader
}

// SetHeaders sets the version and headers of a request that has none. It allocates a list of the
// right size, while the library's AppendHeader would reallocate the list again and again.
func SetHeaders(req *sip.Request, headers ...sip.Header) {
	req.SipVersion = version
	setHeaders(&req.MessageData, headers)
}

const version = "SIP/2.0"

// setHeaders sets the headers of a message that has none. The library takes the last Via and
// Record-Route for the topmost, and ReplaceHeader makes it take the first ones.
func setHeaders(msg *sip.MessageData, all []sip.Header) {
	msg.PrependHeader(all...)
	for _, is := range [...]func(sip.Header) bool{isA[*sip.ViaHeader], isA[*sip.RecordRouteHeader]} {
		if i := slices.IndexFunc(all, is); i >= 0 {
			msg.ReplaceHeader(all[i])
		}
	}
	copy(msg.Headers(), all)
}

func isA[H sip.Header](h sip.Header) bool {
	_, is := h.(H)
	return is
}
