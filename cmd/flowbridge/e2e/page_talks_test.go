//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"flowbridge/media/audio"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// microphoneWords returns what the browsers' microphone says again and again.
func microphoneWords() []int16 { return sim.SpeechLike(7001, 4*time.Second) }

// keepsTalk makes the page keep what its calls receive: window.heard has the last samples as they are played, at 8 kHz,
// and window.gap the longest time without a packet since it was set to 0, in milliseconds.
const keepsTalk = `(() => {
	window.heard = [];
	window.gap = 0;
	const Real = RTCPeerConnection;
	window.RTCPeerConnection = class extends Real {
		constructor(...more) {
			super(...more);
			window.pc = this;
			this.addEventListener('track', ({ track }) => {
				const context = new AudioContext({ sampleRate: 8000 });
				const node = context.createScriptProcessor(1024, 1, 1);
				context.createMediaStreamSource(new MediaStream([track])).connect(node);
				node.connect(context.destination);
				node.onaudioprocess = ({ inputBuffer }) => {
					const samples = Array.from(inputBuffer.getChannelData(0), (v) => Math.round(v * 32767));
					window.heard = window.heard.concat(samples).slice(-48000);
				};
			});
			let packets = 0, at = Date.now();
			setInterval(async () => {
				for (const s of (await this.getStats()).values()) {
					if (s.type !== 'inbound-rtp') continue;
					if (s.packetsReceived !== packets) at = Date.now();
					packets = s.packetsReceived;
					window.gap = Math.max(window.gap, Date.now() - at);
				}
			}, 20);
		}
	};
	return 0;
})()`

// fallsSilent makes the page believe after 0.3 s without a word that the node is gone, and not after 40 s.
const fallsSilent = `(() => {
	const real = window.setTimeout;
	window.setTimeout = (f, ms, ...more) => real(f, ms === 40000 ? 300 : ms, ...more);
	return 0;
})()`

// servesBrowsers starts the B2BUA with a trunk of browsers. again starts it once more after it was killed.
func (s *stage) servesBrowsers(o setup) (b *server, token string, again func() *server) {
	s.Helper()
	token = "the-token-of-anna"
	file := filepath.Join(s.TempDir(), "token")
	must(s, os.WriteFile(file, []byte(token), 0o600))
	o.listen = []string{"udp://" + s.freePort(s.b2bua).String()} // the addresses of the next process
	config := replaceOnce(s.T, s.config(o), `admin: {listen: "127.0.0.1:0"}`, fmt.Sprintf(
		"admin: {listen: %q, local: operate, tokens: [{name: anna, file: %s, rights: read, call: true}]}",
		s.freeTCP(s.b2bua), file))
	config = replaceOnce(s.T, config, "\ntrunks:\n", "\ntrunks:\n  - {name: browser, browser: true}\n")
	config = replaceOnce(s.T, config, "\nroutes:\n", "\nroutes:\n  - {trunk: browser, targets: [synthflow], hold: eu}\n")
	s.server = startServer(s.T, s.TempDir(), config)
	s.server.trunk = "browser"
	return s.server, token, func() *server {
		s.server.kill()
		s.server = startServer(s.T, s.server.dir, config)
		s.server.trunk = "browser"
		return s.server
	}
}

// talker is a page that calls.
type talker struct{ *tab }

// pressesTalk opens the page and presses Talk.
func (s *stage) pressesTalk(token string) talker {
	s.Helper()
	page := talker{newTab(s.T)}
	page.open(s.server.admin + "/#/talk?to=%2B" + called[1:])
	page.reads("You may not call.")
	page.click("#token")
	page.shows(`document.querySelector('#ask-token').open`)
	page.run(chromedp.SendKeys(chromedp.CSS("#ask-token input"), token+kb.Enter))
	page.shows(`!document.querySelector('main form button.main').disabled`)
	value[int](page.tab, keepsTalk)
	value[int](page.tab, fallsSilent)
	page.press("Talk")
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("the page shows %s\nand says\n%s", page.text(), page.figures())
		}
	})
	return page
}

