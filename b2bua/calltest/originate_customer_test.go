package calltest

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// leftOpen fails the test if a call is still counted anywhere.
func (w *world) leftOpen() {
	w.t.Helper()
	if open := w.admission.Open(); open.Setups+open.Trunks["carrier"]+open.Targets["agent"]+open.Targets["spare"]+
		open.Numbers != 0 {
		w.t.Errorf("left: %+v", open)
	}
}

// Because the first agent has no room, a place is reserved at the second one. If the first agent can take the call
// after all, the reserved place is given back.
func TestOriginateGivesBackThePlace(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		_, busy := w.originates(origination())
		_, invite := w.originates(origination())
		w.carrier.concludes(busy, 486, "Busy Here", "customer", "")
		w.record()
		if open := w.admission.Open(); open.Targets["agent"] != 0 || open.Targets["spare"] != 1 {
			t.Fatalf("kept: %+v", open.Targets)
		}
		w.agent.concludes(w.customerTakes(invite), 200, "OK", "agent1", agentSDP())
		synctest.Wait()
		if open := w.admission.Open(); open.Targets["agent"] != 1 || open.Targets["spare"] != 0 {
			t.Errorf("while the agent talks: %+v", open.Targets)
		}
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.record()
		w.leftOpen()
	})
}

// The agent is called over IPv6, and the person called first over IPv4.
func TestOriginateToIPv6(t *testing.T) {
	yaml := strings.NewReplacer(`5060"]`, `5060", "udp://[2001:db8::1]:5060"]`, `["198.51.100.1"]`, `["198.51.100.1", "2001:db8::1"]`,
		"agent@192.0.2.20", "agent@[2001:db8::20]").Replace(originateConfig)
	inWorldWith(t, yaml, func(w *world) {
		agent := w.peer(netip.MustParseAddrPort("[2001:db8::20]:32681"))
		w.others = append(w.others, agent)
		_, invite := w.originates(origination())
		w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
		called := agent.expect("INVITE")
		if got := mediaNames(t, invite, called); got != "198.51.100.1 2001:db8::1" {
			t.Errorf("media at %s", got)
		}
		agent.concludes(called, 200, "OK", "agent1", strings.ReplaceAll(sdpAt("2001:db8::20", 30000), "IN IP4", "IN IP6"))
		w.customerHangsUp(invite)
		hungUpOn(agent)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// The address family of an agent that is called by a name is not known before it is called. The person called first
// decides.
func TestOriginateToName(t *testing.T) {
	yaml := strings.Replace(originateConfig, "agent@192.0.2.20:32681", "agent@agents.test", 1)
	inWorldOf(t, yaml, func(o *b2bua.Options) { o.Network.Names.Ask = zoneOf(t, twoAddresses) }, func(w *world) {
		_, invite := w.originates(origination())
		w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
		called := w.agent.expect("INVITE sip:agent@agents.test")
		w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// A customer that waits for its agent hears the ringback also after an upgrade, while the agent is called again.
func TestWaitingCustomerHearsOn(t *testing.T) {
	inWorldWith(t, strings.Replace(originateConfig, "name: day,", "name: day, ringback: us,", 1), func(w *world) {
		_, invite := w.originates(origination())
		rings := w.customerTakes(invite)
		w.agent.reply(rings, 180, "Ringing", "agent1", "")
		w.hears(ringing)
		w.upgraded()
		w.agent.reply(w.agent.expect("CANCEL"), 200, "OK", "agent1", "")
		called := w.agent.expect("INVITE")
		w.hears(ringing)
		w.agent.concludes(rings, 487, "Request Terminated", "agent1", "")
		w.agent.concludes(called, 200, "OK", "agent2", agentSDP())
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// Keys can't be pressed for an agent that is still being called.
func TestKeysForNoAgent(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		live, invite := w.originates(origination())
		called := w.customerTakes(invite)
		_, err := w.server.Press(w.t.Context(), live.Record.ID, bridge.DigitsRequest{Side: media.SideB, Digits: "1"})
		if refused, is := errors.AsType[*bridge.OrderError](err); !is || refused.Problem != "the agent is being called" {
			w.t.Errorf("%v", err)
		}
		w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.record()
	})
}

// An upgrade while the person called first rings keeps the call's whole state: the masking, the ladder, the ids and who
// ordered the call. The new configuration need not have the trunk's originate section.
func TestRingingCustomerGoesOverWhole(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte("hush"), 0o600))
	yaml := strings.Replace(originateConfig, "name: day,", "name: day, mask_dtmf: always,", 1) +
		"hooks: {listen: \"127.0.0.1:8083\", variables: {token_file: " + token + "}}\n"
	inWorldWith(t, yaml, func(w *world) {
		o := origination()
		o.By = "campaign"
		live, invite := w.originates(o)
		w.carrier.reply(invite, 180, "Ringing", "customer", "")
		cfg, err := config.Parse("test.yaml", []byte(strings.Replace(yaml, "    originate:", "    # originate:", 1)),
			func(string) (string, bool) { return "secret", true })
		must(t, err)
		w.options.Config = cfg
		w.upgraded()
		synctest.Wait()
		if got, err := w.server.FindNamed(w.t.Context(), invite.value("Call-ID")); err != nil || got.Record.ID != live.Record.ID ||
			!got.Masked {
			t.Errorf("found %+v, %v", got, err)
		}
		w.agent.concludes(w.customerTakes(invite), 200, "OK", "agent1", agentSDP())
		if m := w.session().masks[media.SideA]; !m.On {
			t.Errorf("mask %+v", m)
		}
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		r := w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		if r.Attempts[0].By != o.By {
			t.Errorf("attempts %+v", r.Attempts)
		}
		var text strings.Builder
		must(t, w.ladder(live.Record.ID).Texts(&text))
		if strings.Count(text.String(), "INVITE sip:+15075785607") != 1 {
			t.Errorf("ladder:\n%s", &text)
		}
	})
}
