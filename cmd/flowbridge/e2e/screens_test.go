//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"flowbridge/media/audio"
)

// told is what somebody reads about a fault, in every place that says it. status is empty for a fault of one call.
type told struct{ status, metric, page string }

// tells checks each place.
func (s *server) tells(b *tab, want told, view string) {
	s.t.Helper()
	if want.status != "" {
		var status string
		if !within(patience, func() bool {
			out, err := exec.Command(program, "status", "--url", s.admin).CombinedOutput()
			status = string(out)
			all := status
			if strings.Contains(status, " more: flowbridge status --json") {
				more, _ := exec.Command(program, "status", "--json", "--url", s.admin).Output()
				all += string(more)
			}
			return strings.Contains(all, want.status) && exitCode(err) == 1 // not well
		}) {
			s.t.Fatalf("flowbridge status does not say %q:\n%s", want.status, status)
		}
		if n := strings.Count(status, "\n"); n > 12 {
			s.t.Errorf("flowbridge status has %d lines:\n%s", n, status)
		}
	}
	eventually(s.t, "the metric "+want.metric, func() bool { return strings.Contains(s.text("/metrics"), want.metric) })
	b.open(s.admin + view)
	b.shows(fmt.Sprintf("document.body.innerText.includes(%q)", want.page))
}

// TestScreensSayWhoRefuses: an agent that answers 404 to every call is named, in the banner, the list and the status.
func TestScreensSayWhoRefuses(t *testing.T) {
	s := newQuietStage(t)
	s.prepareCalls()
	b := s.serve(setup{})
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.agent))
	must(t, err)
	defer conn.Close()
	go func() { // a user part that the platform does not know
		for buf := make([]byte, 65536); ; {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if text := string(buf[:n]); strings.HasPrefix(text, "INVITE ") {
				_, _ = conn.WriteToUDPAddrPort([]byte(refusal(text)), from)
			}
		}
	}()
	for _, number := range []string{"+15075785601", "+15075785602", "+15075785603"} {
		s.sipp("carrier", "refused/uac.xml", s.freePort(s.carrier), []string{"-s", number, "-m", "4", b.sip.String()}, "@STATUS@", "404").finish()
	}
	page := newTab(t)
	b.tells(page, told{"synthflow refuses every call with 404", `flowbridge_troubles{code="target_refusing"} 1`, "refuses every call with 404"}, "/#/live")
	b.tells(page, told{"404", `flowbridge_troubles{code="target_refusing"} 1`, "refusing: 404 × 12"}, "/#/targets")
}

// refusal is a 404 to a request.
func refusal(request string) string {
	answer := "SIP/2.0 404 Not Found\r\n"
	for line := range strings.SplitSeq(request, "\r\n") {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Via", "From", "Call-ID", "CSeq":
			answer += line + "\r\n"
		case "To":
			answer += line + ";tag=refused\r\n"
		}
	}
	return answer + "Content-Length: 0\r\n\r\n"
}

// TestScreensSayWhoFellSilent: an agent that speaks, and then sends no packet any more, is in the record, the list, the
// metric and the page, which calls nothing well and has no MOS.
func TestScreensSayWhoFellSilent(t *testing.T) {
	s := newQuietStage(t)
	s.prepareCalls()
	b := s.serve(setup{})
	one, two := s.newSide(s.carrier, audio.ULaw, ""), s.newSide(s.platform, audio.ULaw, "")
	call := s.converse(one, two)
	call.both(reference(1, 12*time.Second), reference(2, 4*time.Second))
	call.hangUp()
	r := b.records(hungUpByCaller)[0]
	if len(r.Media.Silences) != 1 || r.Media.Silences[0].Side != "b" || r.Media.MOS != 0 {
		t.Fatalf("silences %+v, MOS %v", r.Media.Silences, r.Media.MOS)
	}
	page := newTab(t)
	b.tells(page, told{"", `flowbridge_silent_audio_total{side="b"} 1`, "silent"}, "/#/calls/"+r.ID)
	if text := page.text(); strings.Contains(text, "Nothing is wrong") || strings.Contains(text, "It sounded good") {
		t.Errorf("the page is calm:\n%s", text)
	}
}
