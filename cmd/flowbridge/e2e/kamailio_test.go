//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowbridge/store/record"
)

// kamailio is a proxy that stays in the path of each dialog.
type kamailio struct {
	*process
	at      netip.AddrPort
	control string // socket of kamcmd; empty if there is none
}

// startKamailio runs a proxy between this stage's peers and its B2BUA. The proxy uses this
// transport to the B2BUA.
func (s *stage) startKamailio(at netip.AddrPort, transport string) *kamailio {
	s.Helper()
	b2bua := s.server.at(transport, s.carrier).String() + ";transport=" + transport
	return s.startKamailioWith("testdata/kamailio.cfg", at, "@B2BUA@", s.b2bua.String(), "@TO_B2BUA@", b2bua, "@AGENT@", s.agent.String())
}

// startKamailioWith runs a proxy with another configuration, with words replaced.
func (s *stage) startKamailioWith(cfg string, at netip.AddrPort, replace ...string) *kamailio {
	s.Helper()
	text, err := os.ReadFile(cfg)
	must(s, err)
	dir := s.TempDir()
	config := strings.NewReplacer(append(replace, "@AT@", at.String(), "@ADDR@", at.Addr().String())...).Replace(string(text))
	file := filepath.Join(dir, "kamailio.cfg")
	must(s, os.WriteFile(file, []byte(config), 0o600))
	cmd := exec.Command("kamailio", "-f", file, "-DD", "-E", "-m", "32", "-M", "4", "-Y", dir, "-w", dir)
	// Its main process ends the others, unless it is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	k := &kamailio{process: start(s.T, "kamailio", cmd), at: at}
	s.Cleanup(func() {
		if !k.ended() {
			k.stop()
		}
	})
	eventually(s.T, "the proxy listens", func() bool {
		if k.ended() {
			s.Fatalf("kamailio ended: %v", k.err)
		}
		return bound(s.T, "udp", at) && bound(s.T, "tcp", at)
	})
	return k
}

// stop ends the proxy. Sometimes its processes block each other for ever when they are asked to end. These tests are
// not about that, so all of its processes are then killed. If one were left, the output would stay open.
func (k *kamailio) stop() {
	k.t.Helper()
	k.signal(syscall.SIGTERM)
	select {
	case <-k.done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL)
		k.exit()
	}
}

// passed returns the requests within a dialog that have passed through the proxy, without repeats.
func (k *kamailio) passed(callID string) []string {
	var all []string
	for _, line := range k.output() {
		if _, rest, ok := strings.Cut(line, "e2e: "); ok {
			if what, ok := strings.CutSuffix(rest, " at "+callID); ok && !slices.Contains(all, what) {
				all = append(all, what)
			}
		}
	}
	return all
}

// proxied starts a B2BUA whose carrier is behind a proxy. If agentToo is set, its agent is, too.
func (s *stage) proxied(o setup, transport string, agentToo bool) *kamailio {
	s.Helper()
	proxy := netip.AddrFrom4([4]byte{127, 0, 5, s.b2bua.As4()[3]})
	agent, at := s.agent, s.freePort(proxy)
	if agentToo {
		s.agent = at
	}
	o.listen = []string{s.listener("udp", s.b2bua), s.listener("tcp", s.b2bua)}
	o.target += ", transport: " + transport
	config := replaceOnce(s.T, s.config(o), fmt.Sprintf(`sources: ["%v"]`, s.carrier), fmt.Sprintf(`sources: ["%v"]`, proxy))
	s.server = startServer(s.T, s.TempDir(), config)
	s.server.targets = []uint16{s.agent.Port()}
	s.agent = agent
	return s.startKamailio(at, transport)
}

// TestRecordRoute has a proxy on both sides of the B2BUA, over UDP or TCP. All requests within the
// dialogs must go through it.
func TestRecordRoute(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		for _, by := range []string{"carrier", "agent"} {
			t.Run(transport+"_"+by, func(t *testing.T) { recordRoute(t, transport, by) })
		}
	}
}

