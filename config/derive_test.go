package config

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/config/template"
)

var bare = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b *template.Template) bool { return a == b }),
}

// TestDerived: what is derived has what it is derived from, and defaults for the rest.
func TestDerived(t *testing.T) {
	uri, err := template.Parse("sip:a@b.example")
	if err != nil {
		t.Fatal(err)
	}
	auth := &Auth{Username: "u", Password: "p"}
	media := PeerMedia{Latch: LatchStrict, SRTP: SRTPRequired, Keying: KeyingDTLS}
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	sources := []Source{{Prefix: networks[0]}}
	trunk := Trunk{
		Name: "pbx", URI: uri, Transport: "tls", TLS: TargetTLS{CA: "ca"}, DialAuth: auth, PassHeaders: PassNamed("X-A"), Codecs: []string{"PCMA"},
		FirstResponseTimeout: time.Second, RingTimeout: time.Minute, MaxCalls: 3, MaxCPS: 4, MediaSources: networks, Media: media,
		Rel100: Rel100Required, SessionExpires: time.Hour,
	}
	callee := &Target{
		Name: "pbx", Kind: KindSIP, URI: uri, Transport: "tls", TLS: TargetTLS{CA: "ca"}, Auth: auth, PassHeaders: PassNamed("X-A"),
		Budget: trunkBudget(), Overflow: OverflowTrim, Codecs: []string{"PCMA"},
		FirstResponseTimeout: time.Second, RingTimeout: time.Minute, MaxCalls: 3, MaxCPS: 4, MediaSources: networks, Media: media,
		Reinvite: ReinviteAuto, Rel100: Rel100Required, SessionExpires: time.Hour, DTMF: DTMFRelay,
		Transfer: TransferRefuse,
	}
	if diff := cmp.Diff(callee, trunk.Callee(), bare); diff != "" {
		t.Errorf("callee: want - got +\n%s", diff)
	}
	target := Target{
		Name: "agent", Sources: sources, CallAuth: auth, MediaSources: networks, Media: media, PassHeaders: PassNamed("X-A"),
		TLS: TargetTLS{CA: "ca"}, Rel100: Rel100Off, SessionExpires: time.Hour,
		Codecs: []string{"G722"}, FirstResponseTimeout: time.Second, RingTimeout: time.Minute,
	}
	caller := &Trunk{
		Name: "agent", Sources: sources, Auth: auth, MediaSources: networks, Media: media, PassHeaders: PassNamed("X-A"),
		TLS: TargetTLS{CA: "ca"}, Rel100: Rel100Off, SessionExpires: time.Hour,
		Transport: "udp", Codecs: []string{"PCMU", "PCMA"}, FirstResponseTimeout: 4 * time.Second, RingTimeout: time.Minute,
		MaxDuration: 4 * time.Hour, NAT: NATAuto, Trusted: true, MaxCalls: 5000, MaxCPS: 2000,
		Circuit: Circuit{Failures: 3},
	}
	if diff := cmp.Diff(caller, target.Caller(), bare); diff != "" {
		t.Errorf("caller: want - got +\n%s", diff)
	}
	host := &Target{
		Name: "pbx.example", Kind: KindSIP, URI: uri, Transport: "tcp", Budget: trunkBudget(), Overflow: OverflowTCP,
		Codecs: []string{"G722"}, FirstResponseTimeout: time.Second, RingTimeout: time.Minute,
		Media: PeerMedia{Latch: LatchAuto, SRTP: SRTPOff, Keying: keyingSDES}, Reinvite: ReinviteAuto, Rel100: Rel100Off,
		DTMF: DTMFRelay, Transfer: TransferRefuse,
		Circuit: Circuit{Failures: 3},
	}
	if diff := cmp.Diff(host, Referred("pbx.example", uri, "tcp", target.Codecs, target.FirstResponseTimeout, target.RingTimeout), bare); diff != "" {
		t.Errorf("transfer: want - got +\n%s", diff)
	}
}