// figures returns the states of the page's last call.
func (page talker) figures() string {
	text, _ := chromedp.Run(page.ctx, chromedp.Evaluate[string](`(async () => JSON.stringify([
		window.pc?.connectionState, window.pc?.remoteDescription?.sdp,
		...[...(await window.pc?.getStats())?.values() ?? []].filter((s) => /candidate|transport|rtp/.test(s.type)),
	], null, 1))()`, chromedp.EvalAwaitPromise))
	return text
}

// hears waits until the page hears sound that is right, from now on.
func (page talker) hears(what string, right func(heard []int16) bool) {
	page.Helper()
	value[int](page.tab, `(window.heard = [], 0)`)
	eventually(page.T, "the page hears "+what, func() bool { return right(value[[]int16](page.tab, `window.heard`)) })
}

// saying returns whether sound has these words: half of their pieces of 250 ms. A browser leaves out pieces, or
// stretches what is between them. It also takes noise away and sets levels, so the likeness of what its microphone says
// is 0.7 and more, and of other words, below 0.5.
func saying(words []int16) func([]int16) bool {
	return func(heard []int16) bool {
		found, of := 0, 0
		for piece := range slices.Chunk(words, audio.Rate/4) {
			if _, score := sim.Match(heard, piece); score >= 0.6 {
				found++
			}
			of++
		}
		return 2*found >= of
	}
}

// ringing returns whether sound has a pure tone.
func ringing(hertz float64) func([]int16) bool {
	return func(heard []int16) bool {
		for part := range slices.Chunk(heard, audio.Rate/5) {
			if len(part) == audio.Rate/5 && level(part, hertz) > max(1000, 20*level(part, hertz+200)) {
				return true
			}
		}
		return false
	}
}

// hearsMicrophone waits until the side hears the words of the page's microphone, from now on.
func (d *side) hearsMicrophone() {
	d.Helper()
	before, words := len(d.hears()), microphoneWords()[audio.Rate:3*audio.Rate]
	eventually(d.T, "the words of the microphone are heard", func() bool {
		all := d.hears()[before:]
		return saying(words)(samplesOf(audio.ULaw, payloads(all[max(0, len(all)-400):])))
	})
}

// keys returns the keys whose telephone-events have ended (RFC 4733 section 2.3).
func (d *side) keys() string {
	var keys []byte
	ended := map[uint32]bool{} // by timestamp
	for _, p := range d.hears() {
		if p.PayloadType == 101 && len(p.Payload) == 4 && p.Payload[1]&0x80 != 0 && !ended[p.Timestamp] {
			ended[p.Timestamp] = true
			keys = append(keys, "0123456789*#ABCD"[p.Payload[0]&15])
		}
	}
	return string(keys)
}

// repeats makes the side say some words again and again, until it is stopped.
func (d *side) repeats(words []int16) (stop func()) {
	ends := make(chan struct{})
	var speaking sync.WaitGroup
	speaking.Go(func() { d.saysUntil(slices.Repeat(words, int(patience*audio.Rate/time.Second)/len(words)), ends) })
	stop = sync.OnceFunc(func() { close(ends); speaking.Wait() })
	d.Cleanup(stop)
	return stop
}

// pause returns the longest time between two arrivals.
func pause(all []arrival) (longest time.Duration) {
	for i := 1; i < len(all); i++ {
		longest = max(longest, all[i].at.Sub(all[i-1].at))
	}
	return longest
}

// ends checks the record of the only call, and stops the B2BUA.
func (s *stage) ends(w want) record.Record {
	s.Helper()
	r := s.server.records(w)[0]
	eventually(s.T, "nothing is left of the call", func() bool {
		return len(s.server.calls()) == 0 && s.server.portsInUse() == 0
	})
	s.server.stop()
	if r.From != "anna" || r.To != called || r.Media.A.SRTP == "" {
		s.Errorf("the record says %+v, media %+v", r, r.Media)
	}
	return r
}

