package stir

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"
)

// shaken is the only supported extension (RFC 8588).
const shaken = "shaken"

// signatureSize is the size of an ES256 signature: r and s (RFC 7518 section 3.4).
const signatureSize = 64

// passport is a PASSporT (RFC 8225).
type passport struct {
	url       string // URL of the certificate
	claims    claims
	signed    string // the signed text
	signature []byte
}

// protected is the JOSE header of a PASSporT. The members are in the order of RFC 8225
// section 9.
type protected struct {
	Alg string `json:"alg"`
	PPT string `json:"ppt,omitempty"`
	Typ string `json:"typ"`
	X5U string `json:"x5u"`
}

// claims holds the claims of RFC 8225 section 5 and RFC 8588 section 4, in the order of RFC
// 8225 section 9.
type claims struct {
	Attest string `json:"attest,omitempty"`
	Dest   struct {
		TN []string `json:"tn"`
	} `json:"dest"`
	IAT  json.Number `json:"iat"`
	Orig struct {
		TN string `json:"tn"`
	} `json:"orig"`
	OrigID string `json:"origid,omitempty"`

	issued time.Time
}

var (
	errPassport = errors.New("a PASSporT that is not well-formed")
	errShaken   = errors.New("a compact form, which SHAKEN does not have")
	errNoDate   = errors.New("a compact form, and no Date")
	errAttest   = errors.New("an attestation that is not A, B or C")
	errIAT      = errors.New("an iat that is no time")
	errOrigID   = errors.New("an origid that is no text on one line")
)

// maxOrigID bounds the origid, which is a UUID (RFC 8588 section 5).
const maxOrigID = 128

// passportOf reads the PASSporT of a header, or makes it from the request if the header
// is in the compact form.
func passportOf(h *header, r *Request) (p passport, err error) {
	p.url, p.signature = h.info, h.signature
	if h.compact() {
		return p, p.rebuild(h, r)
	}
	var jose protected
	if err := decode(h.protected, &jose); err != nil {
		return p, err
	}
	switch {
	case jose.Alg != "ES256":
		return p, errAlgorithm
	case jose.Typ != "passport":
		return p, fmt.Errorf("%w: typ is not passport", errPassport)
	case jose.PPT != h.ppt && h.ppt != "":
		return p, fmt.Errorf("%w: ppt is not that of the header", errPassport)
	case jose.X5U != h.info:
		return p, fmt.Errorf("%w: x5u is not the header's info", errPassport)
	}
	h.ppt = jose.PPT
	if err := decode(h.payload, &p.claims); err != nil {
		return p, err
	}
	p.signed = h.protected + "." + h.payload
	return p, p.claims.check(h.ppt == shaken)
}

// rebuild makes the PASSporT of a header in the compact form (RFC 8224 section 4.1.1).
func (p *passport) rebuild(h *header, r *Request) error {
	if h.ppt == shaken {
		return errShaken
	}
	date, err := time.Parse(dateFormat, r.Date)
	if err != nil {
		return errNoDate
	}
	c := &p.claims
	c.issued, c.IAT = date, json.Number(fmt.Sprint(date.Unix()))
	c.Orig.TN, c.Dest.TN = canonical(r.From), []string{canonical(r.To)}
	p.signed = encode(protected{Alg: "ES256", Typ: "passport", X5U: h.info}) + "." + encode(c)
	return nil
}

// dateFormat is the format of Date (RFC 3261 section 20.17).
const dateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// check checks the form of the claims.
func (c *claims) check(isShaken bool) error {
	iat, err := c.IAT.Int64()
	if err != nil || iat < 0 || iat > 1<<40 {
		return errIAT
	}
	c.issued = time.Unix(iat, 0)
	switch {
	case isShaken && (len(c.Attest) != 1 || !strings.Contains("ABC", c.Attest)):
		return errAttest
	case isShaken && (c.OrigID == "" || len(c.OrigID) > maxOrigID || !printable(c.OrigID)):
		return errOrigID
	case !isShaken:
		c.Attest, c.OrigID = "", ""
	}
	return nil
}

// names returns an error unless the claims fit a call: its caller, its To (RFC 8224
// section 5.1), and the number that it is routed by. That number differs from To if the
// call was diverted, or if an attacker has copied the headers of another call.
func (c *claims) names(r *Request) error {
	from, to, called := canonical(r.From), canonical(r.To), canonical(r.Called)
	isFor := func(number string) bool {
		return number != "" && slices.ContainsFunc(c.Dest.TN, func(tn string) bool { return canonical(tn) == number })
	}
	switch {
	case from == "" || canonical(c.Orig.TN) != from:
		return fmt.Errorf("%w: it calls as %q, and the PASSporT is of %q", errMismatch, from, c.Orig.TN)
	case !isFor(to):
		return fmt.Errorf("%w: it calls %q, and the PASSporT is for %q", errMismatch, to, c.Dest.TN)
	case !isFor(called) && !r.Diverted:
		return fmt.Errorf("%w: its Request-URI calls %q, the PASSporT is for %q, and neither Diversion nor History-Info says why", errMismatch, r.Called, c.Dest.TN)
	}
	return nil
}

var errMismatch = errors.New("a PASSporT of another call")

// canonical returns a telephone number in the form of PASSporTs (RFC 8224 section 8.3):
// digits with the country code, and no plus. It returns "" if number is not one.
func canonical(number string) string {
	var b strings.Builder
	for _, r := range strings.TrimPrefix(number, "+") {
		switch {
		case r >= '0' && r <= '9', r == '*', r == '#':
			b.WriteRune(r)
		case strings.ContainsRune("-.() ", r):
		default:
			return ""
		}
	}
	return b.String()
}

// verify reports whether the signature was made by the key.
func (p *passport) verify(key *ecdsa.PublicKey) bool {
	digest := sha256.Sum256([]byte(p.signed))
	r, s := new(big.Int).SetBytes(p.signature[:signatureSize/2]), new(big.Int).SetBytes(p.signature[signatureSize/2:])
	return ecdsa.Verify(key, digest[:], r, s)
}

// decode reads JSON in base64url.
func decode(text string, into any) error {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return errBadBase64
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errPassport, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows it", errPassport)
	}
	return nil
}

// encode writes JSON in base64url in the form of RFC 8225 section 9: without white space.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // can't fail for texts and numbers
	return base64.RawURLEncoding.EncodeToString(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
