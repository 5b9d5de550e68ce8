package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"

	"flowbridge/config/template"
)

// These are the errors in bodies.
var (
	errBodyType     = errors.New("the body's type is not accepted")
	errBadBody      = errors.New("not a body of several parts") // in the reason phrase of the 400
	errPartRequired = errors.New("a required part of the body is not understood")
)

// Limits for a body of several parts: parts of all levels, levels, header lines of one
// part, and the length of a boundary (RFC 2046 section 5.1.1).
const (
	maxParts      = 16
	maxNesting    = 3
	maxPartFields = 16
	maxBoundary   = 70
)

// HeaderLine is one header: its name and value as they came, with a folded value joined
// into one line.
type HeaderLine struct{ Name, Value string }

// bodyPart is one part of a body, such as ISUP (RFC 3204) or a location (RFC 6442).
type bodyPart struct {
	header      []HeaderLine
	contentType string // media type in lower case without parameters; empty if malformed
	body        []byte // as it came; a slice of the message
}

// splitBody returns the session description in a body and the parts that came with it,
// byte for byte and with their own headers (RFC 5621). For an empty body it returns nil.
//
//   - If a multipart/mixed or related has two descriptions, the first counts. The second
//     is left out, because it names addresses. In a multipart/alternative the last one
//     counts. Its alternatives are left out, whatever their handling, because they have
//     the same meaning (RFC 2046 section 5.1.4).
//   - A nested multipart is split if it contains the description. Otherwise it is one
//     part. An alternative that is the whole body is also one part.
//   - The caller of this function decides about the other parts. They may name addresses,
//     and they may include an application/sdp with another disposition (RFC 3959).
//
// The error is errPartRequired if a part has required handling. Without a handling
// parameter a part counts as optional. RFC 3261 section 20.11 says that this means
// required, but carriers send ISUP and locations without the parameter and mean optional.
func splitBody(contentType string, body []byte) (sdp []byte, others []bodyPart, err error) {
	kind := mediaType(contentType)
	switch {
	case len(body) == 0:
		return nil, nil, nil
	case kind == SDPType:
		return body, nil, nil
	case !isMultipart(kind):
		return nil, nil, fmt.Errorf("%w: %q", errBodyType, Phrase(contentType))
	}
	s := bodySplitter{}
	sdp, others, err = s.split(contentType, body, 1)
	if err != nil {
		return nil, nil, err
	}
	if sdp == nil && kind == alternativeType {
		whole := HeaderLine{"Content-Type", Trim(contentType)}
		if !passable(whole) {
			return nil, nil, fmt.Errorf("%w: a Content-Type that can't be passed on", errBadBody)
		}
		return nil, []bodyPart{{header: []HeaderLine{whole}, contentType: kind, body: body}}, nil
	}
	return sdp, others, nil
}

const alternativeType = "multipart/alternative"

func isMultipart(kind string) bool { return strings.HasPrefix(kind, "multipart/") }

// mediaType returns the type and subtype of a Content-Type in lower case, or "" if it is
// malformed.
func mediaType(contentType string) string {
	kind, _, _ := CutByte(contentType, ';')
	if kind = Trim(kind); kind == SDPType {
		return SDPType
	}
	major, minor, _ := CutByte(kind, '/')
	major, minor = Trim(major), Trim(minor)
	if !IsToken(major) || !IsToken(minor) {
		return ""
	}
	return strings.ToLower(major + "/" + minor)
}

// bodySplitter splits one body.
type bodySplitter struct {
	parts int // number of parts found so far, at all levels
}

// split splits a multipart at this level.
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

// first finds the SDP in parts that belong together, and uses the first one.
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

// last finds the SDP in alternatives, and uses the last one that is acceptable. It skips an
// alternative with a required part that is not understood.
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

