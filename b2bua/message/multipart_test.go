package message

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"flowbridge/sim/siptest"
)

const plainSDP = "v=0\no=- 1 1 IN IP4 192.0.2.10\ns=-\nt=0 0\nm=audio 4000 RTP/AVP 0\n"

// parts joins the parts of a multipart body with the boundary "b".
func parts(all ...string) string { return partsOf("b", all...) }

func partsOf(boundary string, all ...string) string {
	var b strings.Builder
	for _, p := range all {
		b.WriteString("--" + boundary + "\n" + p + "\n")
	}
	return b.String() + "--" + boundary + "--\n"
}

const (
	partSDP   = "Content-Type: application/sdp\n\n" + plainSDP
	partOther = "Content-Type: application/sdp\n\nv=0\ns=another\n"
	partISUP  = "Content-Type: application/ISUP; version=nxv3; base=etsi121\ncontent-disposition: signal;handling=optional\n\n\x01\x11\x00\x00"
	partPIDF  = "Content-Type:application/pidf+xml\nContent-ID: <a@b>\n\n<presence/>"
	partMust  = "Content-Type: application/x-strange\nContent-Disposition: render ; x=y; Handling = \"REQUIRED\"\n\nx"
)

func TestSplitBody(t *testing.T) {
	isup := []string{"application/isup"}
	for name, tt := range map[string]struct {
		kind, body string
		sdp        string
		others     []string // the types of the other parts
	}{
		"no body":             {"multipart/mixed", "", "", nil},
		"nothing at all":      {"", "", "", nil},
		"SDP":                 {"application/sdp", plainSDP, plainSDP, nil},
		"SDP with parameters": {" Application / SDP ; charset=utf-8", plainSDP, plainSDP, nil},
		"SDP and ISUP":        {"multipart/mixed;boundary=b", parts(partSDP, partISUP), plainSDP, isup},
		"ISUP before SDP":     {"Multipart/Mixed; Boundary=\"b\"", parts(partISUP, partSDP), plainSDP, isup},
		"related":             {"multipart/related;type=\"application/sdp\" ; boundary=b", parts(partSDP, partPIDF), plainSDP, []string{"application/pidf+xml"}},
		"unknown multipart":   {"multipart/strange;boundary=b", parts(partSDP), plainSDP, nil},
		"preamble, epilogue":  {"multipart/mixed;boundary=b", "hello\n" + parts(partSDP) + "bye\n--b\nbye", plainSDP, nil},
		"no end of line":      {"multipart/mixed;boundary=b", strings.TrimSuffix(parts(partSDP), "\n"), plainSDP, nil},
		"white space":         {"multipart/mixed;boundary=b", "--b \t\n" + partSDP + "\n--b-- \n", plainSDP, nil},
		"a longer boundary":   {"multipart/mixed;boundary=b", parts(partSDP, "Content-Type: text/plain\n\n--bb\n--b-x\n --b\nx--b"), plainSDP, []string{"text/plain"}},
		"odd boundary":        {"multipart/mixed;boundary=\"=_ '()+,./:=?\"", partsOf("=_ '()+,./:=?", partSDP), plainSDP, nil},
		"boundary that needs quotes": {
			"multipart/mixed;boundary=----=_Part_1=?", partsOf("----=_Part_1=?", partSDP), plainSDP, nil,
		},
		"no description":            {"multipart/mixed;boundary=b", parts(partISUP, partPIDF), "", []string{"application/isup", "application/pidf+xml"}},
		"part without headers":      {"multipart/mixed;boundary=b", parts("\nhello", partSDP), plainSDP, []string{"text/plain"}},
		"part without a body":       {"multipart/mixed;boundary=b", parts("Content-Type: text/html", partSDP), plainSDP, []string{"text/html"}},
		"part without anything":     {"multipart/mixed;boundary=b", "--b\n--b\n" + partSDP + "\n--b--", plainSDP, []string{"text/plain"}},
		"part of a malformed type":  {"multipart/mixed;boundary=b", parts("Content-Type: what\n\nx", partSDP), plainSDP, []string{""}},
		"empty description":         {"multipart/mixed;boundary=b", parts("Content-Type: application/sdp\n"), "", nil},
		"two in mixed":              {"multipart/mixed;boundary=b", parts(partSDP, partOther, partISUP), plainSDP, isup},
		"two in alternative":        {"multipart/alternative;boundary=b", parts(partOther, partSDP, "Content-Type: text/plain\n\nx"), plainSDP, nil},
		"required alternative":      {"multipart/alternative;boundary=b", parts(partSDP, partMust), plainSDP, nil},
		"alternative without":       {"multipart/alternative;boundary=b", parts(partISUP, partPIDF), "", []string{"multipart/alternative"}},
		"session":                   {"multipart/mixed;boundary=b", parts("Content-Disposition: Session;handling=required\n" + partSDP), plainSDP, nil},
		"early session":             {"multipart/mixed;boundary=b", parts("Content-Disposition: early-session\n"+partOther, partSDP), plainSDP, []string{"application/sdp"}},
		"transfer encoding, binary": {"multipart/mixed;boundary=b", parts("Content-Transfer-Encoding: BINARY\n" + partSDP), plainSDP, nil},
		"base64":                    {"multipart/mixed;boundary=b", parts("Content-Transfer-Encoding: base64\nContent-Type: application/sdp\n\ndj0w\nDQpz \nPS0NCg==\n"), "v=0\ns=-\n", nil},
		"quoted-printable":          {"multipart/mixed;boundary=b", parts("Content-Transfer-Encoding: Quoted-Printable\nContent-Type: application/sdp\n\nv=3D0\ns=3D=\n-\n"), "v=0\ns=-\n", nil},
		"folded header":             {"multipart/mixed;boundary=b", parts("Content-Type:\n application/sdp\n\t;x=y\n\n" + plainSDP), plainSDP, nil},
		"nested with": {
			"multipart/mixed;boundary=b", parts("Content-Type: multipart/related;boundary=c\n\n"+partsOf("c", partSDP, partPIDF), partISUP),
			plainSDP,
			[]string{"application/pidf+xml", "application/isup"},
		},
		"nested without": {
			"multipart/mixed;boundary=b", parts("Content-Type: multipart/related;boundary=c\n\n"+partsOf("c", partISUP, partPIDF), partSDP),
			plainSDP,
			[]string{"multipart/related"},
		},
		"nested, of another disposition": {
			"multipart/mixed;boundary=b", parts("Content-Disposition: early-session\nContent-Type: multipart/mixed;boundary=c\n\n"+partsOf("c", partOther), partSDP),
			plainSDP,
			[]string{"multipart/mixed"},
		},
		"three levels": {
			"multipart/mixed;boundary=b", parts("Content-Type: multipart/mixed;boundary=bc\n\n" +
				partsOf("bc", "Content-Type: multipart/alternative;boundary=bcd\n\n"+partsOf("bcd", partOther, partSDP))),
			plainSDP, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			sdp, others, err := splitBody(tt.kind, siptest.CRLF(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(sdp), string(siptest.CRLF(tt.sdp)); got != want && got+"\r\n" != want {
				t.Errorf("description %q; want %q", got, want)
			}
			if got := typesOf(others); !slices.Equal(got, tt.others) {
				t.Errorf("other parts %q; want %q", got, tt.others)
			}
		})
	}
}

func typesOf(all []bodyPart) (types []string) {
	for _, p := range all {
		types = append(types, p.contentType)
	}
	return types
}

func TestSplitBodyErrors(t *testing.T) {
	deep := partSDP
	for _, boundary := range []string{"e", "d", "c"} {
		deep = "Content-Type: multipart/mixed;boundary=" + boundary + "\n\n" + partsOf(boundary, deep)
	}
	const mixed = "multipart/mixed;boundary=b"
	for name, tt := range map[string]struct {
		kind, body string
		want       error
		says       string
	}{
		"no type":               {"", "x", errBodyType, `""`},
		"another type":          {"application/sdpx", "x", errBodyType, "sdpx"},
		"malformed type":        {"multipart", "x", errBodyType, "multipart"},
		"no boundary":           {"multipart/mixed", parts(partSDP), errBadBody, "no boundary"},
		"empty boundary":        {"multipart/mixed;boundary=\"\"", parts(partSDP), errBadBody, "no boundary"},
		"two boundaries":        {"multipart/mixed;boundary=a;boundary=b", parts(partSDP), errBadBody, "two boundaries"},
		"open boundary":         {"multipart/mixed;boundary=\"b", parts(partSDP), errBadBody, "the boundary"},
		"long boundary":         {"multipart/mixed;boundary=" + strings.Repeat("b", 71), partsOf(strings.Repeat("b", 71), partSDP), errBadBody, "70"},
		"boundary with a space": {"multipart/mixed;boundary=\"b \"", parts(partSDP), errBadBody, "the boundary"},
		"boundary with a LF":    {"multipart/mixed;boundary=\"b\nc\"", parts(partSDP), errBadBody, "the boundary"},
		"another boundary":      {"multipart/mixed;boundary=c", parts(partSDP), errBadBody, "not in it"},
		"not closed":            {mixed, "--b\n" + partSDP, errBadBody, "closing"},
		"not closed, the next":  {mixed, "--b\n" + partSDP + "\n--b\n", errBadBody, "closing"},
		"no part":               {mixed, "--b--\n", errBadBody, "no part"},
		"17 parts":              {mixed, parts(slices.Repeat([]string{partSDP}, 17)...), errBadBody, "16 parts"},
		"four levels":           {mixed, parts(deep), errBadBody, "3 levels"},
		"no headers":            {mixed, parts("v=0\ns=-"), errBadBody, `"v=0"`},
		"fold first":            {mixed, parts(" x\n" + partSDP), errBadBody, "folded"},
		"header with NUL":       {mixed, parts("X: a\x00b\n" + partSDP), errBadBody, `"X"`},
		"header with CR":        {mixed, parts("X: a\rb\n" + partSDP), errBadBody, `"X"`},
		"long header":           {mixed, parts("X: " + strings.Repeat("x", 1025) + "\n" + partSDP), errBadBody, "too long"},
		"long header name":      {mixed, parts("X" + strings.Repeat("x", 2000) + ": x\n" + partSDP), errBadBody, "too long"},
		"long folded header":    {mixed, parts("X: x\n" + strings.Repeat(" "+strings.Repeat("x", 100)+"\n", 11) + partSDP), errBadBody, "too long"},
		"17 headers":            {mixed, parts(strings.Repeat("X: x\n", 16) + partSDP), errBadBody, "16 headers"},
		"two types":             {mixed, parts("content-type: text/plain\n" + partSDP), errBadBody, "two Content-Type"},
		"bad base64":            {mixed, parts("Content-Transfer-Encoding: base64\n" + partSDP), errBadBody, "base64"},
		"bad quoted-printable":  {mixed, parts("Content-Transfer-Encoding: quoted-printable\n" + partSDP + "\x01"), errBadBody, "quotedprintable"},
		"unknown encoding":      {mixed, parts("Content-Transfer-Encoding: x-uuencode\n" + partSDP), errBodyType, "x-uuencode"},
		"packed":                {mixed, parts("Content-Encoding: gzip\n" + partSDP), errBodyType, "gzip"},
		"required":              {mixed, parts(partSDP, partMust), errPartRequired, "application/x-strange"},
		"required, nested":      {mixed, parts("Content-Type: multipart/mixed;boundary=c\n\n"+partsOf("c", partMust), partSDP), errPartRequired, "application/x-strange"},
		"required multipart":    {mixed, parts(partSDP, "Content-Disposition: render;handling=required\nContent-Type: multipart/mixed;boundary=c\n\n"+partsOf("c", partISUP)), errPartRequired, "multipart/mixed"},
		"required early session": {
			mixed, parts(partSDP, "Content-Disposition: early-session;handling=required\n"+partOther), errPartRequired, "application/sdp",
		},
		"control in the whole": {"multipart/alternative;boundary=b;x=\x01", parts(partISUP), errBadBody, "passed on"},
	} {
		t.Run(name, func(t *testing.T) {
			sdp, others, err := splitBody(tt.kind, siptest.CRLF(tt.body))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v; want %v with %q", err, tt.want, tt.says)
			}
			if len(err.Error()) > 300 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if sdp != nil || others != nil {
				t.Errorf("%q and %d parts beside an error", sdp, len(others))
			}
		})
	}
}

