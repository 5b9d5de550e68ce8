package calltest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/store/record"
)

// story is a world in which a script is played. A line begins with the party that acts: carrier, agent or spare, or e
// and far for the two ends of a call. Semicolons separate steps, a # begins a comment, and headers follow a bar.
//
//	carrier: calls 15085785607 late | Supported: timer   sends an INVITE; "late": without a session description
//	agent: gets INVITE (0 8 101) | CSeq: 1 INVITE        expects the next message, with these properties (see has)
//	agent: says 486 b | Reason: Q.850;cause=34           answers the last request; b is the To tag
//	agent: says 200 (8 101 :44000 sendonly) to INVITE    answers with SDP: formats, port and direction
//	far: says BYE                                        sends a request within the dialog
//	carrier: acks, pracks (8 101), cancels, gives up     sends ACK, PRACK or CANCEL; "gives up" also expects the 487;
//	                                                     "acks late": acknowledges the answer before the last one
//	agent: takes b (8 101), ceases                       answers 200, expects ACK; or expects CANCEL, answers 487
//	carrier: hangs up on spare                           sends BYE, spare answers it, and the record is checked
//	far: is left for dialog_lost                         expects our BYE for this cause
//	e: hears nothing for 30s                             no RTP comes from either end
//	e: hears :44002 held                                 checks the media's settings for e, by default the initial ones
//	agent: listens, accepts, connects, resets, closes    acts on TCP; "leaves": closes its listener
//	agent: has UDP, has TCP, has another                 continues over UDP, the newest connection, or the one before
//	up: agent                                            sets up a call, which the agent has accepted
//	agent: busy                                          answers 486, which the carrier and the record must get
//	media: 192.0.2.11:40000                              checks where the media of side B is sent
//	server: hangs up ; restarts ; is replaced            ends all calls; is killed and restarted; is upgraded
//	server: waits: why ; leaves nothing                  an upgrade is refused for this reason; a kill leaves no call
//	operator: calls 20s ; hangs up ; ends it             places a call with this answer_within; hangs up; also checks it
//	connections: held ; released                         connections that the server opens wait; no longer wait
//	agent: silent 1s ; drains 1s ; +1s                   gets nothing; discards what it gets; waits
//	agent: took 7s ; lasted 7s                           time since anybody last said something; since the call began
//	carrier: repeats ; repeats call                      sends its last request again; sends its INVITE again
//	carrier: says INFO {Signal=5} | Content-Type: x      sends a request with this body
//	agent: refers to <tel:4711> ; notified 180 active    sends REFER; expects a NOTIFY
//	carrier: presses 12                                  sends keys as telephone-events, which the relay does not pass on
//	operator: presses 12# ; is told 1 of 3 keys          sends keys to the called side; checks the result, such as "yes"
//	carrier: changed 96>101                              checks how the media converts the carrier's packets
//	agent: transcoded 111 as 0 keys 110                  checks its transcoding (see actor.transcoded), by default none
//	places: 1                                            checks how many transcoders calls have reserved
//	played: a hears nothing                              checks sounds since the last check (see world.hears)
//	platform: takes 3s ; fails prepare_timeout 500       sets how the API behaves before an INVITE
//	platform: was asked 2                                checks how often the API was asked
//	record: busy target_busy agent | Q850: 17            expects the record, with these fields
//	record: hung up by e                                 expects the record of a call that e has hung up
type story struct {
	w      *world
	actors map[string]*actor
	began  time.Time
	said   time.Time
	calls  int
	step              // the step that is being played
	over   bool       // the call's record has been checked
	placed string     // the id of a placed call
	told   chan error // gets the result of an operator's keys
}

func (w *world) story() *story {
	s := &story{w: w, actors: map[string]*actor{}}
	for name, a := range map[string]*actor{
		"carrier": {p: w.carrier, side: media.SideA, at: carrierAddr, port: 20000, tag: "human"},
		"agent":   {p: w.agent, side: media.SideB, at: agentAddr, port: 30000, tag: "agent1"},
		"spare":   {p: w.agent2, side: media.SideB, at: agent2Addr, port: 30000, tag: "b"},
	} {
		a.ways = []*peer{a.p}
		a.story, a.name, a.was, a.got = s, name, map[string]string{}, map[string]received{}
		s.actors[name] = a
	}
	return s
}

