package message

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"
)

// The ways in which a message's body can't be used.
var (
	errBodyType     = errors.New("a body of a type that we don't take")
	errBadBody      = errors.New("not a body of several parts")
	errPartRequired = errors.New("a part that we don't understand is required")
)

// Bounds of a body of several parts: parts of all levels, levels, header lines
// of one part, and a boundary's length (RFC 2046 section 5.1.1).
const (
	maxParts      = 16
	maxNesting    = 3
	maxPartFields = 16
	maxBoundary   = 70
)

// HeaderLine is one header: its name and value as they came, a folded value on
// one line.
type HeaderLine struct{ Name, Value string }

// BodyPart is one part of a body: ISUP (RFC 3204), a location (RFC 6442) or
// whatever else comes beside the session description.
type BodyPart struct {
	header      []HeaderLine
	ContentType string // media type in lower case without parameters, "" where the part's own is malformed
	Body        []byte // as it came, a slice of the message
}

// splitBody takes the session description out of a body and gives the parts
// that came with it, byte for byte and with their own headers (RFC 5621). All
// are nil where the body is empty.
//
//   - Of two descriptions in a multipart/mixed or related the first counts, and
//     the other is left out: it names addresses. In a multipart/alternative the
//     last counts, and its alternatives are left out with their handling: they
//     say the same (RFC 2046 section 5.1.4).
//   - A multipart within is taken apart if it has the description in it, else
//     it is one part. So is an alternative that is the whole body.
//   - Who is to get which of the others is the caller's to decide: they may
//     name addresses, and an application/sdp of another disposition (RFC 3959)
//     is among them.
//
// A part that we don't understand and whose handling is required gives
// errPartRequired, unless its type is allowed. Where nothing is said we take
// the handling for optional: by RFC 3261 section 20.11 it is required, but
// carriers send ISUP and locations without a word, and mean optional.
func splitBody(contentType string, body []byte, allowed []string) (sdp []byte, others []BodyPart, err error) {
	kind := mediaType(contentType)
	switch {
	case len(body) == 0:
		return nil, nil, nil
	case kind == SDPType:
		return body, nil, nil
	case !isMultipart(kind):
		return nil, nil, fmt.Errorf("%w: %q", errBodyType, Phrase(contentType))
	}
	s := bodySplitter{allowed: allowed}
	sdp, others, err = s.split(contentType, body, 1)
	if err != nil {
		return nil, nil, err
	}
	if sdp == nil && kind == alternativeType {
		whole := HeaderLine{"Content-Type", Trim(contentType)}
		if !soundLine(whole) {
			return nil, nil, fmt.Errorf("%w: a Content-Type that can't be passed on", errBadBody)
		}
		return nil, []BodyPart{{header: []HeaderLine{whole}, ContentType: kind, Body: body}}, nil
	}
	return sdp, others, nil
}

const alternativeType = "multipart/alternative"

func isMultipart(kind string) bool { return strings.HasPrefix(kind, "multipart/") }

// mediaType is the type and subtype of a Content-Type in lower case, "" where
// there is none.
func mediaType(contentType string) string {
	kind, _, _ := CutByte(contentType, ';')
	major, minor, _ := CutByte(Trim(kind), '/')
	major, minor = Trim(major), Trim(minor)
	if !IsToken(major) || !IsToken(minor) {
		return ""
	}
	return strings.ToLower(major + "/" + minor)
}

// bodySplitter takes one body apart.
type bodySplitter struct {
	allowed []string
	parts   int // so far, of all levels
}

// split takes a multipart apart.
func (s *bodySplitter) split(contentType string, body []byte, level int) (sdp []byte, others []BodyPart, err error) {
	if level > maxNesting {
		return nil, nil, fmt.Errorf("%w: more than %d levels", errBadBody, maxNesting)
	}
	boundary, err := boundaryOf(contentType)
	if err != nil {
		return nil, nil, err
	}
	parts, err := s.cut(body, boundary)
	if err != nil {
		return nil, nil, err
	}
	if mediaType(contentType) == alternativeType {
		return s.last(parts, level)
	}
	return s.first(parts, level)
}

// first finds the session description in parts that are all meant.
func (s *bodySplitter) first(parts []BodyPart, level int) (sdp []byte, others []BodyPart, err error) {
	for _, p := range parts {
		inner, rest, found, err := s.take(p, level)
		switch {
		case err != nil:
			return nil, nil, err
		case !found:
			rest = []BodyPart{p}
		case sdp == nil:
			sdp = inner
		}
		others = append(others, rest...)
	}
	return sdp, others, nil
}

// last finds the session description in parts of which one is meant. One that
// has something required in it that we don't understand is not the one.
func (s *bodySplitter) last(parts []BodyPart, level int) (sdp []byte, others []BodyPart, err error) {
	others = parts
	for _, p := range parts {
		inner, rest, _, err := s.take(p, level)
		switch {
		case errors.Is(err, errPartRequired):
		case err != nil:
			return nil, nil, err
		case inner != nil:
			sdp, others = inner, rest
		}
	}
	return sdp, others, nil
}

