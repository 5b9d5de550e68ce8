package outbound

import (
	"testing"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// carriersInvite is an INVITE like in the benchmarks, with few headers and an offer.
const carriersInvite = "INVITE sip:+15075785607@198.51.100.1:5060 SIP/2.0\n" +
	"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\nMax-Forwards: 70\nFrom: \"Ann\" <sip:+15075550100@192.0.2.10>;tag=a\n" +
	"To: <sip:+15075785607@198.51.100.1>\nCall-ID: c1\nCSeq: 1 INVITE\nContact: <sip:192.0.2.10:5060>\n" +
	"User-Agent: carrier\nContent-Length: 0\n\n"

// inviteToTarget returns a function that makes the INVITE to a target from a call's data, measures it, and goes as far
// as the effect that would send it.
func inviteToTarget(t testing.TB) func() {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(`
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks: [{name: carrier, sources: ["192.0.2.10"], trusted: true}]
targets:
  - name: agent
    kind: synthflow
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    prepare: {api: "https://api.test", token_env: TOKEN, model_id: m}
    headers: {X-EI: "S.{{.Prepare.CallID}};"}
routes: [{targets: [agent]}]
`), func(string) (string, bool) { return "secret", true })
	must(t, err)
	all := peers.NewAdmission(cfg, nil).Peers.Load()
	trunk, target := all.Trunks[0].Caller, all.Targets["agent"].Dial
	req := siptest.Request(t, carriersInvite)
	vars := template.Vars{
		To: message.PartyOf("", &req.Recipient, ""), From: CallerOf(req, trunk), CallID: "ours", Trunk: trunk.Name, Attempt: 1,
		HeaderFunc: HeaderOf(req), Prepare: &template.PrepareVars{CallID: "5f1c2f9e-6b7a-4c1d-9e8f-0a1b2c3d4e5f"},
	}
	uri, err := renderURI(target, vars)
	must(t, err)
	local := leg.Local{Listen: siptest.Ours, Host: "198.51.100.1", Port: 5060}
	in := Inbound{Invite: req, Source: req, Trusted: trunk.Trusted, Privacy: PrivacyOf(req, trunk)}
	minter, offer := message.NewMinter([32]byte{1, 2, 3}), []byte("v=0\n")
	return func() {
		out, err := Build(target, uri, vars, in, local, leg.PeerOptions{Allow: leg.AllowHeader(leg.Methods)}, offer)
		must(t, err)
		l := leg.NewUAC(leg.Options{Side: media.SideB, Minter: minter, Local: local}, "call-id", out.LocalParty, out.RemoteParty)
		invite := out.Request()
		if OverBudget(target, out.Measure(l.InviteSize(invite))) {
			t.Fatal("over the budget")
		}
		l.Step(time.Unix(0, 0), leg.Invite{Request: invite, Offer: out.Offer, Dest: siptest.Agent})
	}
}

func BenchmarkInvite(b *testing.B) {
	once := inviteToTarget(b)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}
