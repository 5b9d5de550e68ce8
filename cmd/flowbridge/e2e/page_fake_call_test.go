//go:build e2e

package e2e

import (
	"fmt"
	"time"

	"flowbridge/store/record"
)

// failedOver returns a finished call that its first target did not take, with its ladder.
func failedOver(at time.Time) (record.Record, map[string]any) {
	c := liveCallOf(4711)
	r := c.Record
	ms := func(n int) record.Time { return record.TimeOf(at.Add(time.Duration(n) * time.Millisecond)) }
	r.ID, r.From, r.To, r.Trunk, r.Target = "0193a5d2-0213-7000-8000-00000000aaaa", "+15075550100", "+15075785607", "carrier", "vapi"
	r.StartedAt, r.RingingAt, r.PreparedAt, r.DialedAt, r.AnsweredAt, r.EndedAt = ms(0), ms(9), ms(1105), ms(1112), ms(2310), ms(65400)
	r.SetupMS, r.DurationMS, r.Disposition, r.SIPStatus, r.Q850, r.Cause, r.EndedBy = 2310, 63090, "answered", 200, 16, "caller_hangup", "caller"
	r.TargetSIPCallID, r.SynthflowCallID = "5f1c0f8d2f6b4b3b", "01J9-vapi"
	r.Attempts = []record.Attempt{
		{Target: "synthflow", PrepareMS: 812, PrepareStatus: 503, Cause: "prepare_failed", MS: 815, StartedAt: ms(10)},
		{Target: "vapi", PrepareMS: 280, PrepareStatus: 201, SIPStatus: 200, MS: 1480, StartedAt: ms(825), SIPCallID: r.TargetSIPCallID, Transport: "udp"},
	}
	r.Media = record.Media{
		A: record.MediaSide{Rx: 3151, Tx: 3148, Lost: 41, Bursts: 7, JitterMS: 4.8, MOS: 4.02, RTT: 38, Codec: "PCMU", Expected: "203.0.113.7:17000", Source: "203.0.113.7:17000"},
		B: record.MediaSide{Rx: 3148, Tx: 3151, JitterMS: 1.1, MOS: 4.38, RTT: 12, Codec: "PCMU", Expected: "198.51.100.3:40100", Source: "198.51.100.3:40100"}, MOS: 4.02,
	}
	r.Talk = &record.Talk{
		Confidence: record.TalkGood, FirstAgentMS: new(int64(700)), Turns: &record.Durations{N: 5, P50: 1900, P95: 3700, Max: 3700, Values: []uint16{800, 900, 1900, 3700, 900}},
		BargeIns: &record.Durations{N: 1, P50: 400, P95: 400, Max: 400, Values: []uint16{400}}, Ignored: new(int64(1)), CutOffs: new(int64(0)), Backchannels: new(int64(0)),
		MeasuredMS: new(int64(63090)), BothMS: new(int64(700)), DeadAirMS: new(int64(3700)), LongestDeadAirMS: new(int64(3700)), AgentDeadAirMS: new(int64(3700)),
		Caller: &record.Voice{SpokeMS: 17000, Level: -19.2, Background: -48.1}, Agent: &record.Voice{SpokeMS: 34000, Level: -17.4, Background: -60.2},
	}
	r.Recordings = []record.Recording{{File: fakeRecording, Format: "wav", StartedAt: ms(2400), EndedAt: ms(62400), Bytes: 1920044}}
	return r, failedOverLadder(at)
}