// A body keeps all its bytes when it is split and joined, including line ends, partial
// boundaries, and the names and order of headers.
func TestPartsAreKept(t *testing.T) {
	binary := []byte("\r\n--b \x00\n--b\n--bx\r\n\r")
	for c := range 256 {
		binary = append(binary, byte(c))
	}
	binary = append(binary, '\r', '\n')
	body := slices.Concat(
		[]byte("--b\r\ncontent-TYPE:  application/isup;version=x \r\nMIME-Version: 1.0\r\nX-b:\r\nX-a: 1,\r\n\t2\r\nX-A: 3\r\n\r\n"), binary,
		[]byte("\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b--"))
	want := []bodyPart{{
		header:      []HeaderLine{{"content-TYPE", "application/isup;version=x"}, {"MIME-Version", "1.0"}, {"X-b", ""}, {"X-a", "1, 2"}, {"X-A", "3"}},
		contentType: "application/isup", body: binary,
	}}
	sdp, others, err := splitBody("multipart/mixed;boundary=b", body)
	if err != nil {
		t.Fatal(err)
	}
	if string(sdp) != "v=0\r\n" {
		t.Errorf("description %q", sdp)
	}
	if d := cmp.Diff(want, others, cmp.AllowUnexported(bodyPart{}, HeaderLine{})); d != "" {
		t.Error(d)
	}
}