// take finds the session description in one part, and the other parts that are nested
// there.
func (s *bodySplitter) take(p bodyPart, level int) (sdp []byte, rest []bodyPart, found bool, err error) {
	kind, required := disposition(p.field("Content-Disposition"))
	switch {
	case p.contentType == SDPType && (kind == "" || kind == "session"):
		sdp, err = p.decoded()
		return sdp, nil, true, err
	case isMultipart(p.contentType) && p.plain() && (kind == "" || kind == "session" || kind == "render"):
		sdp, rest, err = s.split(p.field("Content-Type"), p.body, level+1)
		if err != nil || sdp != nil {
			return sdp, rest, true, err
		}
	}
	if required {
		return nil, nil, false, fmt.Errorf("%w: %q", errPartRequired, Phrase(p.field("Content-Type")))
	}
	return nil, nil, false, nil
}

// disposition reads a Content-Disposition (RFC 3261 section 20.11).
func disposition(value string) (kind string, required bool) {
	kind, params, _ := CutUnquoted(value, ';')
	for params != "" {
		var key, v string
		key, v, params = CutParam(params)
		required = required || (EqualFold(key, "handling") && EqualFold(strings.Trim(v, `"`), "required"))
	}
	return strings.ToLower(Trim(kind)), required
}

// boundaryOf returns the boundary that a Content-Type names (RFC 2046 section 5.1.1). It
// accepts a boundary without the quotes that it may need.
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
	case strings.HasSuffix(boundary, " ") ||
		strings.ContainsFunc(boundary, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", fmt.Errorf("%w: the boundary %q", errBadBody, boundary)
	}
	return boundary, nil
}

// cut splits a body at its boundary. The standard library's reader is not suitable,
// because it changes the names and the order of headers.
func (s *bodySplitter) cut(body []byte, boundary string) (parts []bodyPart, err error) {
	d := delimiter{line: []byte("--" + boundary), eol: []byte("\n")}
	_, rest, closed, ok := d.next(body) // the text before the first boundary belongs to no part
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

// delimiter separates parts. Its first occurrence shows how all lines end: with CRLF, or,
// from broken senders, with LF.
type delimiter struct {
	line []byte
	eol  []byte
	seen bool
}

// next splits b around the next delimiter line. The line end before that line belongs to
// the delimiter (RFC 2046 section 5.1.1).
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

// readPart reads a part's headers. A part without any is text (RFC 2046 section 5.1).
func readPart(raw []byte) (bodyPart, error) {
	p := bodyPart{contentType: "text/plain"}
	for len(raw) > 0 {
		var line []byte
		line, raw, _ = CutByte(raw, '\n')
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
		if !passable(h) {
			return bodyPart{}, fmt.Errorf("%w: a part's header %q is too long or has control characters", errBadBody, Phrase(h.Name))
		}
	}
	if p.has("Content-Type") {
		p.contentType = mediaType(p.field("Content-Type"))
	}
	return p, nil
}

// add parses one line of a part's headers, and adds it to the part.
func (p *bodyPart) add(line string) error {
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

// passable reports whether a header may be passed on unchanged.
func passable(h HeaderLine) bool {
	return len(h.Name) <= MaxPhrase && len(h.Value) <= MaxPassedValue &&
		!strings.ContainsFunc(h.Value, func(r rune) bool { return template.IsControl(r) && r != '\t' })
}

// field returns the value of one header of the part, or "" if there is none.
func (p *bodyPart) field(name string) string {
	for _, h := range p.header {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

func (p *bodyPart) has(name string) bool {
	return slices.ContainsFunc(p.header, func(h HeaderLine) bool { return strings.EqualFold(h.Name, name) })
}

// plain reports whether the part has no transfer encoding (RFC 2045 section 6.2).
func (p *bodyPart) plain() bool {
	switch strings.ToLower(p.field("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
		return true
	default:
		return false
	}
}

// decoded returns the body without its transfer encoding (RFC 2045 section 6), which
// never makes it longer.
func (p *bodyPart) decoded() (b []byte, err error) {
	if packed := p.field("Content-Encoding"); packed != "" && !strings.EqualFold(packed, "identity") {
		return nil, fmt.Errorf("%w: a session description in the encoding %q", errBodyType, Phrase(packed))
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
