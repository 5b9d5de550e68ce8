//go:build e2e && interop

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"flowbridge/store/record"
)

// labTransfer is a transfer to an extension: who orders it, what the extension does, who hangs up first, and how it
// ends.
type labTransfer struct {
	by     string // API, tool, or REFER from the agent
	does   string // answers, is_busy, is_silent, rings; with an announcement: accepts, declines, listens
	leaves string // caller or extension
	code   int    // code with which the transfer ends
	second try
}

// transferMatrix combines each transfer with everyone who may order it.
func transferMatrix() (tries []labTry) {
	for _, by := range []string{"API", "tool", "REFER"} {
		for _, tr := range []labTransfer{
			{by, "answers", "caller", 200, try{"", 0, 200}},
			{by, "answers", "extension", 200, try{"", 0, 200}},
			{by, "is_busy", "caller", 486, try{"target_busy", 0, 486}},
			{by, "is_silent", "caller", 408, try{"ring_timeout", 0, 0}},
			{by, "rings", "caller", 487, try{"caller_hangup", 0, 0}},
			{by, "accepts", "caller", 200, try{"", 0, 200}},
			{by, "accepts", "extension", 200, try{"", 0, 200}},
			{by, "declines", "caller", 603, try{"target_refused", 0, 200}},
			{by, "listens", "caller", 487, try{"caller_hangup", 0, 200}},
			{by, "listens", "extension", 603, try{"agent_hangup", 0, 200}},
		} {
			if by != "REFER" || !tr.warm() { // a REFER can't have an announcement
				tries = append(tries, labTry{fmt.Sprintf("%s:_extension_%s,_%s_leaves", by, tr.does, tr.leaves), tr.run})
			}
		}
	}
	return tries
}

func (tr *labTransfer) warm() bool {
	return tr.does == "accepts" || tr.does == "declines" || tr.does == "listens"
}

// givenBack reports whether the caller talks to the agent again after the transfer.
func (tr *labTransfer) givenBack() bool { return tr.code != 200 && tr.code != 487 }

func (tr labTransfer) run(l *lab) {
	l.prepareCalls()
	two := l.newPhone(l.platform)
	var agent *sipp
	switch {
	case tr.by == "REFER":
		agent = l.transferrer(two.key(), "@TO@", "<tel:6002>", "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", "false", "@HOLDS@", "false")
	case tr.warm() && tr.givenBack():
		agent = l.agentPlays("given_back", two.key())
	default:
		agent = l.sippAgent("caller_hangup", two.key()...)
	}
	b, tool := l.commanded()
	answers := "auto"
	if tr.does == "is_busy" || tr.does == "is_silent" || tr.does == "rings" {
		answers = "manual"
	}
	other := l.extensionThat(answers, labPhone2, g711)
	phone := l.dials("CALL_ESTABLISHED")
	callID := agent.confirmed(1)[0]
	id, toB := b.calls()[0].ID, agent.rtpOf("INVITE ", 1)
	l.speakBothWays(phone, two, toB, 97)
	tr.order(l, agent, tool, id, callID)
	tr.react(l, phone, other)
	if tr.leaves == "extension" && tr.does == "listens" {
		other.command("hangup", "")
		other.await("CALL_CLOSED")
	}
	if tr.code != 487 {
		eventually(l.T, "the end of the transfer is told", func() bool { return tr.told(b, agent, id) })
	}
	switch {
	case tr.givenBack():
		other.quit()
		l.speakBothWays(phone, two, toB, 98)
		phone.hangUp()
	case tr.code == 487:
		leave(phone, other)
	default:
		agent.received("BYE ", 1)
		phone.hears(4 * time.Second)
		other.hears(4 * time.Second)
		if tr.leaves == "caller" {
			leave(phone, other)
		} else {
			leave(other, phone)
		}
		l.understands("the caller", phone, other)
		l.understands("the extension", other, phone)
	}
	agent.finish()
	ends := hungUpByCaller
	if tr.leaves == "extension" && tr.code == 200 {
		ends = hungUpByAgent
	}
	r := l.finish(b, transferred(ends, tr.second))[0]
	by := map[string]string{"API": "local", "tool": "support"}[tr.by]
	if a := r.Attempts[1]; a.Reason != record.ReasonTransfer || a.By != by || a.Target != "pbx" {
		l.Errorf("the second attempt is %+v; want one by %q", a, by)
	}
}

