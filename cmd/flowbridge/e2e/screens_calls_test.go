//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowbridge/media/opus"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// TestScreensOfCalls breaks the audio of calls while 30 others are up: a side that falls silent, silence of both with
// voices that can't be told from noise, late and early speech that is transcoded, no transcoder, a process that stood
// still, and one without CPU. What the screens say is compared with what the phones sent and heard.
func TestScreensOfCalls(t *testing.T) {
	c := newCrowd(t, map[string]func(c *partyCall){
		"+15070000001": func(c *partyCall) { // speaks, moves to another port, and is silent
			c.answers("200 OK", c.sdp())
			c.speaks(0, hissing, 2*time.Second)
			c.moves()
		},
		"+15070000002": func(c *partyCall) { // speaks, and then sends nothing, as its caller
			c.answers("200 OK", c.sdp())
			c.speaks(0, hissing, 2*time.Second)
		},
		"+15070000004": func(c *partyCall) { // is ahead of time
			c.answers("200 OK", c.sdp())
			<-c.acked
			c.speaks(0, hissing, time.Second)
			_, _, to := c.peer()
			for i := range 250 {
				c.emit(0, hissing(i), to)
			}
			c.speaks(0, hissing, patience)
		},
	}, `
sip: {listen: ["udp://@B2BUA@:0"], max_delay: 1m}
media: {listen: ["@B2BUA@"], timeout: 10m, engine: userspace, max_transcoded: 2}
`, "", "")
	page := newTab(t)
	silent, another, dead := c.call("+15070000001"), c.call("+15070000001"), c.call("+15070000002")
	go silent.speaks(0, hissing, patience)
	go another.speaks(0, hissing, patience)
	go dead.speaks(0, hissing, 2*time.Second)
	mobile := c.party(c.freePort(c.stage.carrier), "opus", nil)
	opus := func(number string) *partyCall {
		call, status := mobile.call(number, patience)
		if status != "200" {
			t.Fatalf("the call to %s gets %s", number, status)
		}
		return call
	}
	late, ahead := opus("+15070000003"), opus("+15070000004")
	go ahead.speaks(111, words(t, 1), patience)
	go func() { // a path on which one packet in ten takes 240 ms longer
		say := words(t, 2)
		_, _, to := late.peer()
		var held [12]bool
		for i := range int(patience / frameTime) {
			if at := i % len(held); held[at] {
				late.emitAs(uint16(i-len(held)), 111, say(i), to)
				held[at] = false
			}
			if i%10 == 3 {
				held[i%len(held)] = true
			} else {
				late.emitAs(uint16(i), 111, say(i), to)
			}
			if late.pauses(i) {
				return
			}
		}
	}()
	if _, status := mobile.call("+15070000000", patience); status != "503" {
		t.Errorf("a call without a transcoder gets %s", status)
	}
	eventually(t, "the live call is marked", func() bool { return len(c.live(silent).Media.Silences) == 1 })
	page.open(c.admin + "/#/live")
	page.shows(rows + `.some((r) => r.innerText.includes('silent'))`)
	eventually(t, "nobody was heard for long", func() bool { return c.live(dead).Media.NoRTPMS > 6000 })
	for _, call := range []*partyCall{silent, another, dead, late, ahead} {
		call.hangUp()
	}
	// What is said of the last five minutes is looked at first.
	c.tells(page, told{"all 2 transcoders were in use", `flowbridge_troubles{code="transcoders"} 1`, "all 2 transcoders were in use"}, "/#/live")
	c.tells(page, told{"3 answered calls in 5 minutes in which the target fell silent", `flowbridge_silent_audio_total{side="b"} 3`, "in which the target fell silent, most with target good"}, "/#/live")
	c.alerts("FlowbridgeTranscodersRefused", "FlowbridgeSilentAudio")
	r := c.record(silent)
	c.shown(page, r, "silent,dead-air", "the called side sent no audio from 0:0", "on, after its re-INVITE")
	if s := r.Media.Silences; len(s) != 1 || s[0].Side != "b" || s[0].After != "reinvite_b" || r.Media.MOS != 0 {
		t.Errorf("silences %+v, MOS %v", s, r.Media.MOS)
	}
	c.shown(page, c.record(dead), "silent,dead-air", "sent no audio from")
	r = c.record(late)
	c.shown(page, r, "loss", "packets from the caller were cut off: they came too late or too early to be transcoded")
	if cut := r.Media.A.DroppedBy.Overtaken; cut*20 < r.Media.A.Rx {
		t.Errorf("one packet in ten comes after its turn, and %d of %d were cut off", cut, r.Media.A.Rx)
	}
	r = c.record(ahead)
	c.shown(page, r, "loss", "packets from the called side were cut off")
	if cut := r.Media.B.DroppedBy.Ahead; cut < 50 || cut > 250 {
		t.Errorf("of 250 packets at once %d were cut off", cut)
	}
	for _, live := range c.calls() {
		live.Problems = slices.DeleteFunc(live.Problems, func(p string) bool { return p == "loss" }) // a party may have no CPU
		if len(live.Problems) > 0 {
			t.Errorf("a call that is well has %v: %+v", live.Problems, live.Media)
		}
	}
	c.standsStill(page)
	c.hasNoCPU(page)
	c.healthy(page)
}

