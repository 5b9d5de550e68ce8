//go:build e2e

package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowbridge/store/record"
)

// saidInCall is a ladder in the API's form.
type saidInCall struct {
	ID       string
	Live     bool
	Dropped  int
	Lanes    []struct{ Name, Kind string }
	Messages []struct {
		Kind, Summary, Method, Text, Transport string
		SIPCallID                              string `json:"sip_call_id"`
		Status                                 int
	}
	Talk *struct{ Caller, Agent [][2]int64 }
}

// get returns an answer of the admin API.
func (s *server) get(path string) (int, []byte) {
	s.t.Helper()
	res, err := client.Get(s.admin + path)
	must(s.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(s.t, err)
	return res.StatusCode, b
}

// said returns the ladder of a call.
func (s *server) said(id string) (l saidInCall) {
	s.t.Helper()
	status, b := s.get("/api/calls/" + id + "/ladder")
	if err := json.Unmarshal(b, &l); err != nil || status != http.StatusOK {
		s.t.Fatalf("%d %s: %v", status, b, err)
	}
	return l
}

// TestLadder makes SIPp call the simulator. During the call and after it, the API and the command show the messages on
// both sides and with the API. The capsule has the same messages as a capture that tshark can read. None of them
// contains a secret.
func TestLadder(t *testing.T) {
	s := newStage(t)
	s.simulate()
	b := s.serve(setup{})
	phone := s.newPhone(s.carrier)
	carrier := s.sippCarrier("caller_hangup", phone.key()...)
	ids := carrier.answered(1)
	live := b.calls()[0]
	if l := b.said(live.ID); !l.Live || len(l.Messages) < 10 || l.Messages[0].Method != "INVITE" {
		t.Errorf("live: %+v", l)
	}
	carrier.proceed(ids...)
	carrier.finish()
	r := b.records(hungUpByCaller)[0]
	eventually(t, "the ladder is in the file", func() bool { return !b.said(r.ID).Live })
	l := b.said(r.ID)
	var kinds []string
	for _, m := range l.Messages {
		kinds = append(kinds, m.Kind)
	}
	if !slices.Contains(kinds, "http") || !slices.Contains(kinds, "decision") || l.Dropped != 0 || l.Lanes[0].Kind != "caller" || l.Lanes[1].Kind != "self" {
		t.Errorf("ladder %+v; want http and decision, nothing dropped, lanes of caller and self first", l)
	}

	status, file := b.get("/api/calls/" + r.ID + "/capsule")
	if status != http.StatusOK {
		t.Fatalf("capsule: %d %s", status, file)
	}
	inside := unzipped(t, file)
	var record record.Record
	if err := json.Unmarshal(inside["call.json"], &record); err != nil || record.ID != r.ID || len(inside["README.txt"]) == 0 {
		t.Errorf("call.json: %v\n%s", err, inside["call.json"])
	}
	capture := filepath.Join(t.TempDir(), "messages.pcapng")
	must(t, os.WriteFile(capture, inside["messages.pcapng"], 0o600))
	invites := tshark(t, capture, "-Y", "sip.Method == INVITE", "-T", "fields", "-e", "sip.Call-ID")
	if want := []string{r.SIPCallID, r.TargetSIPCallID}; !slices.Equal(invites, want) {
		t.Errorf("INVITEs of %v; want %v", invites, want)
	}
	if http := tshark(t, capture, "-Y", "http", "-T", "fields", "-e", "http.request.uri", "-e", "http.response.code"); len(http) != 2 ||
		!strings.Contains(http[0], "/v2/prepare_inbound") || !strings.Contains(http[1], "200") {
		t.Errorf("HTTP: %v", http)
	}
	if bad := tshark(t, capture, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-Y",
		"ip.checksum.status == 0 || udp.checksum.status == 0 || tcp.checksum.status == 0 || _ws.malformed"); len(bad) > 1 || bad[0] != "" {
		t.Errorf("malformed:\n%s", strings.Join(bad, "\n"))
	}

	drawn := b.prints("calls", "ladder", r.ID, "--width", "100", "--messages", "--url", b.admin)
	for _, want := range []string{"INVITE", "POST /v2/prepare_inbound", "* the call ends", "X-EI: S." + r.SynthflowCallID, "BYE"} {
		if !strings.Contains(drawn, want) {
			t.Errorf("%q is not drawn:\n%s", want, drawn)
		}
	}
	asJSON := b.prints("calls", "ladder", r.ID, "--json", "--url", b.admin)
	for name, text := range map[string]string{"command": drawn + asJSON, "capsule": string(inside["ladder.json"]), "capture": string(inside["messages.pcapng"])} {
		if !strings.Contains(text, r.SIPCallID) {
			t.Errorf("the %s has not the call:\n%s", name, text)
		}
		if strings.Contains(text, apiToken) {
			t.Errorf("the %s shows the token", name)
		}
	}
	if status, text := b.get("/api/calls/none/ladder"); status != http.StatusNotFound {
		t.Errorf("no call: %d %s", status, text)
	}
	b.nothingLeft()
	b.stop()
}

// unzipped returns the files in a zip, by name.
func unzipped(t *testing.T, file []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	must(t, err)
	all := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		text, err := io.ReadAll(r)
		must(t, err)
		all[f.Name] = text
	}
	return all
}

// prints runs a command and returns its output.
func (s *server) prints(args ...string) string {
	s.t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}