// TestPageTalks calls by the page of a real browser. Its microphone is heard by the agent, and the agent by the page,
// also after a hold and a transfer. The agent gets the keys. In the end the party that has taken the call hangs up, and
// the page says so.
func TestPageTalks(t *testing.T) {
	s := newPreparedStage(t)
	calleeAt := s.freePort(s.stranger)
	b, token, _ := s.servesBrowsers(s.transfers("local", calleeAt))
	two, three := s.newSide(s.platform, audio.ULaw, ""), s.newSide(s.stranger, audio.ULaw, "")
	callee := s.agentAt(calleeAt, "human", three.key(), "@BY@", "agent")
	agent := s.transferrer(two.key(), "@TO@", fmt.Sprintf("<sip:bob@%v>", calleeAt), "@EXTRA@", "", "@STATUS@", "202",
		"@LEAVES@", "false", "@HOLDS@", "false")
	page := s.pressesTalk(token)
	two.meets(agent.received("INVITE ", 1)[0])
	id := agent.confirmed(1)
	greeting, others := sim.Words(7002)[:2*audio.Rate], sim.Words(7003)[:2*audio.Rate]
	quiet := two.repeats(greeting)
	page.hears("the greeting", saying(greeting))
	two.hearsMicrophone()
	page.reads("In call with synthflow.")

	const keys = "47#"
	for _, k := range keys {
		page.press(string(k))
	}
	eventually(t, "the agent gets the keys", func() bool { return two.keys() == keys })

	live := b.calls()[0].ID
	b.prints("calls", "hold", live, "--url", b.admin)
	page.reads("On hold.")
	page.hears("the tone of a hold", ringing(425))
	b.prints("calls", "resume", live, "--url", b.admin)
	page.hears("the agent after the hold", saying(greeting))
	two.hearsMicrophone()

	agent.proceed(id...)
	invite := callee.received("INVITE ", 1)[0]
	callee.proceed(invite.header("Call-ID"))
	callee.received("ACK ", 1)
	agent.finish()
	quiet()
	three.meets(invite)
	quiet = three.repeats(others)
	page.hears("who has taken the call", saying(others))
	three.hearsMicrophone()
	quiet()
	callee.proceed(invite.header("Call-ID"))
	callee.finish()
	page.reads("The call has ended: the platform hung up, or the party that took the call after a transfer.")
	s.ends(transferred(hungUpByAgent, try{"", 0, 200}))
}

// TestPageTalksOn: the call of a page outlives its process, killed or replaced. Afterwards the page still hangs up.
func TestPageTalksOn(t *testing.T) {
	s := newPreparedStage(t)
	_, token, again := s.servesBrowsers(setup{})
	two := s.newSide(s.platform, audio.ULaw, "")
	agent := s.agentPlays("described", []string{"-aa"}, "@SDP@", two.sdp())
	page := s.pressesTalk(token)
	two.meets(agent.received("INVITE ", 1)[0])
	agent.confirmed(1)
	page.reads("In call with synthflow.")
	words := sim.Words(7010)[:2*audio.Rate]
	quiet := two.repeats(words)
	for _, change := range []struct {
		name    string
		happens func()
	}{{"nothing", func() {}}, {"a kill", func() { again() }}, {"an upgrade", func() { s.server.upgrade() }}} {
		before := len(two.heard())
		value[int](page.tab, `(window.gap = 0, 0)`)
		change.happens()
		page.hears("the agent", saying(words))
		two.hearsMicrophone()
		t.Logf("after %s: the page was without a packet for %d ms, the agent for %d ms", change.name,
			value[int](page.tab, `window.gap`), pause(two.heard()[max(before-1, 0):]).Milliseconds())
	}
	quiet()
	page.press("Hang up")
	page.reads("You have hung up.")
	agent.finish()
	if r := s.ends(hungUpByCaller); r.Restored != 1 {
		t.Errorf("restored %d times", r.Restored)
	}
}
