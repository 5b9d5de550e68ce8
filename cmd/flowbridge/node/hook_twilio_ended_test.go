package node

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/testlog"
	"flowbridge/sim/synthflow"
	"flowbridge/store"
	"flowbridge/store/record"
)

const followConfig = `
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m}
media: {listen: [127.0.0.1]}
targets:
  - {name: first, kind: sip, uri: "sip:{{.To.Number}}@127.0.0.1:5071", headers: {X-EI: "{{.SIPCallID}}", X-Attempt: "{{.Attempt}}"}, transfer: local, transfer_numbers: ["^\\+15075785[0-9]{3}$"], transfer_hosts: [pbx.example.com]}
  - {name: unready, kind: synthflow, uri: "sip:{{.To.Number}}@127.0.0.1:5072", prepare: {api: "http://127.0.0.1:9", token_env: SIM_TOKEN, model_id: demo-agent, workspace_id: demo, timeout: 1s}}
  - {name: broken, kind: sip, uri: "sip:{{.To.Number}}@127.0.0.1:5074", headers: {X-Broken: '{{if eq .SIPCallID "CA1"}}{{"\x01"}}{{end}}'}}
  - {name: second, kind: synthflow, uri: "sip:{{.To.Number}}@127.0.0.1:5073", prepare: {api: "%s", token_env: SIM_TOKEN, model_id: demo-agent, workspace_id: demo}, headers: {X-EI: "S.{{.Prepare.CallID}};", X-Attempt: "{{.Attempt}}"}}
hooks:
  listen: "127.0.0.1:0"
  twilio: {url: "http://127.0.0.1:9", targets: [%s], follow: true, fallback: "<Response><Say>Later.</Say><Hangup/></Response>"}
store: {path: %q}
admin: {listen: "127.0.0.1:0"}
`

// followStage is a node whose webhook the test asks as Twilio does.
type followStage struct {
	*Node
	t    *testing.T
	path string
	log  *testlog.Log
}

