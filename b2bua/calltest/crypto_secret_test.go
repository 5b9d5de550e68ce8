package calltest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/report"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// tapped is a log that also collects what followers of calls get.
type tapped struct{ logged }

func (l *tapped) Message(m ladder.Followed) { _, _ = l.Write(m.Text) }

// Keys never appear in the log, whatever fails, nor in the messages to a follower, nor in
// the API's view of a call.
func TestKeysAreNotLogged(t *testing.T) {
	out := &tapped{}
	yaml := talkYAML(bothSecured, bothSecured)
	inWorldOf(t, yaml, func(o *b2bua.Options) {
		o.Log = zerolog.New(out).Level(zerolog.TraceLevel)
		o.Ladders.Followers = []ladder.Follower{out}
	}, func(w *world) {
		c, toA, toB := securedTalk(t, w)
		live := w.server.Live(context.Background())
		fmt.Fprintf(out, "%+v", live)
		c.carrier.changes("INVITE", securedAt("192.0.2.11", 20004, cryptoAttr(1, gcm, 'c')), "200")
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.11", 20004, "0 101", cryptoAttr(1, gcm, 'd')), "488")
		// An a=crypto line is malformed: first in an offer, then in an answer.
		c.carrier.changes("INVITE", securedAt("192.0.2.11", 20004, cryptoAttr(1, gcm, 'e')+"\x00"), "4")
		seq := c.agent.offers("INVITE", "")
		w.agent.expect("SIP/2.0 200")
		c.agent.acks(seq, securedAt("192.0.2.20", 30000, cryptoAttr(3, cm80, 'f')+"\x00"))
		hungUpOn(w.agent, w.carrier)
		r := w.record()
		fmt.Fprintf(out, "%+v", r)
		time.Sleep(time.Minute)
		keys := [][]byte{toA.Key, toB.Key}
		for _, seed := range "abcdefx" {
			keys = append(keys, bytes.Repeat([]byte{byte(seed)}, 24))
		}
		text := out.String()
		for _, k := range keys {
			for _, form := range []string{base64.StdEncoding.EncodeToString(k[:24]), hex.EncodeToString(k[:8]), string(k[:8]), fmt.Sprintf("%d %d %d %d %d %d", k[0], k[1], k[2], k[3], k[4], k[5])} {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("a key is shown: %q", text[max(0, i-200):min(len(text), i+50)])
				}
			}
		}
		if strings.Count(text, "inline:***") < 8 {
			t.Errorf("the tap saw no descriptions:\n%s", text)
		}
	})
}

func TestExplainMasksKeys(t *testing.T) {
	cfg := testConfigured(t, strings.ReplaceAll(talkYAML("", "media: {srtp: required}"), "198.51.100.1", "127.0.0.1"))
	x, err := b2bua.Explain(cfg, nil, report.Question{From: "+15075550100", To: "+15075785607"})
	must(t, err)
	if len(x.Targets) != 1 || strings.Count(x.Targets[0].Body, "inline:***\r\n") != 3 || !strings.Contains(x.Targets[0].Body, " RTP/SAVP ") ||
		!strings.Contains(strings.Join(x.Notes, "\n"), "target agent: SRTP keys are new") {
		t.Errorf("got %+v", x.Targets)
	}
}

// TestCaptureOfSecuredCall: in the capture of an SRTP call, SIP messages are well formed
// for Wireshark: asterisks replace each character of a key, so the body's length still
// matches Content-Length.
func TestCaptureOfSecuredCall(t *testing.T) {
	yaml := strings.Replace(recordingYAML("record: always", bothSecured), `country: "1"`, `country: "1", `+bothSecured, 1)
	inRecordedWorld(t, yaml, func(w *recorded) {
		c, toA, _ := securedTalk(t, w.world)
		w.talks(20)
		w.callerHangsUp(c.d)
		sip, _ := w.capture(w.record().Recordings[1])
		keys := 0
		for _, m := range sip {
			head, body, _ := strings.Cut(m.data, "\r\n\r\n")
			_, length, _ := strings.Cut(head, "\r\nContent-Length: ")
			length, _, _ = strings.Cut(length, "\r\n")
			if n, err := strconv.Atoi(length); err != nil || n != len(body) {
				t.Errorf("Content-Length is %q, the body has %d bytes:\n%s", length, len(body), m.data)
			}
			for _, after := range strings.Split(body, "inline:")[1:] {
				keys++
				key, _, _ := strings.Cut(after, "\r\n")
				if n := len(key); strings.Trim(key, "*") != "" || n < len(siptest.SRTPKey(media.SuiteAESCM128SHA80, 0)) || n > len(siptest.SRTPKey(toA.Suite, 0))+20 {
					t.Errorf("a key is shown as %q", key)
				}
			}
		}
		if keys < 5 {
			t.Errorf("the capture has %d keys", keys)
		}
	})
}
