//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// baresip is a softphone without a screen, a microphone or a loudspeaker. It reads the audio that
// it sends from a file, and writes the audio that it receives to another file.
type baresip struct {
	*process
	words []int16 // the audio in its file
	dir   string
	conn  net.Conn
	in    *bufio.Reader
}

const (
	baresipConfig = `
poll_method epoll
sip_listen @AT@
net_interface @ADDR@
module_path @MODULES@
module g711.so
module aufile.so
module sndfile.so
module ctrl_tcp.so
module_app account.so
module_app contact.so
module_app menu.so
audio_source aufile,@DIR@/words.wav
snd_path @DIR@
statmode_default off
rtp_ports 20000-20100
ctrl_tcp_listen @CONTROL@
`
	wavHeader = 44
)

// softWords returns the words of a softphone: more audio than any test needs.
func softWords(seed uint64) []int16 { return sim.SpeechLike(seed, 2*time.Minute) }

// startBaresip runs a softphone on the carrier's address that says these words. lines are added to
// its configuration.
func (s *stage) startBaresip(words []int16, lines ...string) *baresip {
	s.Helper()
	return s.startBaresipAs(caller, s.freePort(s.carrier), words, lines...)
}

// startBaresipAs is like startBaresip, with another number and address. The softphone answers every
// call.
func (s *stage) startBaresipAs(number string, at netip.AddrPort, words []int16, lines ...string) *baresip {
	s.Helper()
	return s.startBaresipWith("", number, at, words, lines...)
}

// startBaresipWith is like startBaresipAs. account has further parameters of the account.
func (s *stage) startBaresipWith(account, number string, at netip.AddrPort, words []int16, lines ...string) *baresip {
	s.Helper()
	account = fmt.Sprintf("\"Soft Phone\" <sip:%s@%s>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1%s\n", number, at, account)
	return s.softphone(s.TempDir(), nil, account, at, words, lines...)
}

// softphone runs a softphone with this account in a directory. If attr names a user, it runs as
// that user.
func (s *stage) softphone(dir string, attr *syscall.SysProcAttr, account string, at netip.AddrPort, words []int16, lines ...string) *baresip {
	s.Helper()
	modules, err := filepath.Glob("/usr/lib*/baresip/modules")
	if err == nil && len(modules) == 0 {
		modules, err = filepath.Glob("/usr/lib/*/baresip/modules")
	}
	if err != nil || len(modules) == 0 {
		s.Fatalf("the modules of baresip are missing (%v): apt-get install baresip-core", err)
	}
	control := s.freePort(at.Addr())
	config := strings.NewReplacer("@AT@", at.String(), "@ADDR@", at.Addr().String(), "@MODULES@", modules[0],
		"@DIR@", dir, "@CONTROL@", control.String()).Replace(baresipConfig) + strings.Join(lines, "\n") + "\n"
	for name, content := range map[string]string{"config": config, "contacts": "", "words.wav": string(wav(words)), "accounts": account} {
		file := filepath.Join(dir, name)
		err := os.WriteFile(file, []byte(content), 0o600)
		if err == nil && attr != nil {
			err = os.Chown(file, int(attr.Credential.Uid), int(attr.Credential.Gid))
		}
		must(s, err)
	}
	cmd := exec.Command("baresip", "-4", "-f", dir)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.SysProcAttr = attr
	p := &baresip{process: start(s.T, "baresip", cmd), words: words, dir: dir}
	p.connect(control)
	s.Cleanup(func() { p.conn.Close() })
	return p
}

func (p *baresip) connect(control netip.AddrPort) {
	p.t.Helper()
	eventually(p.t, "baresip takes commands", func() bool {
		conn, err := net.Dial("tcp", control.String())
		if err != nil {
			return false
		}
		p.conn, p.in = conn, bufio.NewReader(conn)
		return true
	})
}

// command sends baresip a command.
func (p *baresip) command(name, params string) {
	p.t.Helper()
	text, err := json.Marshal(map[string]string{"command": name, "params": params})
	if err == nil {
		_, err = fmt.Fprintf(p.conn, "%d:%s,", len(text), text) // a netstring
	}
	must(p.t, err)
}

// await waits for an event of this type. It fails if an event that reports a problem comes first.
func (p *baresip) await(kind string) {
	p.t.Helper()
	must(p.t, p.conn.SetReadDeadline(time.Now().Add(patience)))
	for {
		size, err := p.in.ReadString(':')
		n, bad := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), ":"))
		if err != nil || bad != nil {
			p.t.Fatalf("waiting for %s: %q: %v", kind, size, err)
		}
		text := make([]byte, n+1) // including the comma at its end
		if _, err := io.ReadFull(p.in, text); err != nil {
			p.t.Fatalf("waiting for %s: %v", kind, err)
		}
		var event struct{ Type, Param string }
		if err := json.Unmarshal(text[:n], &event); err != nil {
			p.t.Fatalf("%s: %v", text, err)
		}
		switch event.Type {
		case kind:
			return
		case "AUDIO_ERROR", "CALL_CLOSED":
			p.t.Fatalf("%s (%s) instead of %s", event.Type, event.Param, kind)
		}
	}
}