// tell plays every story of a text in its own world. A line "== name" begins a story, and a line "with: old => new"
// changes the configuration. The steps before the first story are played at the beginning of each story. If the text
// mentions ends, a story begins with an established call, and is played for each end of the call as e, with re-INVITE
// and UPDATE as METHOD.
func tell(t *testing.T, yaml string, stories string) { t.Helper(); tellAll(t, yaml, stories, nil) }

func tellEnds(t *testing.T, yaml, stories string) {
	t.Helper()
	tellAll(t, yaml, stories, []string{"carrier", "agent"})
}

func tellAll(t *testing.T, yaml, stories string, ends []string) {
	t.Helper()
	all := strings.Split("\n"+strings.TrimSpace(stories)+"\n", "\n== ")
	for _, text := range all[1:] {
		name, script, _ := strings.Cut(text, "\n")
		script = all[0] + "\n" + script
		methods, whose := []string{"INVITE"}, ends
		if strings.Contains(script, "METHOD") {
			methods = append(methods, "UPDATE")
		}
		if ends == nil {
			whose = []string{""}
		}
		for _, method := range methods {
			for _, e := range whose {
				tellOne(t, name+" "+e+" "+method, yaml, strings.ReplaceAll(script, "METHOD", method), e)
			}
		}
	}
}

func tellOne(t *testing.T, name, yaml, script, e string) {
	t.Helper()
	for line := range strings.Lines(script) {
		if change, is := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "with: "); is {
			old, other, _ := strings.Cut(change, " => ")
			if !strings.Contains(yaml, old) {
				t.Fatalf("%s: %q is not in the configuration", name, old)
			}
			yaml = strings.ReplaceAll(yaml, old, strings.ReplaceAll(other, `\n`, "\n"))
		}
	}
	t.Run(name, func(t *testing.T) {
		inSlowWorld(t, yaml, func(w *world) {
			s := w.story()
			if e != "" {
				s.ends(e)
			}
			s.play(script)
			if e != "" && !s.over {
				s.play("carrier: hangs up on agent")
			}
		})
	})
}

// ends sets up a call, and makes one of its ends the actor e, the other one far.
func (s *story) ends(e string) {
	s.play("up: agent")
	s.actors["e"], s.actors["far"] = s.actors["carrier"], s.actors["agent"]
	if e == "agent" {
		s.actors["e"], s.actors["far"] = s.actors["agent"], s.actors["carrier"]
	}
}

func (s *story) play(script string) {
	s.w.t.Helper()
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(line, "# ")
		who, steps, _ := strings.Cut(strings.TrimSpace(line), ": ")
		for step := range strings.SplitSeq(steps, " ; ") {
			if who != "" && who != "with" {
				s.do(who, strings.ReplaceAll(strings.TrimSpace(step), `\;`, ";"))
			}
		}
	}
}

// step is a parsed step of a script.
type step struct {
	words   []string // the words outside parentheses, braces and headers
	session string   // the text in parentheses
	has     bool     // there are parentheses
	body    string   // the text in braces
	headers []string // headers, each after a bar
}

func readStep(text string) (st step) {
	parts := strings.Split(text, " | ")
	parts[0], st.body, _ = strings.Cut(strings.TrimSuffix(parts[0], "}"), " {")
	st.headers = parts[1:]
	if begin := strings.Index(parts[0], "("); begin >= 0 {
		end := strings.Index(parts[0], ")")
		st.session, st.has = parts[0][begin+1:end], true
		parts[0] = parts[0][:begin] + parts[0][end+1:]
	}
	st.words = strings.Fields(parts[0])
	return st
}