func newFollowStage(t *testing.T, targets string) *followStage {
	t.Helper()
	platform, err := synthflow.Start(t.Context(), synthflow.Options{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { platform.Close() })
	s := &followStage{t: t, path: filepath.Join(t.TempDir(), "calls.db"), log: &testlog.Log{}}
	cfg, err := config.Parse("follow.yaml", fmt.Appendf(nil, followConfig, platform.APIURL(), targets, s.path), func(string) (string, bool) {
		return platform.Token(), true
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Node, err = Start(t.Context(), cfg, zerolog.New(s.log), Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.Node != nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if strings.Contains(s.log.String(), platform.Token()) {
			t.Errorf("the token is in\n%s", s.log)
		}
	})
	return s
}

// asked is what Twilio is told.
type asked struct {
	Dial *struct {
		Action string `xml:"action,attr"`
		Method string `xml:"method,attr"`
		Refer  string `xml:"referUrl,attr"`
		Sip    string
		Number string `xml:",chardata"`
	}
	Say    string
	Hangup *struct{}
	Reject *struct{}
}

func (a asked) String() string {
	switch {
	case a.Dial != nil:
		return "dial " + a.Dial.Sip + a.Dial.Number
	case a.Say != "":
		return "say"
	case a.Hangup != nil:
		return "hangup"
	default:
		return "other"
	}
}

// ask posts a form as Twilio does, at a path with its query.
func (s *followStage) ask(path string, form url.Values) (a asked) {
	s.t.Helper()
	res, err := http.PostForm("http://"+s.hookAt()+path, form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil {
		err = xml.Unmarshal(body, &a)
	}
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%d %s: %v", res.StatusCode, body, err)
	}
	return a
}

// call has a call come in.
func (s *followStage) call(sid string) asked {
	s.t.Helper()
	return s.ask("/redirect_call", url.Values{"CallSid": {sid}, "Called": {"+15075785607"}, "From": {"+15550100001"}})
}

// ended tells the end of what was dialled; more are names and values.
func (s *followStage) ended(a asked, sid string, more ...string) asked {
	s.t.Helper()
	if a.Dial == nil || a.Dial.Method != "POST" {
		s.t.Fatalf("%v: nothing was dialled that has an end", a)
	}
	action, ok := strings.CutPrefix(a.Dial.Action, "http://127.0.0.1:9")
	if !ok {
		s.t.Fatalf("action %s", a.Dial.Action)
	}
	form := url.Values{"CallSid": {sid}, "CallStatus": {"in-progress"}}
	for pair := range slices.Chunk(more, 2) {
		form.Set(pair[0], pair[1])
	}
	return s.ask(action, form)
}

// records waits for so many of them, the newest first.
func (s *followStage) records(count int) []record.Record {
	s.t.Helper()
	for {
		if err := s.store.Flush(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		switch all, _, err := s.store.List(s.t.Context(), record.Filter{Limit: 100}); {
		case err != nil || len(all) > count:
			s.t.Fatalf("%d records, %v; want %d\n%s", len(all), err, count, s.log)
		case len(all) == count:
			return all
		}
		time.Sleep(time.Millisecond)
	}
}

// attemptsText is what a record says of its attempts.
func attemptsText(r record.Record) string {
	var all []string
	for _, a := range r.Attempts {
		all = append(all, fmt.Sprintf("%s %d %s", a.Target, a.SIPStatus, a.Cause))
	}
	return strings.Join(all, ", ")
}

const (
	dialFirst  = "dial sip:+15075785607@127.0.0.1:5071?X-EI=CA1&X-Attempt=1"
	dialSecond = "dial sip:+15075785607@127.0.0.1:5073?X-EI=S."
)

// Every way for an attempt to end: what the caller gets, and what the record
// says when that was the end of the call.
func TestTwilioFollowed(t *testing.T) {
	for name, tt := range map[string]struct {
		dial, call, code string // what Twilio says of what it dialled, and of the call
		said             string // disposition, status, q850, cause, who; empty: the call goes on
		attempt          string
	}{
		"agent hangs up":                  {"completed", "in-progress", "200", "answered 200 16 agent_hangup agent", "200 agent_hangup"},
		"caller hangs up":                 {"completed", "completed", "", "answered 200 16 caller_hangup caller", "0 caller_hangup"},
		"answered":                        {"answered", "in-progress", "200", "answered 200 16 agent_hangup agent", "200 agent_hangup"},
		"busy":                            {"busy", "in-progress", "486", "busy 486 17 target_busy agent", "486 target_busy"},
		"busy, without a code":            {"busy", "in-progress", "", "busy 0 17 target_busy agent", "0 target_busy"},
		"declined":                        {"failed", "in-progress", "603", "failed 603 21 target_refused agent", "603 target_refused"},
		"not found":                       {"failed", "in-progress", "404", "failed 404 1 target_refused agent", "404 target_refused"},
		"unavailable":                     {"no-answer", "in-progress", "480", "no_answer 480 18 target_refused agent", "480 target_refused"},
		"caller gives up":                 {"canceled", "completed", "487", "cancelled 487 31 caller_cancelled caller", "487 caller_cancelled"},
		"caller gives up, as no answer":   {"no-answer", "completed", "", "cancelled 487 31 caller_cancelled caller", "0 caller_cancelled"},
		"caller gives up after a failure": {"failed", "completed", "503", "cancelled 487 31 caller_cancelled caller", "503 target_error"},
		"server error":                    {"failed", "in-progress", "503", "", ""},
		"time-out":                        {"no-answer", "in-progress", "408", "", ""},
		"rang too long":                   {"no-answer", "in-progress", "487", "", ""},
		"no answer":                       {"no-answer", "in-progress", "", "", ""},
		"unreachable":                     {"failed", "in-progress", "", "", ""},
		"not challenged":                  {"failed", "in-progress", "401", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFollowStage(t, "first, second")
			to := s.call("CA1")
			if to.String() != dialFirst {
				t.Fatalf("got %v", to)
			}
			if _, _, err := s.hooks.unpreparedCall(t.Context(), "CA1"); !errors.Is(err, errNotOver) {
				t.Errorf("reported before its end: %v", err)
			}
			form := []string{"DialCallStatus", tt.dial, "CallStatus", tt.call, "DialSipResponseCode", tt.code, "DialCallDuration", "1"}
			if tt.said != "" {
				form = append(form, "DialSipCallId", "x@y")
			}
			then := s.ended(to, "CA1", form...)
			if tt.said == "" {
				if s.records(0); !strings.HasPrefix(then.String(), dialSecond) {
					t.Errorf("got %v; want %s", then, dialSecond)
				}
				return
			}
			if then.String() != "hangup" {
				t.Errorf("got %v; want hangup", then)
			}
			r := s.records(1)[0]
			if ours, target, err := s.hooks.unpreparedCall(t.Context(), "CA1"); err != nil || ours != r.ID || target != "first" {
				t.Errorf("reported: %q at %q, %v", ours, target, err)
			}
			if got := fmt.Sprintf("%s %d %d %s %s", r.Disposition, r.SIPStatus, r.Q850, r.Cause, r.EndedBy); got != tt.said || attemptsText(r) != "first "+tt.attempt {
				t.Errorf("got  %s; %s\nwant %s; %s", got, attemptsText(r), tt.said, "first "+tt.attempt)
			}
			if r.Route != "hooks.twilio" || r.Trunk != "" || r.Target != "first" || r.Direction != "inbound" || r.From != "+15550100001" || r.To != "+15075785607" ||
				r.Lead != r.From || r.SIPCallID != "CA1" || r.TargetSIPCallID != "x@y" || r.ExternalID != "CA1" || r.SynthflowCallID != "" || r.Node == "" ||
				!strings.Contains(to.Dial.Action, r.ID) || r.Attempts[0].SIPCallID != "x@y" || r.Attempts[0].StartedAt.IsZero() {
				t.Errorf("record %+v", r)
			}
			if r.StartedAt.IsZero() || r.DialedAt.Before(r.StartedAt.Time) || r.EndedAt.Before(r.DialedAt.Time) || !r.PreparedAt.IsZero() ||
				r.AnsweredAt.IsZero() != (r.Disposition != record.DispositionAnswered) {
				t.Errorf("times of %+v", r)
			}
			if again := s.ended(to, "CA1", "DialCallStatus", "failed"); again.String() != then.String() {
				t.Errorf("asked again: %v", again)
			}
			s.records(1)
		})
	}
}

// The next target is prepared again, the ones that can't be are noted, and the one
// that takes the call is the record's.
func TestTwilioFailover(t *testing.T) {
	s := newFollowStage(t, "unready, first, broken, second")
	first := s.call("CA1")
	if first.String() != strings.Replace(dialFirst, "Attempt=1", "Attempt=2", 1) {
		t.Fatalf("got %v", first)
	}
	second := s.ended(first, "CA1", "DialCallStatus", "failed", "DialSipResponseCode", "503", "DialSipCallId", "x@1")
	if !strings.HasPrefix(second.String(), dialSecond) || !strings.HasSuffix(second.Dial.Sip, "X-Attempt=4") || !strings.HasSuffix(second.Dial.Action, "attempt=4") {
		t.Fatalf("got %v, %s", second, second.Dial.Action)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(second.String(), dialSecond), ";")
	// Twilio asks twice, and of an attempt before: nothing changes.
	for range 2 {
		if again := s.ended(first, "CA1", "DialCallStatus", "completed"); again.Dial == nil || *again.Dial != *second.Dial {
			t.Errorf("asked again: %v", again)
		}
	}
	// A report comes before the end is told, and of the agent of before there is none.
	if ours, target, err := s.hooks.preparedCall(t.Context(), id); err != nil || target != "second" || !strings.Contains(second.Dial.Action, ours) {
		t.Errorf("reported: %q at %q, %v", ours, target, err)
	}
	if ours, _, err := s.hooks.unpreparedCall(t.Context(), "CA1"); err != nil || ours != "" {
		t.Errorf("reported of the target that did not take it: %q, %v", ours, err)
	}
	s.records(0)
	if then := s.ended(second, "CA1", "DialCallStatus", "completed", "DialSipResponseCode", "200", "DialSipCallId", "x@2"); then.String() != "hangup" {
		t.Errorf("at the end: %v", then)
	}
	r := s.records(1)[0]
	if r.Target != "second" || r.TargetSIPCallID != "x@2" || r.SynthflowCallID != id || r.ExternalID != "" || r.PreparedAt.IsZero() ||
		attemptsText(r) != "unready 0 prepare_failed, first 503 target_error, broken 0 template_failed, second 200 agent_hangup" ||
		r.Attempts[1].SIPCallID != "x@1" || r.Attempts[3].PrepareStatus != 200 {
		t.Errorf("record %+v", r)
	}
	for _, unknown := range [][2]string{
		{strings.Replace(second.Dial.Action, "attempt=4", "attempt=5", 1), "CA1"},
		{strings.Replace(second.Dial.Action, "attempt=4", "attempt=0", 1), "CA1"},
		{strings.Replace(second.Dial.Action, r.ID, "x", 1), "CA1"},
		{second.Dial.Action, "CA2"},
		{strings.Replace(second.Dial.Action, "attempt=4", "attempt=3", 1), "CA1"}, // it was never dialled
	} {
		a := second
		dial := *second.Dial
		dial.Action = unknown[0]
		a.Dial = &dial
		if then := s.ended(a, unknown[1], "DialCallStatus", "failed"); then.String() != "hangup" {
			t.Errorf("%v: got %v", unknown, then)
		}
	}
	s.records(1)
}

// Where no target takes the call the caller gets the fallback, and the record
// says why.
func TestTwilioNoTargetTakesIt(t *testing.T) {
	s := newFollowStage(t, "first, unready")
	if then := s.ended(s.call("CA1"), "CA1", "DialCallStatus", "no-answer", "DialSipResponseCode", "408"); then.String() != "say" {
		t.Errorf("got %v", then)
	}
	r := s.records(1)[0]
	if r.Disposition != record.DispositionFailed || r.Cause != "prepare_failed" || r.EndedBy != record.EndedBySystem || r.Target != "unready" ||
		attemptsText(r) != "first 408 target_error, unready 0 prepare_failed" {
		t.Errorf("record %+v", r)
	}
	s = newFollowStage(t, "unready")
	if then := s.call("CA1"); then.String() != "say" {
		t.Errorf("got %v", then)
	}
	if r := s.records(1)[0]; r.Cause != "prepare_failed" || !r.DialedAt.IsZero() || attemptsText(r) != "unready 0 prepare_failed" {
		t.Errorf("record %+v", r)
	}
	s = newFollowStage(t, "first")
	if then := s.ended(s.call("CA1"), "CA1", "DialCallStatus", "no-answer"); then.String() != "say" {
		t.Errorf("got %v", then)
	}
	if r := s.records(1)[0]; r.Cause != "ring_timeout" || r.Disposition != record.DispositionNoAnswer || r.SIPStatus != 0 || r.EndedBy != record.EndedBySystem {
		t.Errorf("record %+v", r)
	}
}

// Twilio asks for the same call again, at once: it is one call, prepared once.
func TestTwilioAsksTwice(t *testing.T) {
	s := newFollowStage(t, "second")
	var wg sync.WaitGroup
	answers := make([]asked, 8)
	for i := range answers {
		wg.Go(func() { answers[i] = s.call("CA1") })
	}
	wg.Wait()
	for _, a := range answers {
		if a.Dial == nil || *a.Dial != *answers[0].Dial {
			t.Errorf("got %v; want %v", a, answers[0])
		}
	}
	ends := make([]asked, 8)
	for i := range ends {
		wg.Go(func() { ends[i] = s.ended(answers[0], "CA1", "DialCallStatus", "completed") })
	}
	wg.Wait()
	for _, a := range ends {
		if a.String() != "hangup" {
			t.Errorf("got %v", a)
		}
	}
	s.records(1)
	if next := s.call("CA1"); next.Dial == nil || next.Dial.Action == answers[0].Dial.Action {
		t.Errorf("a call of the same name afterwards: got %v", next)
	}
}

// What is open when the process stops, or is killed, has a record all the same.
func TestTwilioInterrupted(t *testing.T) {
	s := newFollowStage(t, "first")
	s.call("CA1")
	if err := s.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := s.Node
	s.Node = nil
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all, _, err := db.List(t.Context(), record.Filter{Limit: 10})
	if err != nil || len(all) != 1 || len(db.Interrupted) != 0 {
		t.Fatalf("%+v, %v", all, err)
	}
	if r := all[0]; r.Disposition != record.DispositionInterrupted || r.Cause != "shutdown" || r.EndedBy != record.EndedBySystem ||
		attemptsText(r) != "first 0 shutdown" {
		t.Errorf("record %+v", r)
	}
	if _, err := n.hooks.redirects.Begin(t.Context(), template.Vars{CallID: "x"}, ""); err == nil {
		t.Error("a call begins after the end")
	}
}
