package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/media/audio"
	"flowbridge/sim"
)

// A file of silence is no words.
func TestSilentWords(t *testing.T) {
	c := &config.Conversation{Steps: []config.ConversationStep{{Wait: "words"}, {Say: "hello"}}}
	for peak, silent := range map[int16]bool{0: true, 16: true, 1000: false} {
		sound, err := audio.NewSound([]int16{0, peak, 0, peak, 0})
		if err != nil {
			t.Fatal(err)
		}
		c.Sounds = map[string]*audio.Sound{"hello": sound}
		if _, err = wordsOf(c); silent != (err != nil) || silent && cli.ExitCode(err) != 2 {
			t.Errorf("peak %d: %v", peak, err)
		}
	}
}

// busy refuses each call.
type busy struct{ party }

func (b *busy) NewCall(*sim.Incoming) sim.Handler { return b }
func (b *busy) Admit() (int, string)              { return 486, "Busy Here" }

// A capsule that can't be fetched fails its run, and takes no verdict from the others.
func TestCapsuleFails(t *testing.T) {
	agent, err := sim.OpenAgent(t.Context(), sim.AgentOptions{Name: "agent", RingFor: -1, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	agent.Serve(&busy{})
	c, err := config.ParseConversation("test.yaml", fmt.Appendf(nil, "to: sip:a@%s\nsteps: [{hang_up: true}]\n", agent.SIPAddr()))
	if err != nil {
		t.Fatal(err)
	}
	o := Calls{
		Repeat: 2, Parallel: 1, Out: filepath.Join(t.TempDir(), "out"), Each: func(*Run) {},
		Capsule: func(context.Context, string) ([]byte, error) { return nil, errors.New("no such call") },
	}
	runs, err := o.Place(t.Context(), c)
	if err != nil || len(runs) != 2 {
		t.Fatalf("%v, %+v", err, runs)
	}
	for i, r := range runs {
		if r.Run != i+1 || !strings.Contains(r.Failed, "486 Busy Here") || !strings.HasSuffix(r.Failed, "; no such call") {
			t.Errorf("%+v", r)
		}
		if _, err = os.Stat(filepath.Join(o.Out, r.CallID+".txt")); err != nil {
			t.Error(err)
		}
	}
}

// transferring greets, and transfers the call.
type transferring struct{ party }

func (p *transferring) NewCall(in *sim.Incoming) sim.Handler {
	in.Greets, in.Leaves, in.Refers = "Hello", true, &sim.Referral{To: "sip:+15075550123@192.0.2.1"}
	return p
}

// The REFER of an agent reaches the caller of the test. The test's own B2BUA places no call for it.
func TestTransfer(t *testing.T) {
	agent, err := sim.OpenAgent(t.Context(), sim.AgentOptions{Name: "agent", RingFor: -1, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	agent.Serve(&transferring{})
	c, err := config.ParseConversation("test.yaml", fmt.Appendf(nil,
		"to: sip:a@%s\nsteps: [{wait: hangup, within: 5m}]\nexpect: {transfer_to: \"+15075550123\", hangup_by: agent}\nlimit: 6m\n",
		agent.SIPAddr()))
	if err != nil {
		t.Fatal(err)
	}
	runs, err := (&Calls{Repeat: 1, Parallel: 1, Each: func(*Run) {}}).Place(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range judge(c, runs) {
		if v.Verdict != met || v.Name == "transfer_to" && v.Figure != "sip:+15075550123@192.0.2.1" {
			t.Errorf("%+v; %+v", v, runs)
		}
	}
}

// A test that does not say whom to call, or asks for what can't be seen, places no call.
func TestWhomToCall(t *testing.T) {
	for _, tt := range []struct{ file, server, wants string }{
		{"to: sip:a@127.0.0.1\n", "", ""},
		{"to: '+15075550199'\n", "127.0.0.1:5060", ""},
		{"", "", "whom to call?"},
		{"", "127.0.0.1:5060", "whom to call?"},
		{"target: a\n", "127.0.0.1:5060", "whom to call?"},
		{"to: '+15075550199'\n", "", "whom to call?"},
		{"to: sip:a@127.0.0.1\n", "127.0.0.1:5060", "whom to call?"},
		{"to: '1'\nexpect: {received X-A: b}\n", "127.0.0.1:5060", "only the server sees the agent's INVITE"},
	} {
		c, err := config.ParseConversation("test.yaml", []byte(tt.file+"steps: [{hang_up: true}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&Calls{Server: tt.server}).configure(c)
		if (tt.wants == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), tt.wants) || cli.ExitCode(err) != 2) {
			t.Errorf("%q, server %q: %v; want %q", tt.file, tt.server, err, tt.wants)
		}
	}
}