// take finds a session description in one part, and what came with it there.
func (s *bodySplitter) take(p BodyPart, level int) (sdp []byte, rest []BodyPart, found bool, err error) {
	kind, required := Disposition(p.Field("Content-Disposition"))
	switch {
	case p.ContentType == SDPType && (kind == "" || kind == "session"):
		sdp, err = p.decoded()
		return sdp, nil, true, err
	case isMultipart(p.ContentType) && p.plain() && (kind == "" || kind == "session" || kind == "render"):
		sdp, rest, err = s.split(p.Field("Content-Type"), p.Body, level+1)
		if err != nil || sdp != nil {
			return sdp, rest, true, err
		}
	}
	if required && !slices.ContainsFunc(s.allowed, func(a string) bool { return strings.EqualFold(a, p.ContentType) }) {
		return nil, nil, false, fmt.Errorf("%w: %q", errPartRequired, Phrase(p.Field("Content-Type")))
	}
	return nil, nil, false, nil
}

// Disposition reads a Content-Disposition (RFC 3261 section 20.11).
func Disposition(value string) (kind string, required bool) {
	kind, params, _ := CutUnquoted(value, ';')
	for params != "" {
		var key, v string
		key, v, params = CutParam(params)
		required = required || (EqualFold(key, "handling") && EqualFold(strings.Trim(v, `"`), "required"))
	}
	return strings.ToLower(Trim(kind)), required
}

