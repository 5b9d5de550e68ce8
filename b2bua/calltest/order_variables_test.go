package calltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/registry"
)

func (w *world) sets(id, refusal string, all map[string]string) registry.LiveCall {
	w.t.Helper()
	live, err := w.server.SetVariables(context.Background(), id, "anna", all)
	if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal) || code(err) == -1) {
		w.t.Errorf("%v: got %v; want %q", all, err, refusal)
	}
	return live
}

// Variables set during a call become headers of later legs, through templates and pass_headers, and replace the
// caller's values. They survive a kill and an upgrade, and are in the record.
func TestVariables(t *testing.T) {
	yaml := strings.Replace(orderConfig, "routes:\n", `  - name: human
    kind: sip
    uri: "sip:4711@192.0.2.21:32681"
    pass_headers: [X-Ticket, X-Mood]
    headers: {X-Why: '{{.Header "X-Why"}}'}
routes:
`, 1)
	for name, next := range map[string]func(w *world){"on and on": func(*world) {}, "kill": (*world).restart, "upgrade": (*world).upgraded} {
		runIn(t, name, yaml, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.extra = "X-Ticket: 1\nX-Mood: calm\nX-Why: nothing\n"
			in := w.carrier.ringsAt(w.agent, d)
			w.carrier.isTakenWith(w.agent, in, "agent1", d, agentSDP())
			d.extra = ""
			id := w.server.Live(context.Background())[0].Record.ID
			w.sets(id, "", map[string]string{"ticket": "4712", "why": " billing & more ", "other": "x"})
			live := w.sets(id, "", map[string]string{"Ticket": "4711", "MOOD": "", "other": ""})
			want := map[string]string{"Ticket": "4711", "why": "billing & more"}
			if !maps.Equal(live.Record.Variables, want) {
				w.t.Errorf("set are %v", live.Record.Variables)
			}
			time.Sleep(time.Second)
			next(w)
			synctest.Wait()
			w.transfers(toNumber("human"), "")
			called := w.agent2.expect("INVITE")
			if got := called.value("X-Ticket") + "|" + called.value("X-Why") + "|" + called.value("X-Mood"); got != "4711|billing & more|" ||
				strings.Count(strings.ToLower(called.raw), "\r\nx-ticket:") != 1 {
				w.t.Errorf("got %s:\n%s", got, called.raw)
			}
			w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			if r := w.callerEnds(w.agent2, d); !maps.Equal(r.Variables, want) {
				w.t.Errorf("the record has %v", r.Variables)
			}
		})
	}
}

// Variables that a placed call could not have are refused. So are all variables before the answer and after the end of
// a call.
func TestVariablesRefused(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		in := w.carrier.ringsAt(w.agent, d)
		id := w.server.Live(context.Background())[0].Record.ID
		if _, err := w.server.SetVariables(context.Background(), id, "anna", map[string]string{"a": "b"}); err == nil ||
			!strings.Contains(err.Error(), "has no agent yet") {
			t.Errorf("before the answer: got %v", err)
		}
		w.carrier.isTakenWith(w.agent, in, "agent1", d, agentSDP())
		most := map[string]string{}
		for i := range 64 {
			most[fmt.Sprint("n", i)] = "v"
		}
		w.sets(id, "", most)
		w.sets(id, "more than 64", map[string]string{"one": "more"})
		w.sets(id, "", map[string]string{"n1": ""})
		w.sets(id, "", map[string]string{"one": "more"})
		for _, bad := range []map[string]string{{"": ""}, {"a b": ""}, {"": "x"}, {"a b": "x"}, {"a": "x\r\nVia: y"}, {"a:": "x"}, {strings.Repeat("a", 61): "x"}} {
			w.sets(id, "not a variable or header", bad)
		}
		w.sets(id, "bytes of them", map[string]string{"n1": strings.Repeat("x", 9000)})
		if r := w.callerEnds(w.agent, d); len(r.Variables) != 64 || r.Variables["one"] != "more" {
			t.Errorf("the record has %v", r.Variables)
		}
		if _, err := w.server.SetVariables(context.Background(), id, "anna", most); !errors.Is(err, b2bua.ErrNoCall) {
			t.Errorf("a call that is over: got %v", err)
		}
	})
}
