package siptest

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// The addresses of the tests' network (RFC 5737): the server, a carrier and two agents.
var (
	Ours    = netip.MustParseAddrPort("198.51.100.1:5060")
	Carrier = netip.MustParseAddrPort("192.0.2.10:5060")
	Agent   = netip.MustParseAddrPort("192.0.2.20:32681")
	Agent2  = netip.MustParseAddrPort("192.0.2.21:32681")
)

// CRLF converts the line ends of a text to those of the wire.
func CRLF(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// OptionsOverTCP is a request whose lines end in \n only.
const OptionsOverTCP = `OPTIONS sip:198.51.100.1 SIP/2.0
Via: SIP/2.0/TCP 192.0.2.10:5060;branch=z9hG4bKoptions
Max-Forwards: 70
From: <sip:ann@192.0.2.10>;tag=o
To: <sip:198.51.100.1>
Call-ID: options
CSeq: 1 OPTIONS
Content-Length: 0

`

// Request parses a request whose lines end in \n only.
func Request(tb testing.TB, text string) *sip.Request {
	tb.Helper()
	msg, err := sip.ParseMessage(CRLF(text))
	if err != nil {
		tb.Fatalf("%v\n%s", err, text)
	}
	return msg.(*sip.Request)
}

// InviteFrom returns an INVITE with this From and further header lines.
func InviteFrom(tb testing.TB, from string, headers ...string) *sip.Request {
	tb.Helper()
	extra := strings.Join(append(slices.Clip(headers), ""), "\n")
	return Request(tb, "INVITE sip:+15075785607@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\nFrom: "+
		from+
		"\nTo: <sip:c@d>\nCall-ID: one\nCSeq: 7 INVITE\n"+extra+"Content-Length: 0\n\n")
}

// SessionAt returns a session description of audio in these formats at host:port,
// with further lines.
func SessionAt(host string, port int, formats string, lines ...string) string {
	var b strings.Builder
	family := "IP4"
	if strings.Contains(host, ":") {
		family = "IP6"
	}
	fmt.Fprintf(&b, "v=0\no=peer 1 2 IN %[4]s %[1]s\ns=-\nc=IN %[4]s %[1]s\nt=0 0\nm=audio %[2]d RTP/AVP %[3]s\n", host,
		port, formats, family)
	for f := range strings.FieldsSeq(formats) {
		if name := map[string]string{"0": "PCMU", "8": "PCMA", "9": "G722", "13": "CN", "18": "G729"}[f]; name != "" {
			b.WriteString("a=rtpmap:" + f + " " + name + "/8000\n")
		} else {
			b.WriteString("a=rtpmap:" + f + " telephone-event/8000\na=fmtp:" + f + " 0-15\n")
		}
	}
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	return string(CRLF(b.String()))
}

// RFC4475 reads the messages of RFC 4475, which are among the test data of the SIP library's module.
func RFC4475(tb testing.TB) map[string][]byte {
	tb.Helper()
	dir, err := exec.CommandContext(tb.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/emiago/sipgo").Output()
	if err != nil {
		tb.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "sip/testdata/torture/*/*.dat"))
	if err != nil {
		tb.Fatal(err)
	}
	messages := map[string][]byte{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".dat")
		if name == "test" {
			continue // the file is not from the RFC
		}
		if messages[name], err = os.ReadFile(f); err != nil {
			tb.Fatal(err)
		}
	}
	return messages
}
