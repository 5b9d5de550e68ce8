package record

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"
	"unicode"
)

// rows returns the records as a CSV reader sees them.
func rows(t testing.TB, records ...Record) []map[string]string {
	t.Helper()
	var b strings.Builder
	write, flush := Encoder(&b, true)
	for i := range records {
		if err := write(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(lines) != len(records)+1 {
		t.Fatalf("%d lines, %v: %s", len(lines), err, b.String())
	}
	var all []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		all = append(all, row)
	}
	return all
}

// sample returns a record with a value in each kind of column.
func sample(id string) Record {
	return Record{
		ID: id, From: "+15550100001", StartedAt: TimeOf(time.Date(2026, 11, 20, 8, 0, 0, 123_000_000, time.UTC)), DurationMS: 60000,
		TraceID: "0af7651916cd43dd8448eb211c80319c", Attempts: []Attempt{{Target: "synthflow", DroppedHeaders: []string{"X-A", "X-B"}}},
		Recordings: []Recording{{File: "2026/11/20/x.wav", Format: "wav", Bytes: 1920044}},
		Media:      Media{A: MediaSide{Rx: 3000, JitterMS: 1.5}, B: MediaSide{Rx: 2, DroppedBy: DroppedBy{WrongSource: 3}, MOS: 3.2}, MOS: 4.3, OneWay: "b"},
		Variables:  map[string]string{"ticket": "4711"},
	}
}

func TestCSV(t *testing.T) {
	r := sample("one")
	r.Report = &Report{CallID: "p"}
	r.Talk = &Talk{Confidence: TalkGood, FirstAgentMS: new(int64(0)), Turns: &Durations{N: 3, P50: 810, P95: 1850}}
	got := rows(t, r, Record{ID: "bare"})
	for name, want := range map[string]string{
		"id": "one", "from": "+15550100001", "started_at": "2026-11-20T08:00:00.123Z", "duration_ms": "60000", "a_jitter_ms": "1.5", "b_mos": "3.2",
		"a_mos": "", "mos": "4.3", "one_way": "b", "trace_id": r.TraceID,
		"talk": "good", "first_agent_ms": "0", "turns": "3", "turn_p95_ms": "1850", "barge_ins_ignored": "",
	} {
		if got[0][name] != want {
			t.Errorf("%s: got %q; want %q", name, got[0][name], want)
		}
	}
	for _, name := range []string{"attempts", "recordings", "variables", "report"} {
		if c := got[0][name]; !strings.Contains("[{", c[:1]) {
			t.Errorf("%s: %q", name, c)
		}
		if c, ok := got[1][name]; c != "" || !ok {
			t.Errorf("%s of a bare call: %q", name, c)
		}
	}
	if got := rows(t); got != nil {
		t.Errorf("nothing: %v", got)
	}
}

// The columns stay where they are. A new one comes after the last of those with one value of the record, codec, or at
// the end.
func TestCSVHeader(t *testing.T) {
	const want = "id,node,trunk,route,target,direction,from,to,lead,sip_call_id,target_sip_call_id,synthflow_call_id," +
		"external_id,trace_id,restored,queued_ms,verstat,attest,orig_id,started_at,ringing_at,prepared_at," +
		"dialed_at,answered_at,ended_at,setup_ms,duration_ms,disposition,sip_status,q850,cause,ended_by,codec,agent_answered_at," +
		"a_rx,a_tx,a_lost,a_jitter_ms,a_rtt_ms,a_mos,b_rx,b_tx,b_lost,b_jitter_ms,b_rtt_ms,b_mos,talk," +
		"first_agent_ms,turns,turn_p50_ms,turn_p95_ms,barge_ins_ignored,agent_dead_air_ms,mos,one_way,gap_ms," +
		"problems,attempts,recordings,variables,report,told"
	var b strings.Builder
	_, flush := Encoder(&b, true)
	if err := flush(); err != nil || b.String() != want+"\n" {
		t.Errorf("got %s, %v; want %s", b.String(), err, want)
	}
}

// Whatever a caller sends as its number is text to every program that opens the file.
func TestCSVIsSafe(t *testing.T) {
	for in, want := range map[string]string{
		"+15550100001":             "+15550100001",
		"+":                        "'+",
		"+1+cmd|' /C calc'!A0":     "'+1+cmd|' /C calc'!A0",
		"=HYPERLINK(\"http://x\")": "'=HYPERLINK(\"http://x\")",
		"-1":                       "'-1",
		"@SUM(1)":                  "'@SUM(1)",
		"\t=1":                     `\u0009=1`,
		"\r\n=1":                   `\u000d\u000a=1`,
		"a\x00b\x1b[31m":           `a\u0000b\u001b[31m`,
		"\u202e123":                `\u202e123`,
		"\xff":                     `\ufffd`,
		"a,b;\"c\"":                "a,b;\"c\"",
		"日本":                       "日本",
		"":                         "",
	} {
		r := sample("x")
		r.From = in
		if got := rows(t, r)[0]["from"]; got != want {
			t.Errorf("%q: got %q; want %q", in, got, want)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("+1", "=x\n\"", "\u202e")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		r := sample(a)
		r.From, r.To, r.Attempts[0].Cause = b, c, b
		for name, cell := range rows(t, r)[0] {
			if strings.ContainsFunc(cell, unicode.IsControl) {
				t.Errorf("%s: %q has a control character", name, cell)
			}
			if cell == "" || !strings.ContainsRune("=+-@", rune(cell[0])) {
				continue
			}
			if cell[0] != '+' || strings.Trim(cell[1:], "0123456789") != "" || len(cell) == 1 {
				t.Errorf("%s: %q may be a formula", name, cell)
			}
		}
	})
}