func (s *story) do(who, text string) {
	t, failed := s.w.t, s.w.t.Failed()
	t.Helper()
	defer func() {
		if !failed && t.Failed() {
			t.Logf("in %s: %s", who, text)
		}
	}()
	if s.step = readStep(text); s.actors[who] != nil {
		s.actors[who].does(text)
		return
	}
	switch words := s.words; who {
	case "up": // sets up a call to the agent or spare
		s.play("carrier: calls " + map[string]string{"agent": "15075785607", "spare": "15095785607"}[text] + " ; gets 180\n" +
			text + ": gets INVITE ; takes\ncarrier: gets 200 ; acks")
	case "media":
		if got := s.w.session().peers[media.SideB].RTP.String(); got != text {
			t.Errorf("media of side B goes to %s; want %s", got, text)
		}
	case "places":
		want, _ := strconv.Atoi(text)
		s.w.wantPlaces(want)
	case "played":
		s.w.hears(slices.DeleteFunc(strings.Split(text, " | "), func(s string) bool { return s == "nothing" })...)
	case "platform":
		s.platform(words)
	case "connections":
		if words[0] == "held" {
			s.w.holdDials = make(chan struct{})
		} else {
			close(s.w.holdDials)
		}
	case "server":
		s.server(text)
	case "operator":
		s.operator(words)
	case "record":
		if words[0] == "hung" {
			s.actors[words[3]].hungUp(s.headers)
			return
		}
		s.over = true
		s.wantFields(s.w.wantRecord(words[0], cause.Cause(words[1]), words[2]), s.headers)
	default:
		t.Fatalf("who is %q?", who)
	}
}

func (s *story) server(does string) {
	s.w.t.Helper()
	switch synctest.Wait(); does {
	case "hangs up":
		s.w.server.HangupAll()
	case "restarts":
		s.w.restart()
	case "is replaced":
		must(s.w.t, s.w.upgrade())
	case "leaves nothing":
		if left := s.w.die(); len(left) != 0 {
			s.w.t.Errorf("%d calls are left", len(left))
		}
		s.w.begin(nil)
	default: // the upgrade must fail for this reason
		if err := s.w.upgrade(); !isStopped(err, strings.TrimPrefix(does, "waits: ")) {
			s.w.t.Errorf("the upgrade says %v; want %s", err, does)
		}
	}
}

// operator carries out an operator's step: it places a call, with the carrier as the party called first, hangs it up,
// or sends keys.
func (s *story) operator(words []string) {
	s.w.t.Helper()
	if words[0] == "hangs" {
		go func() { _, _ = s.w.server.Order(context.Background(), s.placed, bridge.OrderHangup) }()
		return
	}
	if words[0] == "ends" { // "ends it": the hangup's result is checked
		s.w.hungUp(s.w.onlyID())
		return
	}
	switch words[0] {
	case "presses":
		id := s.w.onlyID()
		s.told = make(chan error, 1)
		go func() {
			_, err := s.w.server.Press(context.Background(), id, bridge.DigitsRequest{Side: media.SideB, Digits: words[1]})
			s.told <- err
		}()
		return
	case "is": // "is told": checks the result of the keys
		if got, want := fmt.Sprint(<-s.told), strings.Join(words[2:], " "); !strings.HasPrefix(got, want) {
			s.w.t.Errorf("the operator is told %q; want %q", got, want)
		}
		return
	}
	o := origination()
	if len(words) > 1 {
		o.AnswerWithin = s.duration(words[1])
	}
	live, invite := s.w.originates(o)
	s.placed = live.Record.ID
	s.actors["carrier"].learn(invite)
}

// platform sets how the platform's API behaves when it is asked before an INVITE.
func (s *story) platform(words []string) {
	switch words[0] {
	case "takes":
		s.w.prepare.after = s.duration(words[1])
		return
	case "was":
		if n := len(s.w.prepare.asked); strconv.Itoa(n) != words[2] {
			s.w.t.Errorf("%d calls were prepared; want %s", n, words[2])
		}
		return
	}
	status, _ := strconv.Atoi(words[2])
	s.w.prepare.err = &outbound.PrepareError{Cause: cause.Cause(words[1]), Status: status, Err: sdp.ErrNoCodec}
}

