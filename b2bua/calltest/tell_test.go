package calltest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/audio"
	"flowbridge/store/record"
)

// tellConfig has a route that tells its callers the tone eu, of 5 s, before the agent.
const tellConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "1"}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
routes:
  - {trunk: carrier, to: "^\\+1507", targets: [agent, spare], tell: {sound: eu}}
  - {trunk: carrier, name: people, to: "^\\+1509", targets: [spare]}
`

// statement is the length of the statement of tellConfig.
var statement = func() time.Duration { s, _ := audio.Tone("eu"); return s.Duration() }()

// saidWhole is what the media says of a whole statement that ends now.
func saidWhole() media.Sent {
	now := time.Now()
	return media.Sent{
		At: statement, Packets: int64(statement / (20 * time.Millisecond)),
		First: now.Add(-statement), Last: now.Add(-20 * time.Millisecond),
	}
}

// said lets the statement end, of which this was sent.
func (w *world) said(sent media.Sent) {
	w.t.Helper()
	s := w.relay.sessions[len(w.relay.sessions)-1]
	s.mu.Lock()
	s.sent[media.SideA] = sent
	id := s.plays[media.SideA].ID
	s.mu.Unlock()
	s.onEvent(media.EventPlayed{Side: media.SideA, ID: id, Sent: sent})
	synctest.Wait()
}

// hearsAll lets the caller hear the whole statement.
func (w *world) hearsAll() {
	w.t.Helper()
	time.Sleep(statement)
	w.said(saidWhole())
}

// hearsHalf lets the caller hear half of the statement.
func (w *world) hearsHalf() {
	time.Sleep(statement / 2)
	s := w.session()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[media.SideA] = media.Sent{
		At: statement / 2, Packets: 125, First: time.Now().Add(-statement / 2), Last: time.Now(),
	}
}

// takes lets a target take the call.
func (w *world) takes(agent *peer) {
	w.t.Helper()
	agent.answer(agent.expect("INVITE"), "agent1")
	agent.expect("ACK")
}

// replaced replaces the process in mid-call, by an upgrade or after a kill, and lets the caller repeat the ACK that no
// checkpoint had.
func (w *world) replaced(d *dialogue, upgraded bool) {
	w.t.Helper()
	if upgraded {
		w.upgraded()
		return
	}
	w.restart()
	if left := w.carrier.rest(); len(left) > 0 {
		w.carrier.ack(d)
	}
}

// reconfigured is tellConfig, in which these texts are replaced, for the next process.
func (w *world) reconfigured(pairs ...string) {
	w.t.Helper()
	env := func(string) (string, bool) { return "secret", true }
	cfg, err := config.Parse("test.yaml", []byte(replacedOnce(tellConfig, pairs...)), env)
	must(w.t, err)
	w.options.Config = cfg
}

// usuallyAnswers makes known how long a target takes to answer.
func (w *world) usuallyAnswers(target string, after time.Duration) {
	for range 10 {
		w.admission.Peers.Load().CalleeNamed(target).AnsweredAfter(after)
	}
}

// isTold makes a call whose caller is answered, and hears the statement.
func (w *world) isTold(to string) *dialogue {
	w.t.Helper()
	d := w.carrier.newCall(to)
	w.carrier.invitesTillRung(d)
	w.carrier.isAnswered(d)
	w.tells()
	return d
}

// isToldEarly makes a call whose caller hears the statement in early media.
func (w *world) isToldEarly() *dialogue {
	w.t.Helper()
	d := w.carrier.newCall("+15075785607")
	w.carrier.invitesTillRung(d)
	d.learn(w.carrier.expect("SIP/2.0 183"))
	return d
}

// tells checks that the caller hears the statement and the agent nothing, and that the agent is held back.
func (w *world) tells() {
	w.t.Helper()
	synctest.Wait()
	s := w.relay.sessions[len(w.relay.sessions)-1]
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.plays[media.SideA]; p.Sound == nil || p.Sound.Duration() != statement || p.Loop || p.Mix || p.Yield {
		w.t.Errorf("the caller hears %+v", p)
	}
	if !s.held[media.SideB] {
		w.t.Error("the agent is not held back")
	}
}

// lets checks that the agent is no longer held back.
func (w *world) letsIn() {
	w.t.Helper()
	synctest.Wait()
	if s := w.relay.sessions[len(w.relay.sessions)-1]; s.held[media.SideB] {
		w.t.Error("the agent is held back")
	}
}

// A caller is answered and told, and then an agent is called, which gets the caller at once.
func TestCallerIsTold(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		d := w.isTold("+15075785607")
		time.Sleep(statement)
		if early := w.agent.rest(); len(early) > 0 {
			t.Fatalf("the agent is called before the statement's end: %v", early)
		}
		w.said(saidWhole())
		w.letsIn()
		invite := w.agent.expect("INVITE")
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		synctest.Wait()
		live := w.server.Live(context.Background())
		if len(live) != 1 || live[0].Phase != "bridged" || live[0].At != "agent" {
			t.Errorf("%+v", live)
		}
		w.carrier.hangsUpOn(w.agent, d)
		r := w.record()
		if r.Told == nil || !r.Told.Whole || r.Told.Sound != "eu" || r.Told.Packets != 250 || len(r.Told.SHA256) != 64 ||
			r.Told.ToMS-r.Told.FromMS != (statement-20*time.Millisecond).Milliseconds() {
			t.Errorf("told %+v", r.Told)
		}
		if r.Disposition != record.DispositionAnswered {
			t.Errorf("disposition %s", r.Disposition)
		}
	})
}

// An agent that usually answers after 3 s is called 3 s before the end of the statement. What it says before the end
// is held back.
func TestAgentIsCalledInTime(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		for range 10 {
			d := w.isTold("+15075785607")
			w.hearsAll()
			invite := w.agent.progresses(180, "Ringing", "agent1", "")
			time.Sleep(3 * time.Second)
			w.agent.answer(invite, "agent1")
			w.agent.expect("ACK")
			w.carrier.hangsUpOn(w.agent, d)
			w.record()
		}
		d := w.isTold("+15075785607")
		time.Sleep(statement - 3*time.Second - time.Millisecond)
		if early := w.agent.rest(); len(early) > 0 {
			t.Fatalf("the agent is called too early: %v", early)
		}
		time.Sleep(2 * time.Millisecond)
		invite := w.agent.progresses(180, "Ringing", "agent1", "")
		time.Sleep(2 * time.Second)
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.tells()
		time.Sleep(time.Second)
		w.said(saidWhole())
		w.letsIn()
		w.carrier.hangsUpOn(w.agent, d)
	})
}