// words are packets of Opus.
func words(t *testing.T, seed uint64) func(i int) []byte {
	e, err := opus.NewEncoder(opus.Settings{})
	must(t, err)
	samples, packet := sim.SpeechLike(seed, 3*time.Second), make([]byte, opus.MaxPacket)
	return func(i int) []byte {
		at := i * opus.Frame % (len(samples) - opus.Frame)
		n, err := e.Encode(samples[at:at+opus.Frame], packet)
		if err != nil || n == 0 {
			return []byte{0xf8, 0xff, 0xfe}
		}
		return append([]byte(nil), packet[:n]...)
	}
}

// standsStill stops the process for a while.
func (c *crowd) standsStill(page *tab) {
	c.Helper()
	c.signal(syscall.SIGSTOP)
	wait(7 * time.Second)
	c.signal(syscall.SIGCONT)
	c.tells(page, told{"the whole process stood still for", `flowbridge_troubles{code="stood_still"} 1`, "the process stood still for"}, "/#/live") // in Changes
	c.alerts("FlowbridgeStoodStill")
	for _, live := range c.calls() {
		if len(live.Media.Silences) > 0 {
			c.Errorf("a call whose process stood still is marked: %+v", live.Media)
		}
	}
}

// hasNoCPU takes the CPU from the process, until each screen says so.
func (c *crowd) hasNoCPU(page *tab) {
	c.Helper()
	group := filepath.Join("/sys/fs/cgroup/cpu", fmt.Sprintf("e2e-%d", c.pid()))
	quota, period := filepath.Join(group, "cpu.cfs_quota_us"), filepath.Join(group, "cpu.cfs_period_us")
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		group = filepath.Join("/sys/fs/cgroup", fmt.Sprintf("e2e-%d", c.pid()))
		quota, period = filepath.Join(group, "cpu.max"), ""
	}
	procs := filepath.Join(group, "cgroup.procs")
	if err := os.Mkdir(group, 0o755); err != nil {
		c.Logf("no cgroup can be made, so the process keeps its CPU: %v", err)
		return
	}
	c.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(filepath.Dir(group), "cgroup.procs"), fmt.Append(nil, c.pid()), 0o644)
		_ = os.Remove(group)
	})
	set := func(most string) error {
		if period == "" {
			return os.WriteFile(quota, []byte(most+" 1000000"), 0o644)
		}
		return os.WriteFile(quota, []byte(strings.Replace(most, "max", "-1", 1)), 0o644)
	}
	if period != "" {
		must(c, os.WriteFile(period, []byte("1000000"), 0o644))
	}
	if err := set("20000"); err != nil {
		c.Logf("the cgroup has no quota, so the process keeps its CPU: %v", err)
		return
	}
	page.open(c.admin + "/#/live")
	page.shows(`document.querySelector('#state').textContent === 'live'`)
	must(c, os.WriteFile(procs, fmt.Append(nil, c.pid()), 0o644))
	eventually(c.T, "the log says that there is no CPU", func() bool { return c.logged("not enough CPU for calls") > 0 })
	page.shows(`document.body.innerText.includes('this machine: no CPU for')`)
	must(c, set("max"))
	metrics := c.text("/metrics") // now: they tell of the last minute
	c.tells(page, told{"this machine: no CPU for", `flowbridge_troubles{code="no_cpu"} 1`, "packets did not arrive in time: "}, "/#/live")
	c.alertsIn(metrics, "FlowbridgeNoCPU")
}

// healthy ends the calls that were up all the time. Nothing that they sent was lost on the way, except what the kernel
// dropped between sockets while other tests flooded it, so their records blame no network.
func (c *crowd) healthy(page *tab) {
	c.Helper()
	for _, call := range c.up {
		call.hangUp()
	}
	lost, onTheWay := int64(0), int64(0)
	for _, call := range c.up {
		r := c.record(call)
		for _, side := range []*record.MediaSide{&r.Media.A, &r.Media.B} {
			if side.LostHere > side.Lost {
				c.Errorf("%d packets are lost here, of %d lost: %+v", side.LostHere, side.Lost, side)
			}
			onTheWay += side.Lost - side.LostHere
			lost += side.Lost
		}
		if sent, _ := call.counts(); r.Media.A.Rx+r.Media.A.Lost > int64(sent) {
			c.Errorf("of %d packets, %d came and %d were lost", sent, r.Media.A.Rx, r.Media.A.Lost)
		}
		if len(r.Media.Silences) > 0 || r.Media.OneWay != "" {
			c.Errorf("a call that was heard is marked: %+v", r.Media)
		}
	}
	if dropped := droppedByKernel(c.T) - c.dropped; onTheWay > dropped {
		c.Errorf("%d packets are lost on the way, and the kernel dropped %d", onTheWay, dropped)
	}
	if r := c.record(c.up[0]); lost > 0 && r.Media.NoCPUMS >= 1000 {
		page.open(c.admin + "/#/calls/" + r.ID)
		page.reads("this machine had no CPU for")
	}
}

// droppedByKernel returns how many packets of all loopback traffic the kernel has dropped before they reached a socket,
// because too many waited (net.core.netdev_max_backlog).
func droppedByKernel(t *testing.T) (sum int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/softnet_stat") // a line for each processor, with its figures in hexadecimal
	must(t, err)
	for line := range strings.Lines(string(text)) {
		var arrived, dropped int64
		_, err := fmt.Sscanf(line, "%x %x", &arrived, &dropped)
		must(t, err)
		sum += dropped
	}
	return sum
}