// Some senders end the lines of a multipart body with LF only. Such a body is read as well.
func TestPartsWithBareLF(t *testing.T) {
	sdp, others, err := splitBody("multipart/mixed;boundary=b", []byte(parts(partISUP, partSDP)))
	if err != nil || string(sdp)+"\n" != plainSDP+"\n" || len(others) != 1 || string(others[0].body) != "\x01\x11\x00\x00" {
		t.Errorf("%q, %+v, %v", sdp, others, err)
	}
}

// FuzzSplitBody checks that the parts are slices of the body, that their number is bounded,
// and that we read a body in the same way as the library if the library can read it.
func FuzzSplitBody(f *testing.F) {
	f.Add("application/sdp", []byte(plainSDP))
	for _, body := range []string{
		parts(partSDP, partISUP, partPIDF), parts(partMust, partOther), "x\n" + parts("\nx", partSDP) + "y",
		parts("Content-Type: multipart/alternative;boundary=c\n\n"+partsOf("c", partOther, partSDP), partISUP),
		parts("Content-Transfer-Encoding: base64\nContent-Type: application/sdp\n\ndj0w\nDQpzPS0NCg==\n"),
		parts("Content-Transfer-Encoding: quoted-printable\nContent-Type: application/sdp\n\nv=3D0\ns=3D=\n-\n"),
	} {
		for _, kind := range []string{"mixed", "alternative"} {
			f.Add("multipart/"+kind+";boundary=b", siptest.CRLF(body))
			f.Add("multipart/"+kind+";boundary=b", []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		sdp, others, err := splitBody(kind, body)
		if err != nil {
			if sdp != nil || others != nil || len(err.Error()) > 1000 {
				t.Errorf("%q, %d parts, %v", sdp, len(others), err)
			}
			return
		}
		if len(sdp) > len(body) || len(others) > maxParts {
			t.Errorf("%d bytes and %d parts of %d bytes", len(sdp), len(others), len(body))
		}
		for _, p := range others {
			if !bytes.Contains(body, p.body) || len(p.header) > maxPartFields {
				t.Errorf("part %+v", p)
			}
			for _, h := range p.header {
				if !IsToken(h.Name) || !passable(h) {
					t.Errorf("header %q: %q", h.Name, h.Value)
				}
			}
		}
		sameAsLibrary(t, kind, body)
	})
}

// sameAsLibrary checks that we split a body in the same way as the library, if the library
// can read it to its end.
func sameAsLibrary(t *testing.T, kind string, body []byte) {
	t.Helper()
	boundary, err := boundaryOf(kind)
	if err != nil {
		return
	}
	s := bodySplitter{}
	ours, err := s.cut(body, boundary)
	if err != nil {
		return
	}
	var theirs [][]byte
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return
		}
		b, err := io.ReadAll(part)
		if err != nil {
			return
		}
		theirs = append(theirs, b)
	}
	if !slices.EqualFunc(ours, theirs, func(p bodyPart, b []byte) bool { return bytes.Equal(p.body, b) }) {
		t.Errorf("we read %q; the library reads %q", ours, theirs)
	}
}

