package leg

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
)

// RFC 3261 section 12.2.1.1: what we send within a dialog follows its route
// set, loosely or by way of a strict router, on both sides; so does the ACK of a
// re-INVITE (section 13.2.2.4).
func TestRoutingWithinDialogs(t *testing.T) {
	routes := []string{"Record-Route: <sip:192.0.2.1;lr>", "Record-Route: <sip:192.0.2.2:5090;lr>"}
	strict := []string{"Record-Route: <sip:192.0.2.1>", "Record-Route: <sip:192.0.2.2:5090>"}
	first, second := Hop{Addr: netip.MustParseAddrPort("192.0.2.1:5060")}, Hop{Addr: netip.MustParseAddrPort("192.0.2.2:5090")}
	uas := func(headers ...string) *legTest {
		lt := newUAS(t, headers...)
		lt.do(Answer{SDP: []byte("v=0")}, InDialog(t, "ACK", 10))
		return lt
	}
	uac := func(headers ...string) *legTest {
		lt := uacIn(t, "calling")
		lt.do(lt.ok("agent", append([]string{"Contact: <sip:agent@192.0.2.20:5099>"}, headers...)...))
		return lt
	}
	ann, agent := "sip:ann@192.0.2.10:5070;x=y", "sip:agent@192.0.2.20:5099"
	for _, tt := range []struct {
		name      string
		lt        func() *legTest
		recipient string
		routes    []string
		to        Hop
	}{
		{"caller, loose", func() *legTest { return uas(routes...) }, ann, []string{"<sip:192.0.2.1;lr>", "<sip:192.0.2.2:5090;lr>"}, first},
		{"caller, strict", func() *legTest { return uas(strict...) }, "sip:192.0.2.1", []string{"<sip:192.0.2.2:5090>", "<" + ann + ">"}, first},
		{"target, loose", func() *legTest { return uac(routes...) }, agent, []string{"<sip:192.0.2.2:5090;lr>", "<sip:192.0.2.1;lr>"}, second},
		{"target, strict", func() *legTest { return uac(strict...) }, "sip:192.0.2.2:5090", []string{"<sip:192.0.2.1>", "<" + agent + ">"}, second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lt := tt.lt()
			lt.t = t
			want := func(method sip.RequestMethod) {
				t.Helper()
				req, to := lt.request(method)
				checkRouting(t, req, to, tt.recipient, tt.routes, tt.to)
			}
			lt.want(lt.do(Offer{Ref: 1, SDP: []byte("v=0")}), "INVITE")
			want(sip.INVITE)
			lt.want(lt.do(lt.answerWithin(sip.INVITE, 200, "Record-Route: <sip:203.0.113.9;lr>")), "answer, ACK") // changes no route set
			want(sip.ACK)
			lt.Leg.updates = true
			lt.Leg.timer.start(lt.now, 90*time.Second, true)
			lt.want(lt.deadline(), "UPDATE")
			want(sip.UPDATE)
			lt.do(Send{Ref: 1, Method: sip.INFO})
			want(sip.INFO)
			lt.want(lt.do(Hangup{Why: cause.Shutdown}), "BYE")
			want(sip.BYE)
		})
	}
}

// RFC 3261 section 12.2.1.2 and 12.2.2, RFC 3311 section 5: re-INVITE and
// UPDATE refresh the target, of either side, whoever sends them; a refusal does
// not.
func TestTargetRefresh(t *testing.T) {
	for _, refresh := range []struct {
		name string
		do   func(lt *legTest, contact string)
	}{
		{"their re-INVITE", func(lt *legTest, contact string) {
			in := agentDialog(t, lt, "INVITE", 7)
			in.Req.AppendHeader(parsedContact(t, contact))
			lt.do(in, Accept{SDP: []byte("v=0")}, agentDialog(t, lt, "ACK", 7))
		}},
		{"their UPDATE", func(lt *legTest, contact string) {
			in := agentDialog(t, lt, "UPDATE", 7)
			in.Req.AppendHeader(parsedContact(t, contact))
			lt.do(in)
		}},
		{"our re-INVITE", func(lt *legTest, contact string) {
			lt.do(Offer{Ref: 1, SDP: []byte("v=0")})
			in := lt.answerWithin(sip.INVITE, 200)
			in.Res.AppendHeader(parsedContact(t, contact))
			lt.do(in)
		}},
		{"our UPDATE", func(lt *legTest, contact string) {
			lt.Leg.updates = true
			lt.Leg.timer.start(lt.now, 90*time.Second, true)
			lt.deadline()
			in := lt.answerWithin(sip.UPDATE, 200)
			in.Res.AppendHeader(parsedContact(t, contact))
			lt.do(in)
		}},
	} {
		t.Run(refresh.name, func(t *testing.T) {
			lt := uacIn(t, "confirmed")
			refresh.do(lt, "sip:new@192.0.2.99:5077")
			lt.do(Hangup{Why: cause.Shutdown})
			bye, to := lt.request(sip.BYE)
			checkRouting(t, bye, to, "sip:new@192.0.2.99:5077", nil, Hop{Addr: netip.MustParseAddrPort("192.0.2.99:5077")})
		})
	}
	lt := uacIn(t, "confirmed")
	lt.do(Offer{Ref: 1, SDP: []byte("v=0")})
	in := lt.answerWithin(sip.INVITE, 488)
	in.Res.AppendHeader(parsedContact(t, "sip:new@192.0.2.99:5077"))
	lt.do(in)
	if got := lt.Leg.dialog.RemoteTarget; strings.Contains(got, "new") {
		t.Errorf("a refusal changed the target to %s", got)
	}
}

func parsedContact(t *testing.T, uri string) sip.Header {
	t.Helper()
	return &sip.ContactHeader{Address: message.ParseURI(uri)}
}