// heard returns the audio that the softphone has recorded so far.
func (p *baresip) heard() []int16 { p.t.Helper(); return p.dumps("dec") }

// loud counts the packets that it has received, without silence. It records silence while it
// receives nothing, so the length of the recording does not tell how much was received.
func (p *baresip) loud() (n int) {
	p.t.Helper()
	for heard := codes(audio.ULaw, p.heard()); len(heard) >= frame; heard = heard[frame:] {
		if !silent(heard[:frame]) {
			n++
		}
	}
	return n
}

// said returns the audio that it has sent, including the silence that it sends when it has nothing
// else. It is complete when the softphone has ended. The recording begins a moment after the
// softphone starts to send, so the missing part is taken from its file.
func (p *baresip) said() []byte {
	p.t.Helper()
	sent := codes(audio.ULaw, p.dumps("enc"))
	if len(sent) < frame {
		p.t.Fatal("the softphone has not said anything")
	}
	words := codes(audio.ULaw, p.words)
	return append(words[:max(bytes.Index(words, sent[:frame]), 0)], sent...)
}

// dumps returns its recordings of one direction, in chronological order.
func (p *baresip) dumps(way string) []int16 {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "dump-*-"+way+".wav"))
	must(p.t, err)
	var samples []int16
	for _, file := range files { // in chronological order
		b, err := os.ReadFile(file)
		if err != nil || len(b) < wavHeader {
			continue
		}
		for i := wavHeader; i+1 < len(b); i += 2 {
			samples = append(samples, int16(binary.LittleEndian.Uint16(b[i:])))
		}
	}
	return samples
}

// wav returns a file of mono audio at 8 kHz.
func wav(samples []int16) []byte {
	size := uint32(2 * len(samples))
	b := append([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, size+wavHeader-8)...)
	b = append(b, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"...)
	b = binary.LittleEndian.AppendUint32(b, 8000)
	b = binary.LittleEndian.AppendUint32(b, 16000)
	b = append(b, "\x02\x00\x10\x00data"...)
	b = binary.LittleEndian.AppendUint32(b, size)
	for _, v := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// TestSoftphone makes a real softphone call through the B2BUA: it hears the greeting and its own
// words, and hangs up.
func TestSoftphone(t *testing.T) {
	s := newStage(t)
	s.simulate()
	// The softphone binds its RTP to no address, so on loopback the kernel sends it from this address,
	// which its SDP does not name.
	b := s.serve(setup{trunk: ", media_sources: [127.0.0.1]"})
	words := softWords(4711)
	phone := s.startBaresip(words)
	phone.command("dial", s.to())
	phone.await("CALL_RINGING")
	phone.await("CALL_ESTABLISHED")
	phone.hearsEcho()
	phone.command("hangup", "")
	phone.await("CALL_CLOSED")
	phone.command("quit", "")
	if code := phone.exit(); code != 0 {
		t.Errorf("baresip ended with exit code %d", code)
	}
	r := b.finish(hungUpByCaller)[0]
	if r.From != caller || r.To != called || r.Codec != "PCMU" {
		t.Errorf("the record says %+v", r)
	}
	if m := r.Media; m.A.Rx < 200 || m.A.Tx < 200 || m.B.Rx < 200 || m.B.Tx < 200 {
		t.Errorf("packets: %+v; want at least 200 each way on each side", m)
	}
	echoes(t, phone, r)
}

// hearsEcho waits until the softphone has received 200 packets of its own words after the
// simulator's greeting.
func (p *baresip) hearsEcho() {
	p.t.Helper()
	greeting := len(sim.Greeting("")) / frame
	eventually(p.t, "the echo is heard", func() bool { return p.loud() >= greeting+200 })
}

// echoes checks that a softphone has heard part of the simulator's greeting, and after that 200
// packets of its own words. If its processor is busy, a softphone may skip packets; the record says
// whether all of them were sent to it.
func echoes(t *testing.T, phone *baresip, r record.Record) {
	t.Helper()
	heard, greeting := codes(audio.ULaw, phone.heard()), codes(audio.ULaw, sim.Greeting(r.SynthflowCallID))
	isHeard(t, "greeting and echo", append(slices.Clone(greeting), phone.said()...), heard, len(greeting)/frame+200)
	if compare(greeting, heard).known == 0 {
		t.Errorf("of the greeting's %d packets none is heard", len(greeting)/frame)
	}
	if n := compare(phone.said(), heard).known; n < 200 {
		t.Errorf("%d packets of the echo are heard; want 200 at least", n)
	}
	relayed(t, r)
}

// hearEachOther checks that two softphones, which have ended, have heard each other for at least
// two seconds.
func hearEachOther(t *testing.T, one, two *baresip) {
	t.Helper()
	isHeard(t, "the caller hears", two.said(), codes(audio.ULaw, one.heard()), 100)
	isHeard(t, "the other one hears", one.said(), codes(audio.ULaw, two.heard()), 100)
}
