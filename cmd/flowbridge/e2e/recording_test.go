//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"flowbridge/sim"
	"flowbridge/store/record"
)

// recordingSetup returns a setup in which calls are recorded in both formats.
func recordingSetup(route string) setup {
	return setup{trunk: fromLoopback, route: ", " + route, recording: "{path: recordings, format: [wav, pcapng]}"}
}

// post sends a request to the admin API and returns the answer's status and body.
func (s *server) post(path, body string) (int, string) {
	s.t.Helper()
	res, err := client.Post(s.admin+path, "application/json", strings.NewReader(body))
	must(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(s.t, err)
	s.fits(res, text)
	return res.StatusCode, strings.TrimSpace(string(text))
}

// orders is like post, for an order that must be carried out, with this state afterwards.
func (s *server) orders(path, body, state string) {
	s.t.Helper()
	if status, text := s.post("/api/calls/"+s.calls()[0].ID+path, body); status != http.StatusOK || text != state {
		s.t.Errorf("%s: %d %s; want %s", path, status, text, state)
	}
}

// download returns a recording, by the API.
func (s *server) download(f record.Recording) []byte {
	s.t.Helper()
	res, err := client.Get(s.admin + "/api/recordings/" + f.File)
	must(s.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || int64(len(b)) != f.Bytes {
		s.t.Fatalf("%s: %s, %d bytes of %d, %v", f.File, res.Status, len(b), f.Bytes, err)
	}
	return b
}

// channels returns both channels of a WAV.
func channels(t *testing.T, wav []byte) (left, right []int16) {
	t.Helper()
	if len(wav) < wavHeader || string(wav[:4]) != "RIFF" || int(binary.LittleEndian.Uint32(wav[40:])) != len(wav)-wavHeader {
		t.Fatalf("no WAV, or another size than its header says: % x", wav[:min(len(wav), wavHeader)])
	}
	for i := wavHeader; i+4 <= len(wav); i += 4 {
		left = append(left, int16(binary.LittleEndian.Uint16(wav[i:])))
		right = append(right, int16(binary.LittleEndian.Uint16(wav[i+2:])))
	}
	return left, right
}

// tshark reads a capture.
func tshark(t *testing.T, file string, args ...string) []string {
	t.Helper()
	cmd := exec.Command("tshark", append([]string{"-n", "-r", file}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark, of the package of that name: %v\n%s", err, stderr.Bytes())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// streams returns the lost packets of each RTP stream in a capture.
func streams(t *testing.T, file string) (lost []string) {
	t.Helper()
	for _, line := range tshark(t, file, "-q", "-z", "rtp,streams") {
		if _, rest, found := strings.Cut(line, " 0x"); found {
			for field := range strings.FieldsSeq(rest) {
				if strings.HasSuffix(field, "%)") {
					lost = append(lost, field)
				}
			}
		}
	}
	return lost
}

// isHeard listens to the only call as soon as it is answered. heard waits for its end, and returns both sides.
func (s *server) isHeard(token string) (heard func() (caller, agent []int16)) {
	s.t.Helper()
	var res *http.Response
	eventually(s.t, "the call can be heard", func() bool {
		path := "/api/calls/" + s.calls()[0].ID + "/audio"
		if local, err := client.Get(s.admin + path); err != nil || local.Body.Close() != nil || local.StatusCode != http.StatusForbidden {
			s.t.Errorf("without a token: %v %v; want 403", local, err)
		}
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.admin+path, nil)
		must(s.t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err = client.Do(req)
		must(s.t, err)
		if res.StatusCode != http.StatusOK {
			_ = res.Body.Close()
		}
		return res.StatusCode == http.StatusOK
	})
	return func() (caller, agent []int16) {
		wav, err := io.ReadAll(res.Body)
		must(s.t, err)
		must(s.t, res.Body.Close())
		binary.LittleEndian.PutUint32(wav[40:], uint32(len(wav)-wavHeader)) // not known when the stream began
		return channels(s.t, wav)
	}
}

// TestRecordedCall records the call of a softphone. The left channel has the softphone's words, the
// right one the agent's. The capture has both legs' SIP and RTP without loss.
func TestRecordedCall(t *testing.T) {
	s := newStage(t)
	s.simulate()
	o := recordingSetup("record: always")
	token := filepath.Join(s.TempDir(), "token")
	must(t, os.WriteFile(token, []byte("listener"), 0o600))
	b := startPredecessor(t, t.TempDir(), replaceOnce(t, s.config(o), `admin: {listen: "127.0.0.1:0"}`,
		fmt.Sprintf(`admin: {listen: "127.0.0.1:0", local: operate, tokens: [{name: anna, file: %q, rights: read, listen: true}]}`, token)))
	b.targets, s.server = []uint16{s.agent.Port()}, b
	words := softWords(51)
	phone := s.startBaresip(words)
	phone.calls(s.to())
	heard, before := b.isHeard("listener"), phone.loud()
	phone.hearsEcho()
	eventually(t, "there is something for the listener", func() bool { return phone.loud() >= before+150 })
	if live := b.calls()[0]; len(live.Recordings) != 3 || !live.Recordings[0].EndedAt.IsZero() {
		t.Errorf("live: %+v", live.Recordings)
	}
	phone.hangUp()
	r := b.records(hungUpByCaller)[0]
	if len(r.Recordings) != 3 {
		t.Fatalf("recordings: %+v", r.Recordings)
	}
	if l := r.Recordings[2]; l.By != "anna" || l.Format != record.FormatLive || l.Error != "the call has ended" {
		t.Errorf("the listener: %+v", l)
	}
	for _, f := range r.Recordings[:2] {
		length := f.EndedAt.Sub(f.StartedAt.Time)
		if f.Error != "" || f.Dropped != 0 || length < 4*time.Second || length > r.EndedAt.Sub(r.StartedAt.Time) {
			t.Errorf("%+v of a call from %v to %v", f, r.StartedAt, r.EndedAt)
		}
	}
	if listed := get[record.Recording](b, "/api/calls/"+r.ID+"/recordings"); !slices.Equal(listed, r.Recordings) {
		t.Errorf("listed are %+v", listed)
	}
	left, right := channels(t, b.download(r.Recordings[0]))
	caller, agent := heard()
	if n := len(caller); n < 2*8000 {
		t.Errorf("the listener has heard %d samples", n)
	} else if _, score := sim.Match(left, caller[n-12000:n-4000]); score < likeness {
		t.Errorf("the listener has not heard the softphone: likeness %.2f", score)
	} else if _, score := sim.Match(right, agent[n-12000:n-4000]); score < likeness {
		t.Errorf("the listener has not heard the agent: likeness %.2f", score)
	}
	if _, score := sim.Match(left, words[8000:20000]); score < likeness {
		t.Errorf("the left channel has not the softphone's words: likeness %.2f", score)
	}
	if _, score := sim.Match(right, sim.Greeting(r.SynthflowCallID)); score < likeness {
		t.Errorf("the right channel has not the agent's greeting: likeness %.2f", score)
	}
	if _, score := sim.Match(left, sim.Greeting(r.SynthflowCallID)); score >= likeness {
		t.Errorf("the left channel has the greeting, too: likeness %.2f", score)
	}
	file := filepath.Join(b.dir, "recordings", r.Recordings[1].File)
	if lost := streams(t, file); !slices.Equal(lost, []string{"(0.0%)", "(0.0%)"}) {
		t.Errorf("lost of each stream: %v; want nothing of two", lost)
	}
	calls := map[string]bool{}
	for _, id := range tshark(t, file, "-Y", "sip", "-T", "fields", "-e", "sip.Call-ID") {
		calls[id] = true
	}
	if len(calls) != 2 || !calls[r.SIPCallID] || !calls[r.TargetSIPCallID] {
		t.Errorf("the capture has the calls %v", calls)
	}
	if bad := tshark(t, file, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-Y",
		"ip.checksum.status == 0 || udp.checksum.status == 0 || _ws.malformed"); len(bad) > 1 || bad[0] != "" {
		t.Errorf("malformed:\n%s", strings.Join(bad, "\n"))
	}
	b.nothingLeft()
	b.stop()
}

// TestMaskedKeys makes a softphone press keys before, while and after they are masked. The agent
// and the capture get only the keys before and after.
func TestMaskedKeys(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(recordingSetup("record: on_demand, mask_dtmf: on_demand"))
	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	phone := s.startBaresip(softWords(52))
	phone.calls(s.to())
	agent.confirmed(1)
	eventually(t, "the agent hears the caller", func() bool { return len(two.heard()) > 10 })
	b.orders("/recording/start", "", `{"recording":"on","masked":false}`)
	phone.command("sndcode", "12")
	eventually(t, "the agent gets the digits", func() bool { return two.digits() == "12" })
	b.orders("/mask", `{"on":true}`, `{"recording":"on","masked":true}`)
	phone.command("sndcode", "4789")
	masked := func() string { return strings.Join(b.events(t), "") }
	eventually(t, "all keys are in the capture", func() bool { return strings.Count(masked(), "*") >= 4 })
	b.orders("/mask", `{"on":false}`, `{"recording":"on","masked":false}`)
	phone.command("sndcode", "#")
	eventually(t, "the agent gets the last digit", func() bool { return strings.HasSuffix(two.digits(), "#") })
	if got := two.digits(); got != "12#" {
		t.Errorf("the agent got the digits %q; want 12#", got)
	}
	b.orders("/recording/stop", "", `{"recording":"off","masked":false}`)
	eventually(t, "the recording is written", func() bool { return !b.calls()[0].Recordings[1].EndedAt.IsZero() })
	if got := masked(); got != "12****#" {
		t.Errorf("the capture has the keys %q; want 12****#", got)
	}
	phone.hangUp()
	agent.finish()
	b.finish(hungUpByCaller)
}

// events returns the keys in the capture of the only call, finished or not, each once.
func (s *server) events(t *testing.T) (keys []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "recordings/*/*/*/*.pcapng*"))
	if err != nil || len(files) != 1 {
		return nil
	}
	seen := map[string]bool{}
	for _, line := range tshark(t, files[0], "-Y", "rtpevent.end_of_event == 1", "-T", "fields", "-e", "rtp.timestamp", "-e", "rtpevent.event_id") {
		timestamp, id, _ := strings.Cut(line, "\t")
		var n int
		if _, err := fmt.Sscan(id, &n); err == nil && !seen[timestamp] && n < 16 {
			seen[timestamp] = true
			keys = append(keys, "0123456789*#ABCD"[n:n+1])
		}
	}
	return keys
}

// TestKilledWhileRecording: the part that was recorded before the process was killed can be played
// after the next start.
func TestKilledWhileRecording(t *testing.T) {
	s := newStage(t)
	s.simulate()
	o := recordingSetup("record: always")
	b := s.serve(o)
	words := softWords(53)
	phone := s.startBaresip(words)
	phone.calls(s.to())
	phone.hearsEcho()
	b.signal(syscall.SIGKILL)
	<-b.done
	again := startServer(t, b.dir, s.config(o))
	r := again.cdrs()[0]
	if len(r.Recordings) != 2 || r.Recordings[0].Error != "the process was killed" || r.Recordings[0].EndedAt.IsZero() {
		t.Errorf("recordings: %+v", r.Recordings)
	}
	wav, err := os.ReadFile(filepath.Join(b.dir, "recordings", r.Recordings[0].File))
	must(t, err)
	if f := r.Recordings[0]; f.Bytes != int64(len(wav)) || f.EndedAt.Sub(f.StartedAt.Time) < 3*time.Second {
		t.Errorf("%+v; the file has %d bytes", f, len(wav))
	}
	left, _ := channels(t, wav)
	if _, score := sim.Match(left, words[8000:16000]); score < likeness {
		t.Errorf("the left channel has not the softphone's words: likeness %.2f", score)
	}
	if lost := streams(t, filepath.Join(b.dir, "recordings", r.Recordings[1].File)); len(lost) != 2 {
		t.Errorf("lost of each stream: %v; want two", lost)
	}
	phone.kill()
	again.stop()
}

// TestEncryptedRecordings: files of a call that outlives a kill are encrypted. The operator's key decrypts both parts.
func TestEncryptedRecordings(t *testing.T) {
	s := newStage(t)
	s.simulate()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	o := recordingSetup("record: always")
	o.recording = fmt.Sprintf("{path: recordings, format: [wav, pcapng], recipients: [%s]}", key.Recipient())
	o.listen = []string{"udp://" + s.freePort(s.b2bua).String()} // the same for both processes
	s.server = s.serve(o)
	must(t, os.WriteFile(filepath.Join(s.server.dir, "key.txt"), []byte(key.String()+"\n"), 0o600))
	words := softWords(53)
	phone := s.startBaresip(words)
	phone.calls(s.to())
	phone.hearsEcho()
	eventually(t, "more than one chunk is written", func() bool { return s.server.calls()[0].Recordings[0].Bytes > 64<<10 })
	again := s.restart(o)
	phone.hearsEcho()
	phone.hangUp()
	r := again.records(hungUpByCaller)[0]
	if len(r.Recordings) != 4 {
		t.Fatalf("recordings: %+v", r.Recordings)
	}
	for i, f := range r.Recordings {
		b := again.download(f)
		if !strings.HasSuffix(f.File, "."+f.Format+".age") || !bytes.HasPrefix(b, []byte("age-encryption.org/v1\n")) {
			t.Errorf("%s begins with %q", f.File, b[:min(len(b), 22)])
		}
		said := operator(t, again.dir, 0, "recordings", "decrypt", "recordings/"+f.File, "--identity", "key.txt", "-o", f.Format)
		if killed := i < 2; strings.Contains(said, "its end is missing") != killed {
			t.Errorf("%s: %s", f.File, said)
		}
		plain := filepath.Join(again.dir, f.Format)
		if f.Format == "wav" {
			wav, err := os.ReadFile(plain)
			must(t, err)
			left, _ := channels(t, wav)
			if _, score := sim.Match(left, words[8000:16000]); score < likeness && i < 2 {
				t.Errorf("%s has not the softphone's words: likeness %.2f", f.File, score)
			}
		} else if lost := streams(t, plain); len(lost) != 2 {
			t.Errorf("%s: lost of each stream: %v; want two", f.File, lost)
		}
		must(t, os.Remove(plain))
	}
	again.stop()
}