// boundaryOf is the boundary that a Content-Type names (RFC 2046 section
// 5.1.1). Without quotes it is taken too where it would need them.
func boundaryOf(contentType string) (string, error) {
	boundary, found := "", false
	_, params, _ := CutByte(contentType, ';')
	for params != "" {
		var key, v string
		key, v, params = CutParam(params)
		if !EqualFold(key, "boundary") {
			continue
		}
		if found {
			return "", fmt.Errorf("%w: two boundaries", errBadBody)
		}
		boundary, found = v, true
		if strings.HasPrefix(v, `"`) {
			content, after, closed := CutQuoted(v)
			if !closed || after != "" {
				return "", fmt.Errorf("%w: the boundary %q", errBadBody, Phrase(v))
			}
			boundary = Unquote(content)
		}
	}
	switch {
	case boundary == "":
		return "", fmt.Errorf("%w: no boundary is named", errBadBody)
	case len(boundary) > maxBoundary:
		return "", fmt.Errorf("%w: a boundary of more than %d bytes", errBadBody, maxBoundary)
	case strings.HasSuffix(boundary, " ") || strings.ContainsFunc(boundary, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", fmt.Errorf("%w: the boundary %q", errBadBody, boundary)
	}
	return boundary, nil
}

// cut divides a body at its boundary. The library's reader is of no use here:
// it gives headers other names and order.
func (s *bodySplitter) cut(body []byte, boundary string) (parts []BodyPart, err error) {
	d := delimiter{line: []byte("--" + boundary), eol: []byte("\n")}
	_, rest, closed, ok := d.next(body) // what comes before is of no part
	if !ok {
		return nil, fmt.Errorf("%w: its boundary is not in it", errBadBody)
	}
	for !closed {
		if s.parts++; s.parts > maxParts {
			return nil, fmt.Errorf("%w: more than %d parts", errBadBody, maxParts)
		}
		var raw []byte
		if raw, rest, closed, ok = d.next(rest); !ok {
			return nil, fmt.Errorf("%w: the closing boundary is missing", errBadBody)
		}
		p, err := readPart(raw)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%w: it has no part", errBadBody)
	}
	return parts, nil
}

// delimiter is what stands between parts. Its first line says how all lines
// end: with CRLF, or, of senders that know no better, with LF.
type delimiter struct {
	line []byte
	eol  []byte
	seen bool
}

// next splits b around the next delimiter line. The line's end before it is
// the delimiter's (RFC 2046 section 5.1.1).
func (d *delimiter) next(b []byte) (before, after []byte, closed, ok bool) {
	for from := 0; ; {
		i := bytes.Index(b[from:], d.line)
		if i < 0 {
			return nil, nil, false, false
		}
		i += from
		from = i + 1
		if i > 0 && !bytes.HasSuffix(b[:i], d.eol) {
			continue
		}
		rest, closed := bytes.CutPrefix(b[i+len(d.line):], []byte("--"))
		rest = bytes.TrimLeft(rest, " \t")
		if !d.seen && bytes.HasPrefix(rest, []byte("\r\n")) {
			d.eol = []byte("\r\n")
		}
		after, ended := bytes.CutPrefix(rest, d.eol)
		if !ended && (!closed || len(rest) > 0) {
			continue
		}
		d.seen = true
		return bytes.TrimSuffix(b[:i], d.eol), after, closed, true
	}
}

// readPart reads a part's headers; a part without any is text (RFC 2046
// section 5.1).
func readPart(raw []byte) (BodyPart, error) {
	p := BodyPart{ContentType: "text/plain"}
	for len(raw) > 0 {
		var line []byte
		line, raw, _ = CutByte(raw, '\n')
		text := strings.TrimSuffix(string(line), "\r")
		if text == "" {
			p.Body = raw
			break
		}
		if err := p.add(text); err != nil {
			return BodyPart{}, err
		}
	}
	for _, h := range p.header {
		if !soundLine(h) {
			return BodyPart{}, fmt.Errorf("%w: a part's header %q is too long or has control characters", errBadBody, Phrase(h.Name))
		}
	}
	if p.has("Content-Type") {
		p.ContentType = mediaType(p.Field("Content-Type"))
	}
	return p, nil
}

// add reads one line of a part's headers.
func (p *BodyPart) add(line string) error {
	if line[0] == ' ' || line[0] == '\t' {
		if len(p.header) == 0 {
			return fmt.Errorf("%w: a part begins with a folded line", errBadBody)
		}
		last := &p.header[len(p.header)-1]
		if last.Value = Trim(last.Value + " " + Trim(line)); len(last.Value) > MaxPassedValue {
			return fmt.Errorf("%w: a part's header %q is too long", errBadBody, Phrase(last.Name))
		}
		return nil
	}
	name, value, found := strings.Cut(line, ":")
	name = Trim(name)
	switch {
	case !found || !IsToken(name):
		return fmt.Errorf("%w: a part's header line %q", errBadBody, Phrase(line))
	case len(p.header) == maxPartFields:
		return fmt.Errorf("%w: more than %d headers in a part", errBadBody, maxPartFields)
	case strings.HasPrefix(strings.ToLower(name), "content-") && p.has(name):
		return fmt.Errorf("%w: two %s in a part", errBadBody, Phrase(name))
	}
	p.header = append(p.header, HeaderLine{name, Trim(value)})
	return nil
}

// soundLine says whether a header may go on as it is.
func soundLine(h HeaderLine) bool {
	return len(h.Name) <= MaxPhrase && len(h.Value) <= MaxPassedValue &&
		!strings.ContainsFunc(h.Value, func(r rune) bool { return IsControl(r) && r != '\t' })
}

// Field is the value of one header of the part, "" where there is none.
func (p *BodyPart) Field(name string) string {
	for _, h := range p.header {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

func (p *BodyPart) has(name string) bool {
	return slices.ContainsFunc(p.header, func(h HeaderLine) bool { return strings.EqualFold(h.Name, name) })
}

// plain says whether the body stands in the part as it is (RFC 2045 section
// 6.2).
func (p *BodyPart) plain() bool {
	switch strings.ToLower(p.Field("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
		return true
	default:
		return false
	}
}

// decoded is the body without its transfer encoding (RFC 2045 section 6). It
// is no longer than the body.
func (p *BodyPart) decoded() (b []byte, err error) {
	if packed := p.Field("Content-Encoding"); packed != "" && !strings.EqualFold(packed, "identity") {
		return nil, fmt.Errorf("%w: a session description in the encoding %q", errBodyType, Phrase(packed))
	}
	switch encoding := p.Field("Content-Transfer-Encoding"); {
	case p.plain():
		b = p.Body
	case strings.EqualFold(encoding, "base64"):
		text := strings.Join(strings.Fields(string(p.Body)), "")
		b, err = base64.StdEncoding.DecodeString(text)
	case strings.EqualFold(encoding, "quoted-printable"):
		b, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(p.Body)))
	default:
		return nil, fmt.Errorf("%w: a session description in the transfer encoding %q", errBodyType, Phrase(encoding))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the session description is not in its transfer encoding: %w", errBadBody, err)
	}
	if len(b) == 0 {
		return nil, nil
	}
	return b, nil
}

// JoinBody makes one body of a session description and other parts: the
// description alone, or a multipart/mixed with it as the first part (RFC 5621
// section 4). Of nothing it makes nothing. Parts must be such as splitBody
// gives them.
func JoinBody(sdp []byte, others []BodyPart) (contentType string, body []byte) {
	if len(others) == 0 {
		if len(sdp) == 0 {
			return "", nil
		}
		return SDPType, sdp
	}
	parts := others
	if len(sdp) > 0 {
		own := BodyPart{header: []HeaderLine{{"Content-Type", SDPType}}, ContentType: SDPType, Body: sdp}
		parts = append([]BodyPart{own}, others...)
	}
	boundary := rand.Text()
	for occurs(boundary, parts) {
		boundary = rand.Text()
	}
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n")
		for _, h := range p.header {
			b.WriteString(h.Name + ": " + h.Value + "\r\n")
		}
		b.WriteString("\r\n")
		b.Write(p.Body)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return "multipart/mixed;boundary=" + boundary, b.Bytes()
}

// occurs says whether a boundary stands in one of the parts.
func occurs(boundary string, parts []BodyPart) bool {
	return slices.ContainsFunc(parts, func(p BodyPart) bool {
		return bytes.Contains(p.Body, []byte(boundary)) ||
			slices.ContainsFunc(p.header, func(h HeaderLine) bool { return strings.Contains(h.Value, boundary) })
	})
}
