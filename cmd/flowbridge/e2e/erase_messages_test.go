//go:build e2e

package e2e

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEraseInMessages erases a number that only messages have, each in another place. The calls lose their ladders and
// pcapng files and keep their records, except for the call with the number in its Call-ID.
func TestEraseInMessages(t *testing.T) {
	const number = "15557654321"
	inHex := hex.EncodeToString([]byte(number))
	s := newPreparedStage(t)
	b := s.serve(recordingSetup("record: always"))
	places := [][]string{
		{`"E2E Caller"`, `"+1 (555) 765-4321"`},
		{caller, "+" + number, "CSeq: 1 INVITE", "CSeq: 1 INVITE\n      P-Asserted-Identity: <sip:" + caller + "@[local_ip]>"},
		{"CSeq: 1 INVITE", "CSeq: 1 INVITE\n      Diversion: <sip:00" + number + "@[local_ip]>;reason=unconditional"},
		{"CSeq: 1 INVITE", "CSeq: 1 INVITE\n      History-Info: <sip:" + number + "@[local_ip]?Reason=SIP%3Bcause%3D302>;index=1"},
		{"CSeq: 1 INVITE", "CSeq: 1 INVITE\n      X-Customer: 1-555-765-4321"},
		{"CSeq: 1 INVITE", "CSeq: 1 INVITE\n      User-to-User: 04" + inHex + ";encoding=hex"},
		{"CSeq: 2 BYE", "CSeq: 2 BYE\n      Reason: SIP;cause=200;text=\"moved to +" + number + "\""},
		{"[call_id]", number + "///[call_id]"},
		{"nothing", "the number is not in this call"},
	}
	agent := s.sippAgent("caller_hangup", "-m", fmt.Sprint(len(places)))
	for _, p := range places {
		carrier := s.sipp("carrier", "caller_hangup/uac.xml", s.freePort(s.carrier), []string{"-s", called, b.sip.String()}, p...)
		carrier.proceed(carrier.answered(1)...)
		carrier.finish()
	}
	agent.finish()
	erase := func(more ...string) string {
		t.Helper()
		return operator(t, b.dir, 0, append([]string{"erase", "--url", b.admin, "--number", "+" + number}, more...)...)
	}
	eventually(t, "the ladders are handed over", func() bool {
		return len(b.cdrList()) == len(places) && !strings.Contains(erase("--dry-run"), "live or just over")
	})
	before := b.cdrList()
	const mentioned = "only in messages: 7 calls"
	if out := erase("--dry-run"); !strings.Contains(out, "would be erased: 1 calls, 8 ladders, 9 recordings;") || !strings.Contains(out, mentioned) {
		t.Error(out)
	}
	if out := erase(); !strings.Contains(out, "erased: 1 calls, 8 ladders, 9 recordings;") || !strings.Contains(out, mentioned) {
		t.Error(out)
	}
	if out := erase(); !strings.Contains(out, "erased: 0 calls, 0 ladders, 0 recordings;") || strings.Contains(out, "only in messages") {
		t.Error(out)
	}
	if after := b.cdrList(); len(after) != len(before)-1 {
		t.Errorf("%d records of %d", len(after), len(before))
	}
	wav, pcapng := 0, 0
	must(t, filepath.WalkDir(b.dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		for _, form := range []string{number, inHex, "1 (555) 765-4321", "1-555-765-4321"} {
			if bytes.Contains(text, []byte(form)) {
				t.Errorf("%s is left in %s", form, name)
			}
		}
		switch filepath.Ext(name) {
		case ".wav":
			wav++
		case ".pcapng":
			pcapng++
		}
		return err
	}))
	if wav != len(places)-1 || pcapng != 1 {
		t.Errorf("%d wav and %d pcapng files are left", wav, pcapng)
	}
	b.nothingLeft()
	b.stop()
}
