package outbound

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config/template"
)

// The limits for the headers of the stand-in INVITE.
const (
	maxHeaders = 64
	maxBytes   = 8 << 10
)

var headerName = regexp.MustCompile("^[Xx]-[A-Za-z0-9.!%*_+`'~-]{1,60}$") // a token of RFC 3261 section 25.1

func errHeader(name string) error {
	return refused(http.StatusBadRequest, "not a variable or header that a call can have: "+strconv.Quote(name),
		"write a name of at most 60 letters, digits and .!%*_+`'~-, that of a header with X- before it, and a value of one line")
}

// standIn returns an INVITE with these headers that takes the place of a caller's INVITE in a placed call. It is
// never sent. Its error is a *PlaceError.
func standIn(to, from string, headers []peers.Variable) (*sip.Request, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "INVITE sip:%[1]s@originate.invalid SIP/2.0\r\nVia: SIP/2.0/UDP originate.invalid;branch=z9hG4bK%[2]s\r\n"+
		"From: <sip:%[3]s@originate.invalid>;tag=%[2]s\r\nTo: <sip:%[1]s@originate.invalid>\r\nCall-ID: %[4]s\r\nCSeq: 1 INVITE\r\n",
		message.EscapeUser(to), "1", message.EscapeUser(from), message.NewCallID())
	begin := b.Len()
	for _, h := range headers {
		if !headerName.MatchString(h.Name) || strings.ContainsFunc(h.Value, template.IsControl) {
			return nil, errHeader(h.Name)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, strings.TrimSpace(h.Value))
	}
	if len(headers) > maxHeaders || b.Len()-begin > maxBytes {
		return nil, refused(http.StatusBadRequest,
			fmt.Sprintf("more than %d headers and variables, or %d bytes of them", maxHeaders, maxBytes),
			"leave some out")
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	msg, err := message.Parse([]byte(b.String()))
	req, is := msg.(*sip.Request)
	if err != nil || !is {
		return nil, refused(http.StatusBadRequest, fmt.Sprintf("no INVITE can be made of it: %v", err),
			"look at its headers")
	}
	return req, nil
}