func failedOverLadder(at time.Time) map[string]any {
	sip := func(first string, body string) string {
		text := first + "\r\nVia: SIP/2.0/UDP 203.0.113.7:5060;branch=z9hG4bK776asdhds;rport\r\nMax-Forwards: 70\r\nFrom: <sip:+15075550100@203.0.113.7>;tag=1928301774\r\nTo: <sip:+15075785607@192.0.2.10>\r\nCall-ID: a84b4c76e66710@203.0.113.7\r\nCSeq: 1 INVITE\r\n"
		if body != "" {
			return text + "Content-Type: application/sdp\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
		}
		return text + "Content-Length: 0\r\n\r\n"
	}
	sdp := "v=0\r\no=- 1 1 IN IP4 203.0.113.7\r\ns=-\r\nc=IN IP4 203.0.113.7\r\nt=0 0\r\nm=audio 17000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
	messages := []any{}
	add := func(ms float64, kind string, from, to int, summary, method string, status int, again bool, text string) {
		messages = append(messages, map[string]any{
			"at": record.TimeOf(at.Add(time.Duration(ms * 1e6))), "ms": ms, "kind": kind, "from": from, "to": to, "local": "192.0.2.10:5060", "remote": "203.0.113.7:5060", "transport": "udp",
			"summary": summary, "sip_call_id": "a84b4c76e66710@203.0.113.7", "method": method, "status": status, "cseq": "1 " + method, "retransmission": again, "text": text, "cut": 0,
		})
	}
	say := func(ms float64, summary string) { add(ms, "decision", 1, 1, summary, "", 0, false, "") }
	invite := "INVITE sip:+15075785607@192.0.2.10 SIP/2.0"
	add(0, "sip", 0, 1, "INVITE sip:+15075785607@192.0.2.10", "INVITE", 0, false, sip(invite, sdp))
	add(0.4, "sip", 1, 0, "100 Trying", "INVITE", 100, false, sip("SIP/2.0 100 Trying", ""))
	say(0.6, "trunk carrier by its source address; routes[0] matches; targets: synthflow, vapi")
	add(9, "sip", 1, 0, "180 Ringing", "INVITE", 180, false, sip("SIP/2.0 180 Ringing", ""))
	prepare := "POST /v2/prepare_inbound HTTP/1.1\r\nHost: api.synthflow.ai\r\nAuthorization: ***\r\nContent-Type: application/json\r\n\r\n{\"from_number\":\"+15075550100\",\"to_number\":\"+15075785607\"}"
	add(10, "http", 1, 2, "POST /v2/prepare_inbound", "POST", 0, false, prepare)
	add(405, "http", 2, 1, "503 Service Unavailable", "POST", 503, false, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n")
	add(500, "sip", 0, 1, "INVITE sip:+15075785607@192.0.2.10", "INVITE", 0, true, sip(invite, sdp))
	add(610, "http", 1, 2, "POST /v2/prepare_inbound", "POST", 0, false, prepare)
	add(822, "http", 2, 1, "503 Service Unavailable", "POST", 503, false, "HTTP/1.1 503 Service Unavailable\r\n\r\n")
	say(825, "target synthflow: prepare 503 after 2 tries, 812 ms; next: vapi")
	add(826, "http", 1, 3, "POST /call", "POST", 0, false, "POST /call HTTP/1.1\r\nHost: api.vapi.ai\r\nAuthorization: ***\r\n\r\n{\"assistantId\":\"…\"}")
	add(1105, "http", 3, 1, "201 Created", "POST", 201, false, "HTTP/1.1 201 Created\r\n\r\n{\"id\":\"01J9-vapi\"}")
	add(1112, "sip", 1, 4, "INVITE sip:+15075785607@sip.vapi.ai", "INVITE", 0, false, sip("INVITE sip:+15075785607@sip.vapi.ai SIP/2.0", sdp))
	add(1125, "sip", 4, 1, "100 Trying", "INVITE", 100, false, sip("SIP/2.0 100 Trying", ""))
	add(1480, "sip", 4, 1, "180 Ringing", "INVITE", 180, false, sip("SIP/2.0 180 Ringing", ""))
	add(2301, "sip", 4, 1, "200 OK", "INVITE", 200, false, sip("SIP/2.0 200 OK", sdp))
	add(2302, "sip", 1, 4, "ACK sip:+15075785607@sip.vapi.ai", "ACK", 0, false, sip("ACK sip:agent@198.51.100.3 SIP/2.0", ""))
	add(2310, "sip", 1, 0, "200 OK", "INVITE", 200, false, sip("SIP/2.0 200 OK", sdp))
	add(2349, "sip", 0, 1, "ACK sip:192.0.2.10", "ACK", 0, false, sip("ACK sip:192.0.2.10 SIP/2.0", ""))
	add(65400, "sip", 0, 1, "BYE sip:192.0.2.10", "BYE", 0, false, sip("BYE sip:192.0.2.10 SIP/2.0", ""))
	add(65401, "sip", 1, 0, "200 OK", "BYE", 200, false, sip("SIP/2.0 200 OK", ""))
	add(65401, "sip", 1, 4, "BYE sip:agent@198.51.100.3", "BYE", 0, false, sip("BYE sip:agent@198.51.100.3 SIP/2.0", ""))
	add(65420, "sip", 4, 1, "200 OK", "BYE", 200, false, sip("SIP/2.0 200 OK", ""))
	var points []any
	for i := range 13 {
		lost := 0
		if i == 5 || i == 6 {
			lost = 20
		}
		points = append(points, map[string]any{
			"ms": 5000 * (i + 1), "a": map[string]any{"rx": 250 - lost, "tx": 249 + i%2, "lost": lost, "jitter_ms": 2.1 + float64(lost)/4 + float64(i%3)/3},
			"b": map[string]any{"rx": 249 + i%2, "tx": 250 - lost, "lost": 0, "jitter_ms": 0.8 + float64(i%4)/9},
		})
	}
	lane := func(name, kind string) map[string]string { return map[string]string{"name": name, "kind": kind} }
	return map[string]any{
		"id":       "0193a5d2-0213-7000-8000-00000000aaaa",
		"lanes":    []any{lane("carrier", "caller"), lane("flowbridge", "self"), lane("synthflow API", "api"), lane("vapi API", "api"), lane("vapi", "callee")},
		"messages": messages, "dropped": 0, "live": false,
		"talk": map[string]any{
			"start":  record.TimeOf(at.Add(2310 * time.Millisecond)),
			"caller": [][2]int{{5200, 8900}, {16100, 17300}, {21800, 26400}, {35000, 41200}, {52800, 54100}},
			"agent":  [][2]int{{700, 4600}, {9700, 16500}, {18200, 22100}, {28300, 34100}, {44900, 52500}, {55000, 62000}},
		},
		"streams": map[string]any{"interval_ms": 5000, "start": record.TimeOf(at.Add(2310 * time.Millisecond)), "points": points},
	}
}
