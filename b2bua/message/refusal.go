package message

import (
	"bytes"
	"slices"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config/template"
)

// URIRefusal checks the Request-URI, and whether the request may be forwarded further. A
// sips URI needs TLS (RFC 3261 section 26.2.2).
func URIRefusal(req *sip.Request, secure bool) (code int, reason string) {
	b := TakeBuffer()
	defer b.Release()
	b.uri(&req.Recipient)
	scheme, uri := req.Recipient.Scheme, b.Bytes
	switch {
	case scheme != "sip" && scheme != "tel" && (scheme != "sips" || !secure):
		return 416, "Unsupported URI Scheme"
	case len(uri) > MaxURI:
		return 414, "Request-URI Too Long"
	case bytes.ContainsFunc(uri, template.IsControl):
		return 400, "Request-URI holds a control character"
	case req.MaxForwards() != nil && *req.MaxForwards() == 0:
		return 483, "Too Many Hops"
	}
	return 0, ""
}

// ContactRefusal checks that there is exactly one Contact with a usable SIP URI (RFC 3261
// section 8.1.1.8). It returns "" if so.
func ContactRefusal(req *sip.Request, secure bool) string {
	const missing = "Contact with one sip URI is missing"
	contact := req.Contact()
	if contact == nil {
		return missing
	}
	another := func(h sip.Header) bool { return h != sip.Header(contact) && EqualFold(h.Name(), "contact") }
	switch uri := contact.Address; {
	case uri.Scheme == "sips" && !secure:
		return "Contact Is a sips URI, but Came Without TLS"
	case (uri.Scheme != "sip" && uri.Scheme != "sips") || uri.Host == "" || slices.ContainsFunc(req.Headers(), another):
		return missing
	}
	return ""
}
