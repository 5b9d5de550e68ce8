package transaction

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (k kind) String() string {
	return [...]string{"INVITE client", "other client", "INVITE server", "other server"}[k]
}

func (s state) String() string {
	return [...]string{"trying", "proceeding", "completed", "confirmed", "accepted", "terminated"}[s]
}

func (i input) String() string {
	return [...]string{"1xx", "2xx", "refusal", "request", "ACK", "due", "unsent"}[i]
}

func (a action) String() string {
	var all []string
	for i, name := range []string{"pass", "resend", "ack", "expired", "over"} {
		if a&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, "+")
}

// at is the current time of a table in these tests. It is not zero, because zero means no deadline.
const at = instant(time.Hour)

// inState returns a machine in this state. again and end are its deadlines; 0 means that the deadline never comes.
func inState(k kind, s state, again, end time.Duration) machine {
	m := machine{kind: k, state: s, interval: T1, keep: Patience}
	if again != 0 {
		m.resendAt = at + instant(again)
	}
	if end != 0 {
		m.end = at + instant(end)
	}
	return m
}

// TestMachines: RFC 3261 figures 5 to 8 with the changes of RFC 6026, each state with each
// input over UDP. A row gives the next state and the actions, "-" where the input is
// ignored. Deadlines: "resends" is a due retransmission, "ends" the last deadline.
func TestMachines(t *testing.T) {
	inputs := []string{"1xx", "2xx", "refusal", "request", "ACK", "resends", "ends", "unsent"}
	for _, tt := range []struct {
		kind  kind
		state state
		want  [8]string // next state and actions, by input
	}{
		{inviteClient, trying, [8]string{"proceeding pass", "terminated pass+over", "terminated pass+ack+over", "-", "-", "trying resend", "terminated expired+over", "terminated over"}},
		{inviteClient, proceeding, [8]string{"proceeding pass", "terminated pass+over", "terminated pass+ack+over", "-", "-", "", "", "terminated over"}},
		{otherClient, trying, [8]string{"proceeding pass", "terminated pass+over", "terminated pass+over", "-", "-", "trying resend", "terminated expired+over", "terminated over"}},
		{otherClient, proceeding, [8]string{"proceeding pass", "terminated pass+over", "terminated pass+over", "-", "-", "proceeding resend", "terminated expired+over", "terminated over"}},
		{inviteServer, proceeding, [8]string{"proceeding pass", "accepted pass", "completed pass", "proceeding resend", "-", "", "", "-"}},
		{inviteServer, completed, [8]string{"-", "-", "-", "completed resend", "confirmed ", "completed resend", "terminated over", "terminated over"}},
		{inviteServer, confirmed, [8]string{"-", "-", "-", "-", "-", "", "terminated over", "terminated over"}},
		{inviteServer, accepted, [8]string{"-", "accepted pass", "-", "-", "accepted pass", "", "terminated over", "-"}},
		{otherServer, trying, [8]string{"proceeding pass", "completed pass", "completed pass", "-", "-", "", "terminated over", "terminated over"}},
		{otherServer, proceeding, [8]string{"proceeding pass", "completed pass", "completed pass", "proceeding resend", "-", "", "terminated over", "terminated over"}},
		{otherServer, completed, [8]string{"-", "-", "-", "completed resend", "-", "", "terminated over", "terminated over"}},
	} {
		for i, name := range inputs {
			want := tt.want[i]
			if want == "" {
				continue // this state has no such deadline
			}
			in, m := input(i), inState(tt.kind, tt.state, 0, time.Second)
			switch name {
			case "resends":
				in, m = due, inState(tt.kind, tt.state, -time.Millisecond, time.Second)
			case "ends":
				in, m = due, inState(tt.kind, tt.state, -time.Millisecond, -time.Millisecond)
			case "unsent":
				in = unsent
			}
			before := m
			do := m.step(at, in)
			got := fmt.Sprintf("%v %v", m.state, do)
			if want == "-" {
				if do != 0 || m != before {
					t.Errorf("%v, %v: %s: %s, %+v; want it to be ignored", tt.kind, tt.state, name, got, m)
				}
				continue
			}
			if got != want {
				t.Errorf("%v, %v: %s: %s; want %s", tt.kind, tt.state, name, got, want)
			}
		}
	}
}

// TestTerminatedMachines: a terminated machine ignores all inputs.
func TestTerminatedMachines(t *testing.T) {
	for k := inviteClient; k <= otherServer; k++ {
		for in := provisional; in <= unsent; in++ {
			m := machine{kind: k, state: terminated}
			if do := m.step(at, in); do != 0 || m != (machine{kind: k, state: terminated}) {
				t.Errorf("%v: %v: %v", k, in, do)
			}
		}
	}
}

// deadlines lets a machine's deadlines expire for some time, and returns its actions with their times.
func deadlines(m *machine) (all []string) {
	for m.deadline() != 0 {
		now := m.deadline()
		all = append(all, fmt.Sprintf("%v %v", time.Duration(now-at).Truncate(100*time.Millisecond), m.step(now, due)))
	}
	return all
}