func (s *story) since(begin time.Time, want string) {
	s.w.t.Helper()
	if d := time.Since(begin); d != s.duration(want) {
		s.w.t.Errorf("took %v; want %s", d, want)
	}
}

func (s *story) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	must(s.w.t, err)
	return d
}

// macros are steps that expand to several other steps. LAST stands for the step's last word.
var macros = map[string]string{ //nolint:gochecknoglobals // constant
	"ceases": "gets CANCEL ; says 200 to CANCEL ; says 487 ; gets ACK",
	"is":     "gets BYE | Reason: ~LAST ; says 200",
	"busy":   "says 486 ; gets ACK\ncarrier: gets 486 ; acks\nrecord: busy target_busy agent | FIELDS",
	"refers": "says REFER | Refer-To: LAST ; gets 202 | Contact: * ; notified 100 active",
}

// does carries out one step of the actor.
func (a *actor) does(text string) {
	a.w.t.Helper()
	st := a.step
	verb, last := st.words[0], st.words[len(st.words)-1]
	session := "(" + st.session + ")"
	if !st.has {
		session = ""
	}
	switch {
	case verb == "pracks":
		a.play(a.name + ": says PRACK " + session + " ; gets 200 | CSeq: ~PRACK")
	case verb == "takes":
		if session == "" && !strings.Contains(text, " bare") {
			session = "()"
		}
		st.words[0] = "says 200 " + session
		a.play(a.name + ": " + strings.Join(append([]string{strings.Join(st.words, " ")}, st.headers...), " | ") + " ; gets ACK")
	case macros[verb] != "":
		a.play(a.name + ": " + strings.NewReplacer("LAST", last, " | FIELDS", strings.Join(append([]string{""}, st.headers...), " | ")).Replace(macros[verb]))
	case verb[0] == '+':
		time.Sleep(a.duration(verb[1:]))
	case a.signals(verb), a.moves(verb):
	default:
		a.w.t.Fatalf("nobody can do %q", text)
	}
}

// wantFields checks fields of a record. The field for attempts has the form "target cause".
func (s *story) wantFields(r record.Record, fields []string) {
	s.w.t.Helper()
	if s.placed != "" {
		if r.ID != s.placed || r.SIPCallID != s.actors["carrier"].invite.value("Call-ID") {
			s.w.t.Errorf("the record is of %s, %s; want the call that was placed, %s", r.ID, r.SIPCallID, s.placed)
		}
		s.w.leftOpen()
	}
	for _, f := range fields {
		name, want, _ := strings.Cut(f+" ", ": ")
		want = strings.TrimSpace(want)
		got := ""
		if name == "tried" {
			got = strings.Join(r.Attempts[0].Tried, ", ")
		} else if name == "sent" {
			got = fmt.Sprint(r.Attempts[0].Transport, " ", r.Attempts[0].DroppedHeaders)
		} else if name == "reached" {
			var all []string
			for _, a := range r.Attempts {
				all = append(all, strings.TrimSpace(fmt.Sprint(a.Target, " ", a.SIPStatus, " ", a.Reason)))
			}
			got = strings.Join(all, ", ")
		} else if name == "attempts" {
			var all []string
			var sum int64
			for _, a := range r.Attempts {
				sum += a.MS
				all = append(all, strings.TrimSpace(a.Target+" "+a.Cause))
			}
			got = strings.Join(all, ", ")
			if whole := r.EndedAt.Sub(r.StartedAt.Time).Milliseconds(); sum != whole && r.AnsweredAt.IsZero() {
				s.w.t.Errorf("attempts took %d ms of %d", sum, whole)
			}
		} else if v := reflect.ValueOf(r).FieldByName(name); !v.IsValid() || !v.IsZero() || want != "" {
			got = fmt.Sprint(v)
		}
		if got != want {
			s.w.t.Errorf("the record's %s is %q; want %q", name, got, want)
		}
	}
}