func recordRoute(t *testing.T, transport, by string) {
	t.Helper()
	s := newPreparedStage(t)
	k := s.proxied(setup{target: ", reinvite: relay"}, transport, true)
	b, at := s.server, k.at

	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.agentPlays("routed", two.key(), "@BY@", by)
	carrier := s.carrierPlays("routed", append(one.key(), "-rsa", at.String()), "@BY@", by)
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	carrier.proceed(talk.id(carrier))
	agent.received("ACK ", 2)
	agent.proceed(talk.id(agent))
	carrier.received("ACK ", 1)
	talk.both()
	expected, last := hungUpByCaller, carrier
	if by == "agent" {
		expected, last = hungUpByAgent, agent
	}
	last.proceed(talk.id(last))
	carrier.finish()
	agent.finish()
	r := b.records(expected)[0]
	k.stop()
	b.nothingLeft()
	b.stop()

	us := " from " + s.b2bua.String()
	onA, onB := " from "+s.carrier.String(), " from "+s.platform.String()
	wantA := []string{"ACK 1" + onA, "INVITE 2" + onA, "ACK 2" + onA, "INVITE 1" + us, "ACK 1" + us}
	wantB := []string{"ACK 1" + us, "INVITE 2" + us, "ACK 2" + us, "INVITE 1" + onB, "ACK 1" + onB}
	if by == "carrier" {
		wantA, wantB = append(wantA, "BYE 3"+onA), append(wantB, "BYE 3"+us)
	} else {
		wantA, wantB = append(wantA, "BYE 2"+us), append(wantB, "BYE 2"+onB)
	}
	for id, expected := range map[string][]string{r.SIPCallID: wantA, r.TargetSIPCallID: wantB} {
		if got := k.passed(id); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(expected))) {
			t.Errorf("by the proxy went %q; want %q", got, expected)
		}
	}
	for _, p := range []*sipp{carrier, agent} {
		for _, m := range p.trace() {
			if m.received && !strings.HasPrefix(m.raw, "SIP/2.0 ") && !strings.HasPrefix(m.raw, "INFO ") && strings.Count(m.raw, "\r\nVia: ") != 2 {
				t.Errorf("%s has not come by the proxy:\n%s", m.first(), m.raw)
			}
		}
	}
	s.over(transport, []record.Record{r})
}

// TestRecordRouteEarly makes a carrier behind a proxy acknowledge provisional answers: the proxy is
// in the path of the early dialog, too.
func TestRecordRouteEarly(t *testing.T) {
	s := newPreparedStage(t)
	k := s.proxied(setup{}, "udp", false)
	b := s.server
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("early_media", two.key()...)
	carrier := s.carrierPlays("reliable", append(one.key(), "-rsa", k.at.String()), "@OFFER@", `(sdp 7 "0 8 101" "sendrecv")`, "@ANSWER@", "")
	carrier.final(3, "PRACK")
	agent.proceed(agent.received("INVITE ", 1)[0].header("Call-ID"))
	talk := s.talkingEarly(one, two, carrier, agent, carrier.received("SIP/2.0 183", 1)[0])
	talk.both()
	carrier.leaves(agent, talk.id(carrier))
	r := b.records(hungUpByCaller)[0]
	k.stop()
	from := " from " + s.carrier.String()
	if got, want := k.passed(r.SIPCallID), []string{"PRACK 2" + from, "PRACK 3" + from, "ACK 1" + from, "BYE 4" + from}; !slices.Equal(got, want) {
		t.Errorf("by the proxy went %q; want %q", got, want)
	}
	b.nothingLeft()
	b.stop()
}

// TestRecordRouteTransfer makes an agent behind a proxy transfer the caller: its REFER and the
// reports must go through the proxy.
func TestRecordRouteTransfer(t *testing.T) {
	s := newPreparedStage(t)
	calleeAt := s.freePort(s.stranger)
	k := s.proxied(s.transfers("local", calleeAt), "udp", true)
	b := s.server
	one, two, three := s.newPhone(s.carrier), s.newPhone(s.platform), s.newPhone(s.stranger)
	callee := s.agentAt(calleeAt, "human", three.key(), "@BY@", "carrier")
	agent := s.transferrer(two.key(), "@TO@", "<tel:"+human+">", "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", "false", "@HOLDS@", "false")
	carrier := s.carrierPlays("reason", append(one.key(), "-rsa", k.at.String()), "@BY@", "carrier", "@REASON@", "Q.850;cause=16")
	talk := s.talking(one, two, carrier, agent)
	agent.proceed(talk.id(agent))
	invite := callee.received("INVITE ", 1)[0]
	callee.proceed(invite.header("Call-ID"))
	agent.finish()
	talk.two = three
	var err error
	talk.toB, err = invite.rtp()
	must(t, err)
	talk.both()
	carrier.leaves(callee, talk.id(carrier))
	b.records(transferred(hungUpByCaller, try{"", 0, 200}))
	k.stop()
	us := " from " + s.b2bua.String()
	want := []string{"ACK 1" + us, "REFER 2 from " + s.platform.String(), "NOTIFY 2" + us, "NOTIFY 3" + us, "NOTIFY 4" + us, "BYE 5" + us}
	if got := k.passed(talk.id(agent)); !slices.Equal(got, want) {
		t.Errorf("by the proxy went %q; want %q", got, want)
	}
	b.nothingLeft()
	b.stop()
}