// TestTimers checks the machines' timers against RFC 3261 (table 4), over UDP and over a
// reliable transport.
func TestTimers(t *testing.T) {
	const udp, tcp = false, true
	for name, tt := range map[string]struct {
		kind     kind
		reliable bool
		inputs   []input
		want     string
	}{
		"A and B":                 {inviteClient, udp, nil, "500ms resend, 1.5s resend, 3.5s resend, 7.5s resend, 15.5s resend, 31.5s resend, 32s expired+over"},
		"B alone":                 {inviteClient, tcp, nil, "32s expired+over"},
		"no timer after 1xx":      {inviteClient, udp, []input{provisional}, ""},
		"E and F":                 {otherClient, udp, nil, "500ms resend, 1.5s resend, 3.5s resend, 7.5s resend, 11.5s resend, 15.5s resend, 19.5s resend, 23.5s resend, 27.5s resend, 31.5s resend, 32s expired+over"},
		"E after 1xx":             {otherClient, udp, []input{provisional}, "500ms resend, 4.5s resend, 8.5s resend, 12.5s resend, 16.5s resend, 20.5s resend, 24.5s resend, 28.5s resend, 32s expired+over"},
		"F alone":                 {otherClient, tcp, []input{provisional}, "32s expired+over"},
		"none before an answer":   {inviteServer, udp, []input{provisional}, ""},
		"G and H":                 {inviteServer, udp, []input{refusal}, "500ms resend, 1.5s resend, 3.5s resend, 7.5s resend, 11.5s resend, 15.5s resend, 19.5s resend, 23.5s resend, 27.5s resend, 31.5s resend, 32s over"},
		"H alone":                 {inviteServer, tcp, []input{refusal}, "32s over"},
		"I":                       {inviteServer, udp, []input{refusal, acknowledged}, "5s over"},
		"I over TCP":              {inviteServer, tcp, []input{refusal, acknowledged}, ""},
		"L":                       {inviteServer, udp, []input{success}, "32s over"},
		"L over TCP":              {inviteServer, tcp, []input{success}, "32s over"},
		"L after the ACK":         {inviteServer, udp, []input{success, acknowledged}, "5s over"},
		"J":                       {otherServer, udp, []input{success}, "32s over"},
		"J after 1xx":             {otherServer, udp, []input{provisional, refusal}, "32s over"},
		"J over TCP":              {otherServer, tcp, []input{success}, ""},
		"no answer to a request":  {otherServer, udp, nil, "1m4s over"},
		"no final answer, either": {otherServer, udp, []input{provisional}, "1m4s over"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine{kind: tt.kind, reliable: tt.reliable, keep: Patience}
			m.begin(at)
			for _, in := range tt.inputs {
				m.step(at, in)
			}
			if got := strings.Join(deadlines(&m), ", "); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestLateDeadlines: if a deadline is handled late, the next ones are not delayed. Missed retransmissions are not made
// up for.
func TestLateDeadlines(t *testing.T) {
	m := machine{kind: otherClient}
	m.begin(at)
	m.step(at+instant(600*time.Millisecond), due)
	if got := time.Duration(m.resendAt - at); got != 1500*time.Millisecond {
		t.Errorf("100 ms late: next at %v; want 1.5s", got)
	}
	m.step(at+instant(10*time.Second), due)
	if got := time.Duration(m.resendAt - at); got != 12*time.Second {
		t.Errorf("8.5 s late: next at %v; want 12s", got)
	}
}

// TestLateByAnInterval: if a retransmission is late by exactly the next interval, the next one is not due at once.
func TestLateByAnInterval(t *testing.T) {
	m := machine{kind: inviteClient, keep: T4}
	m.begin(at)
	now := at + instant(T1+2*T1)
	if do := m.step(now, due); do&resend == 0 || m.deadline() <= now {
		t.Errorf("1 s after Timer A: %v, due again after %v", do, time.Duration(m.deadline()-now))
	}
}

// TestMachineModel: for any inputs, a machine's user gets at most one final response or failure. The machine sends at
// most one final answer, apart from a 2xx of its user, and nothing after its end. It ends by itself when no more inputs
// come, unless an INVITE has no final answer.
func TestMachineModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := machine{
			kind: kind(rapid.IntRange(0, 3).Draw(t, "kind")), reliable: rapid.Bool().Draw(t, "reliable"), keep: T4,
		}
		now := at
		m.begin(now)
		finals, ended := 0, false
		step := func(in input) {
			was := m
			do := m.step(now, in)
			if ended && do != 0 {
				t.Fatalf("%v after the end: %v", in, do)
			}
			final := do&expired != 0 || (do&pass != 0 && (in == refusal || in == success) && was.state < completed)
			if final {
				finals++
			}
			if finals > 1 {
				t.Fatalf("a second final response by %v in %v", in, was.state)
			}
			if m.reliable && do&resend != 0 && in == due {
				t.Fatalf("%v is sent again over a reliable transport", m.kind)
			}
			if do&over != 0 {
				ended = true
			}
			if ended != (m.state == terminated) || (ended && m.deadline() != 0) {
				t.Fatalf("after %v: ended %v, %+v", in, ended, m)
			}
			if d := m.deadline(); d != 0 && in == due && d <= now {
				t.Fatalf("after its deadline, the next is %v ago", time.Duration(now-d))
			}
		}
		for _, in := range rapid.SliceOfN(rapid.IntRange(0, int(unsent)), 0, 20).Draw(t, "inputs") {
			if input(in) != due {
				step(input(in))
				now += instant(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "later"))
			}
			for m.deadline() != 0 && m.deadline() <= now {
				step(due)
			}
		}
		for range 100 {
			if m.deadline() == 0 {
				break
			}
			now = max(now, m.deadline())
			step(due)
		}
		waits := (m.kind == inviteClient || m.kind == inviteServer) && m.state == proceeding
		if !ended && !waits {
			t.Fatalf("%v does not end: %+v", m.kind, m)
		}
	})
}
