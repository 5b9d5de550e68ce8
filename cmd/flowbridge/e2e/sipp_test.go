//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sipp is a running SIPp that plays one scenario.
type sipp struct {
	*process
	addr     netip.AddrPort
	network  string // udp or tcp: the transport on which it listens
	messages string // file
	errors   string // file

	came, had history // of calls, by comings and held
}

// sippCarrier plays the carrier of a scenario, toward the B2BUA.
func (s *stage) sippCarrier(scenario string, options ...string) *sipp {
	s.Helper()
	options = append([]string{"-s", called}, options...)
	return s.sipp("carrier", scenario+"/uac.xml", s.freePort(s.carrier), append(options, s.server.sip.String()))
}

// refusedCarrier plays a carrier that expects this final answer.
func (s *stage) refusedCarrier(status int, number string) *sipp {
	s.Helper()
	return s.sipp("carrier", "refused/uac.xml", s.freePort(s.carrier), []string{"-s", number, s.server.sip.String()},
		"@STATUS@", strconv.Itoa(status))
}

// sippAgent plays the agent of a scenario at s.agent, and returns when it can be called.
func (s *stage) sippAgent(scenario string, options ...string) *sipp {
	s.Helper()
	a := s.sipp("agent", scenario+"/uas.xml", s.agent, options)
	eventually(s.T, "the agent listens", func() bool { return a.ended() || bound(s.T, "udp", a.addr) })
	return a
}

// sipp runs a scenario, with words in its file replaced. It plays one call
// unless the options have another -m.
func (s *stage) sipp(role, scenario string, at netip.AddrPort, options []string, replace ...string) *sipp {
	s.Helper()
	dir := s.TempDir()
	text, err := os.ReadFile(filepath.Join("scenarios", scenario))
	must(s, err)
	file := filepath.Join(dir, "scenario.xml")
	must(s, os.WriteFile(file, []byte(render(s.T, scenario, strings.NewReplacer(replace...).Replace(string(text)))), 0o600))
	p := &sipp{addr: at, network: "udp", messages: filepath.Join(dir, "messages.log"), errors: filepath.Join(dir, "errors.log")}
	host := at.Addr().String()
	if at.Addr().Is6() {
		host = "[" + host + "]"
	}
	args := []string{
		"-sf", file, "-i", host, "-p", strconv.Itoa(int(at.Port())), "-mi", host,
		// The remote control is not used here. It accepts only IPv4.
		"-ci", s.stranger.String(), "-cp", strconv.Itoa(int(s.freePort(s.stranger).Port())),
		"-trace_err", "-error_file", p.errors, "-trace_msg", "-message_file", p.messages,
		"-nostdin",
	}
	if i := slices.Index(options, "-t"); i >= 0 && options[i+1] != sippUDP {
		p.network = "tcp"
	}
	if !slices.Contains(options, "-m") {
		args = append(args, "-m", "1")
	}
	if !slices.Contains(options, "rtp_port") { // an unused port, for calls without media
		args = append(args, "-key", "rtp_port", strconv.Itoa(int(s.freePort(at.Addr()).Port()&^1)))
	}
	cmd := exec.Command("sipp", append(args, options...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=dumb")
	p.process = start(s.T, "sipp "+role+" "+scenario, cmd)
	p.quiet = true // its output is screens
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("%s: errors:\n%s\nmessages:\n%s", p.name, p.log(p.errors), p.log(p.messages))
		}
	})
	return p
}

func (p *sipp) log(file string) []byte {
	b, _ := os.ReadFile(file) // does not exist if nothing was written
	return b
}

// finish waits for the end of the scenario, which must have run as written.
func (p *sipp) finish() {
	p.t.Helper()
	if code := p.exit(); code != 0 {
		p.t.Fatalf("%s ended with exit code %d\n%s", p.name, code, p.log(p.errors))
	}
}

// leaves lets calls continue to their end, and waits until this SIPp and the other side have ended.
func (p *sipp) leaves(other *sipp, callIDs ...string) {
	p.t.Helper()
	p.proceed(callIDs...)
	p.finish()
	other.finish()
}

// message is a SIP message that a SIPp sent or received.
type message struct {
	received bool
	raw      string
}

// first returns the start line.
func (m message) first() string { line, _, _ := strings.Cut(m.raw, "\r\n"); return line }

