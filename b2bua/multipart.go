package b2bua

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

// headerLine is one header: its name and value as they came, a folded value on
// one line.
type headerLine struct{ name, value string }

// bodyPart is one part of a body: ISUP (RFC 3204), a location (RFC 6442) or
// whatever else comes beside the session description.
type bodyPart struct {
	header      []headerLine
	contentType string // media type in lower case without parameters, "" where the part's own is malformed
	body        []byte // as it came, a slice of the message
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
func splitBody(contentType string, body []byte, allowed []string) (sdp []byte, others []bodyPart, err error) {
	kind := mediaType(contentType)
	switch {
	case len(body) == 0:
		return nil, nil, nil
	case kind == sdpType:
		return body, nil, nil
	case !isMultipart(kind):
		return nil, nil, fmt.Errorf("%w: %q", errBodyType, phrase(contentType))
	}
	s := bodySplitter{allowed: allowed}
	sdp, others, err = s.split(contentType, body, 1)
	if err != nil {
		return nil, nil, err
	}
	if sdp == nil && kind == alternativeType {
		whole := headerLine{"Content-Type", trimmed(contentType)}
		if !soundLine(whole) {
			return nil, nil, fmt.Errorf("%w: a Content-Type that can't be passed on", errBadBody)
		}
		return nil, []bodyPart{{header: []headerLine{whole}, contentType: kind, body: body}}, nil
	}
	return sdp, others, nil
}

const alternativeType = "multipart/alternative"

func isMultipart(kind string) bool { return strings.HasPrefix(kind, "multipart/") }

// mediaType is the type and subtype of a Content-Type in lower case, "" where
// there is none.
func mediaType(contentType string) string {
	kind, _, _ := cutByte(contentType, ';')
	major, minor, _ := cutByte(trimmed(kind), '/')
	major, minor = trimmed(major), trimmed(minor)
	if !isToken(major) || !isToken(minor) {
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
func (s *bodySplitter) split(contentType string, body []byte, level int) (sdp []byte, others []bodyPart, err error) {
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
func (s *bodySplitter) first(parts []bodyPart, level int) (sdp []byte, others []bodyPart, err error) {
	for _, p := range parts {
		inner, rest, found, err := s.take(p, level)
		switch {
		case err != nil:
			return nil, nil, err
		case !found:
			rest = []bodyPart{p}
		case sdp == nil:
			sdp = inner
		}
		others = append(others, rest...)
	}
	return sdp, others, nil
}

// last finds the session description in parts of which one is meant. One that
// has something required in it that we don't understand is not the one.
func (s *bodySplitter) last(parts []bodyPart, level int) (sdp []byte, others []bodyPart, err error) {
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
func (s *bodySplitter) take(p bodyPart, level int) (sdp []byte, rest []bodyPart, found bool, err error) {
	kind, required := disposition(p.field("Content-Disposition"))
	switch {
	case p.contentType == sdpType && (kind == "" || kind == "session"):
		sdp, err = p.decoded()
		return sdp, nil, true, err
	case isMultipart(p.contentType) && p.plain() && (kind == "" || kind == "session" || kind == "render"):
		sdp, rest, err = s.split(p.field("Content-Type"), p.body, level+1)
		if err != nil || sdp != nil {
			return sdp, rest, true, err
		}
	}
	if required && !slices.ContainsFunc(s.allowed, func(a string) bool { return strings.EqualFold(a, p.contentType) }) {
		return nil, nil, false, fmt.Errorf("%w: %q", errPartRequired, phrase(p.field("Content-Type")))
	}
	return nil, nil, false, nil
}

// disposition reads a Content-Disposition (RFC 3261 section 20.11).
func disposition(value string) (kind string, required bool) {
	kind, params, _ := cutUnquoted(value, ';')
	for params != "" {
		var key, v string
		key, v, params = cutParam(params)
		required = required || (equalFold(key, "handling") && equalFold(strings.Trim(v, `"`), "required"))
	}
	return strings.ToLower(trimmed(kind)), required
}

// boundaryOf is the boundary that a Content-Type names (RFC 2046 section
// 5.1.1). Without quotes it is taken too where it would need them.
func boundaryOf(contentType string) (string, error) {
	boundary, found := "", false
	_, params, _ := cutByte(contentType, ';')
	for params != "" {
		var key, v string
		key, v, params = cutParam(params)
		if !equalFold(key, "boundary") {
			continue
		}
		if found {
			return "", fmt.Errorf("%w: two boundaries", errBadBody)
		}
		boundary, found = v, true
		if strings.HasPrefix(v, `"`) {
			content, after, closed := cutQuoted(v)
			if !closed || after != "" {
				return "", fmt.Errorf("%w: the boundary %q", errBadBody, phrase(v))
			}
			boundary = unquoted(content)
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
func (s *bodySplitter) cut(body []byte, boundary string) (parts []bodyPart, err error) {
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
func readPart(raw []byte) (bodyPart, error) {
	p := bodyPart{contentType: "text/plain"}
	for len(raw) > 0 {
		var line []byte
		line, raw, _ = cutByte(raw, '\n')
		text := strings.TrimSuffix(string(line), "\r")
		if text == "" {
			p.body = raw
			break
		}
		if err := p.add(text); err != nil {
			return bodyPart{}, err
		}
	}
	for _, h := range p.header {
		if !soundLine(h) {
			return bodyPart{}, fmt.Errorf("%w: a part's header %q is too long or has control characters", errBadBody, phrase(h.name))
		}
	}
	if p.has("Content-Type") {
		p.contentType = mediaType(p.field("Content-Type"))
	}
	return p, nil
}

// add reads one line of a part's headers.
func (p *bodyPart) add(line string) error {
	if line[0] == ' ' || line[0] == '\t' {
		if len(p.header) == 0 {
			return fmt.Errorf("%w: a part begins with a folded line", errBadBody)
		}
		last := &p.header[len(p.header)-1]
		if last.value = trimmed(last.value + " " + trimmed(line)); len(last.value) > maxPassedValue {
			return fmt.Errorf("%w: a part's header %q is too long", errBadBody, phrase(last.name))
		}
		return nil
	}
	name, value, found := strings.Cut(line, ":")
	name = trimmed(name)
	switch {
	case !found || !isToken(name):
		return fmt.Errorf("%w: a part's header line %q", errBadBody, phrase(line))
	case len(p.header) == maxPartFields:
		return fmt.Errorf("%w: more than %d headers in a part", errBadBody, maxPartFields)
	case strings.HasPrefix(strings.ToLower(name), "content-") && p.has(name):
		return fmt.Errorf("%w: two %s in a part", errBadBody, phrase(name))
	}
	p.header = append(p.header, headerLine{name, trimmed(value)})
	return nil
}

// soundLine says whether a header may go on as it is.
func soundLine(h headerLine) bool {
	return len(h.name) <= maxPhrase && len(h.value) <= maxPassedValue &&
		!strings.ContainsFunc(h.value, func(r rune) bool { return isControl(r) && r != '\t' })
}

// field is the value of one header of the part, "" where there is none.
func (p *bodyPart) field(name string) string {
	for _, h := range p.header {
		if strings.EqualFold(h.name, name) {
			return h.value
		}
	}
	return ""
}

func (p *bodyPart) has(name string) bool {
	return slices.ContainsFunc(p.header, func(h headerLine) bool { return strings.EqualFold(h.name, name) })
}

// plain says whether the body stands in the part as it is (RFC 2045 section
// 6.2).
func (p *bodyPart) plain() bool {
	switch strings.ToLower(p.field("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
		return true
	default:
		return false
	}
}

// decoded is the body without its transfer encoding (RFC 2045 section 6). It
// is no longer than the body.
func (p *bodyPart) decoded() (b []byte, err error) {
	if packed := p.field("Content-Encoding"); packed != "" && !strings.EqualFold(packed, "identity") {
		return nil, fmt.Errorf("%w: a session description in the encoding %q", errBodyType, phrase(packed))
	}
	switch encoding := p.field("Content-Transfer-Encoding"); {
	case p.plain():
		b = p.body
	case strings.EqualFold(encoding, "base64"):
		text := strings.Join(strings.Fields(string(p.body)), "")
		b, err = base64.StdEncoding.DecodeString(text)
	case strings.EqualFold(encoding, "quoted-printable"):
		b, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(p.body)))
	default:
		return nil, fmt.Errorf("%w: a session description in the transfer encoding %q", errBodyType, phrase(encoding))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the session description is not in its transfer encoding: %w", errBadBody, err)
	}
	if len(b) == 0 {
		return nil, nil
	}
	return b, nil
}

// joinBody makes one body of a session description and other parts: the
// description alone, or a multipart/mixed with it as the first part (RFC 5621
// section 4). Of nothing it makes nothing. Parts must be such as splitBody
// gives them.
func joinBody(sdp []byte, others []bodyPart) (contentType string, body []byte) {
	if len(others) == 0 {
		if len(sdp) == 0 {
			return "", nil
		}
		return sdpType, sdp
	}
	parts := others
	if len(sdp) > 0 {
		own := bodyPart{header: []headerLine{{"Content-Type", sdpType}}, contentType: sdpType, body: sdp}
		parts = append([]bodyPart{own}, others...)
	}
	boundary := rand.Text()
	for occurs(boundary, parts) {
		boundary = rand.Text()
	}
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n")
		for _, h := range p.header {
			b.WriteString(h.name + ": " + h.value + "\r\n")
		}
		b.WriteString("\r\n")
		b.Write(p.body)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return "multipart/mixed;boundary=" + boundary, b.Bytes()
}

// occurs says whether a boundary stands in one of the parts.
func occurs(boundary string, parts []bodyPart) bool {
	return slices.ContainsFunc(parts, func(p bodyPart) bool {
		return bytes.Contains(p.body, []byte(boundary)) ||
			slices.ContainsFunc(p.header, func(h headerLine) bool { return strings.Contains(h.value, boundary) })
	})
}