// commanded starts Flowbridge with the hook for agents' tools, and a trunk with a short ringing time.
func (l *lab) commanded() (*server, commands) {
	l.Helper()
	at := l.freeTCP(labFlowbridge.addr).String()
	c := commands{"http://" + at + "/commands", "an-agents-token-of-some-length"}
	token := filepath.Join(labFlowbridge.dir(l.T), "token")
	labFlowbridge.own(l.T, token, c.token)
	return l.bridge(
		"    sources: [192.168.10.2]\n", "    sources: [192.168.10.2]\n    ring_timeout: 4s\n", "ringing: on-target}", "ringing: on-target, hold: eu}",
		"routes:\n", fmt.Sprintf("hooks: {listen: %q, commands: [{name: support, token_file: %q, targets: [agent]}]}\nroutes:\n", at, token)), c
}

// order starts the transfer.
func (tr *labTransfer) order(l *lab, agent *sipp, tool commands, id, callID string) {
	l.Helper()
	body := map[string]any{"to": "6002"}
	if tr.warm() {
		body["announce"], body["accept"] = "beep", "1"
	}
	switch tr.by {
	case "REFER":
		agent.proceed(callID)
	case "tool":
		body["call"], body["do"] = callID, "transfer"
		if status, words := tool.says(l.T, body); status != http.StatusOK {
			l.Errorf("the tool is told %d %q", status, words)
		}
	default:
		text, err := json.Marshal(body)
		must(l, err)
		if status, text := l.server.post("/api/calls/"+id+"/transfer", string(text)); status != http.StatusAccepted {
			l.Errorf("the API says %d %s", status, text)
		}
	}
}

// react makes the extension do its part. The extension and the caller must not hear each other before it accepts.
func (tr *labTransfer) react(l *lab, phone, other *baresip) {
	l.Helper()
	if !tr.warm() {
		other.await(map[bool]string{true: "CALL_ESTABLISHED", false: "CALL_INCOMING"}[tr.does == "answers"])
		switch tr.does {
		case "is_busy":
			other.command("hangup", "") // the phone answers 486 while it rings
			other.await("CALL_CLOSED")
		case "is_silent":
			other.await("CALL_CLOSED")
		}
		return
	}
	other.await("CALL_ESTABLISHED")
	phone.hears(time.Second) // the hold tone
	other.hears(100 * time.Millisecond)
	if heardOf(phone, other.words)+heardOf(other, phone.words) > 0 {
		l.Error("caller and extension hear each other before the call is taken")
	}
	switch tr.does {
	case "accepts":
		other.command("sndcode", "1")
	case "declines":
		other.command("sndcode", "2")
		other.await("CALL_CLOSED")
	}
}

// told reports whether whoever ordered the transfer has learned its status: the agent by NOTIFY, all others by the API.
func (tr *labTransfer) told(b *server, agent *sipp, id string) bool {
	if tr.by == "REFER" {
		all := agent.count(true, "NOTIFY ")
		return len(all) > 0 && strings.HasPrefix(all[len(all)-1].body(), fmt.Sprintf("SIP/2.0 %d ", tr.code))
	}
	t := read[struct{ Transfer record.Transfer }](b, "/api/calls/"+id).Transfer
	return t.Code == tr.code && t.State == map[bool]string{true: "done", false: "failed"}[tr.code == 200]
}

// leave makes the first of two phones hang up on the other.
func leave(first, other *baresip) {
	first.t.Helper()
	first.hangUp()
	other.await("CALL_CLOSED")
	other.quit()
}