// header returns the value of the first header with this name, in this spelling.
func (m message) header(name string) string {
	head, _, _ := strings.Cut(m.raw, "\r\n\r\n")
	for _, line := range strings.Split(head, "\r\n")[1:] {
		if n, v, _ := strings.Cut(line, ":"); n == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (m message) body() string { _, b, _ := strings.Cut(m.raw, "\r\n\r\n"); return b }

// rtp returns the address for audio in the message's SDP.
func (m message) rtp() (netip.AddrPort, error) {
	found := sdpAddress.FindStringSubmatch(m.body())
	if found == nil {
		return netip.AddrPort{}, fmt.Errorf("no address of audio in %q", m.raw)
	}
	return netip.ParseAddrPort(net.JoinHostPort(found[1], found[2]))
}

// rtpOf returns the media address in the first message with this start line that a SIPp has received. It waits for n
// such messages.
func (p *sipp) rtpOf(start string, n int) netip.AddrPort {
	p.t.Helper()
	at, err := p.received(start, n)[0].rtp()
	must(p.t, err)
	return at
}

var (
	sdpAddress = regexp.MustCompile(`(?s)\r\nc=IN IP[46] (\S+)\r\n.*\r\nm=audio (\d+) `)
	logEntry   = regexp.MustCompile(`(?:UDP|TCP) message (sent|received) [\[(](\d+)(?:\] bytes | bytes\)):\n\n`)
)

// trace returns the messages that the SIPp has sent and received so far. The log gives the length of each message,
// so they are read byte for byte.
func (p *sipp) trace() []message {
	text := p.log(p.messages)
	var all []message
	for {
		at := logEntry.FindSubmatchIndex(text)
		if at == nil {
			return all
		}
		size, err := strconv.Atoi(string(text[at[4]:at[5]]))
		if err != nil || at[1]+size > len(text) {
			return all
		}
		all = append(all, message{
			received: bytes.Equal(text[at[2]:at[3]], []byte("received")),
			raw:      string(text[at[1] : at[1]+size]),
		})
		text = text[at[1]+size:]
	}
}

// received waits for n messages whose start line begins with start, and returns them.
func (p *sipp) received(start string, n int) []message {
	p.t.Helper()
	return p.await(true, start, n)
}

// sent is like received, for messages that SIPp itself sends.
func (p *sipp) sent(start string, n int) []message {
	p.t.Helper()
	return p.await(false, start, n)
}

func (p *sipp) await(received bool, start string, n int) []message {
	p.t.Helper()
	var found []message
	if !within(patience, func() bool {
		ended := p.ended() // read first, because the last message may come with the end
		found = p.count(received, start)
		return len(found) >= n || ended
	}) || len(found) < n {
		p.t.Fatalf("%s: %d messages %q (received: %v); want %d", p.name, len(found), start, received, n)
	}
	return found
}

// count returns the messages so far whose start line begins with start. A repeated message counts once, because the
// number of repetitions depends on the machine.
func (p *sipp) count(received bool, start string) []message {
	var found []message
	for _, m := range p.repeated(received, start) {
		if !slices.Contains(found, m) {
			found = append(found, m)
		}
	}
	return found
}

// repeated is like count, but includes repetitions.
func (p *sipp) repeated(received bool, start string) []message {
	var found []message
	for _, m := range p.trace() {
		if m.received == received && strings.HasPrefix(m.raw, start) {
			found = append(found, m)
		}
	}
	return found
}

// proceed lets the calls with these Call-IDs continue in their scenarios.
func (p *sipp) proceed(callIDs ...string) {
	p.t.Helper()
	dialer := net.Dialer{Timeout: patience, LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.addr.Addr(), 0))}
	if p.network == "tcp" {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.addr.Addr(), 0))
	}
	conn, err := dialer.Dial(p.network, p.addr.String())
	must(p.t, err)
	defer conn.Close()
	for _, id := range callIDs {
		_, err := fmt.Fprintf(conn, "INFO sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bKcue\r\nFrom: <sip:driver@%[2]s>;tag=cue\r\n"+
			"To: <sip:%[1]s>\r\nCall-ID: %[3]s\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n", p.addr, conn.LocalAddr(), id)
		must(p.t, err)
	}
}

// answered waits until n calls of a carrier are answered and acknowledged, and returns their Call-IDs.
func (p *sipp) answered(n int) []string {
	p.t.Helper()
	var ids []string
	for _, m := range p.sent("ACK ", n) {
		ids = append(ids, m.header("Call-ID"))
	}
	return ids
}

// confirmed is like answered, for an agent.
func (p *sipp) confirmed(n int) []string {
	p.t.Helper()
	var ids []string
	for _, m := range p.received("ACK ", n) {
		ids = append(ids, m.header("Call-ID"))
	}
	return ids
}