func TestAnswerSDP(t *testing.T) {
	const own = "Content-Disposition: early-session\n\n" + plainSDP
	for name, tt := range map[string]struct {
		kind, body string
		untyped    bool
	}{
		"no type":              {"", plainSDP, true},
		"its type":             {SDPType, plainSDP, false},
		"another type":         {"text/plain", plainSDP, false},
		"something else":       {"", "v=1", false},
		"nothing":              {"", "", false},
		"a part without":       {"multipart/mixed;boundary=b", parts(partISUP, "\n"+plainSDP), true},
		"one with":             {"multipart/mixed;boundary=b", parts("\n"+plainSDP, partSDP), false},
		"of another session":   {"multipart/mixed;boundary=b", parts(own), false},
		"a part that is text":  {"multipart/mixed;boundary=b", parts("Content-Type: text/plain\n\n" + plainSDP), false},
		"a part in an unknown": {"multipart/mixed;boundary=b", parts("Content-Transfer-Encoding: x\n\n" + plainSDP), false},
	} {
		t.Run(name, func(t *testing.T) {
			res := sip.NewResponse(200, "OK")
			if tt.kind != "" {
				kind := sip.ContentTypeHeader(tt.kind)
				res.AppendHeader(&kind)
			}
			res.SetBody(siptest.CRLF(tt.body))
			sdp, untyped := AnswerSDP(res)
			if want := tt.untyped || strings.HasPrefix(name, "one") || tt.kind == SDPType; untyped != tt.untyped || (sdp != nil) != want {
				t.Errorf("%q, untyped: %v", sdp, untyped)
			}
		})
	}
}

func TestIsSDP(t *testing.T) {
	for kind, want := range map[string]bool{
		"application/sdp": true, "Application/SDP": true, "application/sdp;charset=utf-8": true, " application/sdp ; x=y": true,
		"application/sdpx": false, "multipart/mixed": false, "": false, "text/plain": false,
	} {
		if got := mediaType(kind) == SDPType; got != want {
			t.Errorf("%q: %v; want %v", kind, got, want)
		}
	}
}
