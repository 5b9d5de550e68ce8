package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

// holds says which invariants are broken, by the beginnings of their names.
func brokenOf(all []invariant) (names []string) {
	for _, i := range all {
		if len(i.broken) > 0 {
			names = append(names, i.name)
		}
	}
	return names
}

func TestJudgePhones(t *testing.T) {
	var confirmed, sent [phoneCount]int
	for phone, test := range map[int]struct {
		confirmed, sent, is int
		broken              bool
	}{
		0: {101, 101, 101, false}, 1: {102, 202, 202, false}, 2: {103, 203, 103, false}, // the next one's answer is on its way
		3: {104, 104, 4, true}, 4: {105, 105, 0, true}, 5: {106, 106, 206, true}, 6: {0, 107, 0, false},
	} {
		confirmed[phone], sent[phone] = test.confirmed, test.sent
		has := map[int]int{phone: test.is}
		i := invariant{}
		i.judge(confirmed, sent, has)
		if (len(i.broken) > 0) != test.broken {
			t.Errorf("%+v: %v", test, i.broken)
		}
		confirmed[phone] = 0
	}
	if phone, serial, ok := phoneOf("sip:p7-107@10.0.0.1:5060"); phone != 7 || serial != 107 || !ok {
		t.Error(phone, serial, ok)
	}
	if _, _, ok := phoneOf("sip:alice@10.0.0.1:5060"); ok {
		t.Error("somebody else's Contact is a phone's")
	}
}

// An agent whose INVITE left less than 0.1 s before a death may be left ringing: no other node knows of the call.
func TestJudgeUnansweredAgents(t *testing.T) {
	const death = time.Minute
	for _, test := range []struct {
		invited, over time.Duration
		fate          fate
		ok, judged    bool
	}{
		{death - time.Second, death + 2*time.Second, refused, true, true},
		{death - time.Second, 0, open, false, true},
		{death - time.Second, death + 6*time.Second, refused, false, true},
		{death - 50*time.Millisecond, 0, open, false, false},
		{death - 50*time.Millisecond, death + 2*time.Second, refused, true, true},
	} {
		g := leg{side: side{fate: test.fate, over: test.over}, moments: []moment{{at: test.invited}}}
		if ok, judged := g.learnt(death); ok != test.ok || judged != test.judged {
			t.Errorf("%+v: %v, %v", test, ok, judged)
		}
	}
}

// An INVITE that leaves when the owner is cut off reaches its agent a moment later. The agent is one of the lost calls.
func TestCallsUnderWay(t *testing.T) {
	const death, cut = time.Minute, time.Minute + 300*time.Millisecond
	for _, test := range []struct {
		at, over, cut time.Duration
		caller        bool
		fate          fate
		is            bool
	}{
		{death - time.Second, 0, cut, false, open, true},
		{cut + 50*time.Millisecond, 0, cut, false, open, true},
		{cut + 50*time.Millisecond, 0, cut, true, open, false}, // the next owner answers it
		{cut + time.Second, 0, cut, false, open, false},
		{death + 50*time.Millisecond, 0, 0, false, open, true},
		{death - time.Second, death - time.Millisecond, cut, false, refused, false},
		{death - time.Second, death + time.Second, cut, true, refused, true},
	} {
		g := leg{side: side{fate: test.fate, over: test.over, caller: test.caller}, moments: []moment{{at: test.at}}}
		if g.underWay(death, test.cut) != test.is {
			t.Errorf("%+v: %v", test, !test.is)
		}
	}
	if (&leg{moments: []moment{{at: time.Second}}}).underWay(0, 0) {
		t.Error("without a death")
	}
}

func TestJudgeCalls(t *testing.T) {
	const number = "+150710000001"
	carrier := func(f fate, answered, wanted bool) side {
		return side{name: "carrier", number: number, callID: "c1", caller: true, rung: true, answered: answered, wanted: wanted, fate: f}
	}
	agent := func(f fate, answered, wanted bool) side {
		return side{name: "first", number: number, callID: "f1", rung: true, answered: answered, wanted: wanted, fate: f}
	}
	late := carrier(hungUp, true, true)
	late.why = "session expired"
	parted := func(s side, at, over int) side {
		s.parted, s.over = time.Duration(at), time.Duration(over)
		return s
	}
	unknown := side{name: "carrier", number: number, caller: true, fate: unheard}
	for _, test := range []struct {
		name  string
		sides []side
		want  string
	}{
		{"the caller hangs up", []side{carrier(hungUp, true, true), agent(told, true, false)}, ""},
		{"both hang up at once", []side{carrier(hungUp, true, true), agent(gone, true, true)}, ""},
		{"the agent was not told", []side{carrier(hungUp, true, true), agent(open, true, false)}, "both ends"},
		{"nobody answers the BYE", []side{carrier(untold, true, true), agent(told, true, false)}, "both ends"},
		{"it is gone when the caller hangs up", []side{carrier(gone, true, true), agent(open, true, false)}, "both ends, no answered call"},
		{"the answer to the BYE was lost", []side{parted(carrier(told, true, false), 0, 8), parted(agent(gone, true, true), 7, 20)}, ""},
		{"it was ended before the BYE", []side{parted(carrier(told, true, false), 0, 6), parted(agent(gone, true, true), 7, 20)}, "no answered call"},
		{"it is ended by us", []side{carrier(told, true, false), agent(told, true, false)}, "no answered call"},
		{"the agent's session expires", []side{late, agent(told, true, false)}, "no answered call"},
		{"the agent dies", []side{carrier(told, true, false), agent(forgotten, true, false)}, ""},
		{"refused", []side{carrier(refused, false, false), agent(refused, false, false)}, ""},
		{"the agent is left ringing", []side{carrier(refused, false, false), agent(open, false, false)}, "nothing is left"},
		{"the caller is left ringing", []side{carrier(open, false, false)}, "nothing is left"},
		{"the caller never hears anything", []side{unknown}, "each INVITE"},
		{"the caller did not get the 200", []side{carrier(refused, false, false), agent(told, true, false)}, ""},
	} {
		got := brokenOf(judgeCalls(test.sides))
		var want []string
		if test.want != "" {
			want = strings.Split(test.want, ", ")
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %q", test.name, got, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s: %q, want %q", test.name, got[i], want[i])
			}
		}
	}
}

func TestJudgeRecords(t *testing.T) {
	causes := map[string]bool{"caller_hangup": true, "process_restart": true}
	all := []side{{number: "n1", callID: "c1", caller: true, answered: true, set: true, fate: hungUp}, {number: "n2", callID: "c2", caller: true, fate: refused}}
	set := struct{ Number string }{"n1"}
	good := record{ID: "1", SIPCallID: "c1", Cause: "caller_hangup", Disposition: "answered", Variables: set}
	for _, test := range []struct {
		name   string
		now    []record
		before map[string]record
		want   string
	}{
		{"as it should be", []record{good}, nil, ""},
		{"it was in the file that was lost", nil, map[string]record{"1": good}, ""},
		{"it is in both", []record{good}, map[string]flowbridge.Record{"1": good}, ""},
		{"without its variable", []record{{ID: "1", SIPCallID: "c1", Cause: "caller_hangup", Disposition: "answered"}}, nil, "a variable that"},
		{"none", nil, nil, "each answered"},
		{"two", []record{good, {ID: "2", SIPCallID: "c1", Cause: "caller_hangup", Variables: set}}, nil, "no call has two"},
		{"two with one id", []record{good, good}, nil, "no call has two"},
		{"two in two files", []record{good}, map[string]flowbridge.Record{"2": {ID: "2", SIPCallID: "c1", Cause: "caller_hangup", Variables: set}}, "no call has two"},
		{"a cause that there is not", []record{{ID: "1", SIPCallID: "c1", Cause: "fate", Variables: set}}, nil, "causes are"},
		{"interrupted", []record{{ID: "1", SIPCallID: "c1", Cause: "process_restart", Disposition: "interrupted", Variables: set}}, nil, "no record of an answered"},
	} {
		got := brokenOf(judgeRecords(all, test.now, test.before, causes))
		if text := strings.Join(got, ", "); !strings.HasPrefix(text, test.want) || len(got) > 1 || test.want == "" && text != "" {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestJudgeRecordsOfCallsThatRang(t *testing.T) {
	all := []side{{number: "n1", callID: "c1", caller: true, rung: true, fate: refused}}
	if got := brokenOf(judgeRecords(all, nil, nil, nil)); len(got) != 1 || !strings.HasPrefix(got[0], "each call that rang") {
		t.Errorf("got %q", got)
	}
	if got := brokenOf(judgeRecords(all, []record{{ID: "1", SIPCallID: "c1"}}, nil, map[string]bool{"": true})); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestJudgeProcess(t *testing.T) {
	before := flowbridge.Figures{"process_open_fds": 20, "go_goroutines": 20, "process_resident_memory_bytes": 50 << 20}
	after := flowbridge.Figures{
		"flowbridge_calls_open": 0, "flowbridge_rtp_ports_in_use": 0, "flowbridge_unwritten_records": 0, "flowbridge_panics_recovered_total": 0,
		"process_open_fds": 24, "go_goroutines": 30, "process_resident_memory_bytes": 90 << 20,
	}
	if got := brokenOf(judgeProcess(before, after)); len(got) > 0 {
		t.Errorf("broken: %q", got)
	}
	after["flowbridge_rtp_ports_in_use"], after["process_open_fds"] = 2, 400
	if got := brokenOf(judgeProcess(before, after)); len(got) != 2 {
		t.Errorf("broken: %q", got)
	}
	if got := brokenOf(judgeProcess(before, flowbridge.Figures{})); len(got) < 5 {
		t.Errorf("a process that says nothing: %q", got)
	}
}

func TestIdleIn(t *testing.T) {
	const profile = `goroutine profile: total 108
63 @ 0x4 0x5
#	0x4	flowbridge/b2bua/transport.(*Turns).work+0x6e	/src/turns.go:153
#	0x5	sync.(*WaitGroup).Go.func1+0x4c	/go/waitgroup.go:258

41 @ 0x4 0x6
#	0x4	iter.Pull[...].func1.1+0xbd	/go/iter.go:288
#	0x6	flowbridge/internal/coroutine.(*runner).tasks+0x8c	/src/coroutine.go:68

3 @ 0x4 0x6
#	0x4	iter.Pull[...].func1.1+0xbd	/go/iter.go:288
#	0x5	flowbridge/internal/coroutine.Park+0x3a	/src/coroutine.go:118
#	0x6	flowbridge/internal/coroutine.(*runner).tasks+0x8c	/src/coroutine.go:68

1 @ 0x4 0x7
#	0x4	main.main+0x1d	/src/main.go:1
`
	if got := idleIn(profile); got != 63+41 {
		t.Errorf("got %d; want the goroutines of turns and the coroutines without a task", got)
	}
}

func TestJudgeLog(t *testing.T) {
	if i := judgeLog(`{"level":"info","message":"call ended","cause":"caller_hangup"}` + "\n"); len(i.broken) > 0 {
		t.Errorf("broken: %q", i.broken)
	}
	if i := judgeLog("WARNING: DATA RACE\n\npanic: boom\n"); len(i.broken) != 2 {
		t.Errorf("got %q", i.broken)
	}
}

func TestCausesOf(t *testing.T) {
	causes, err := causesOf("../../b2bua/cause/causes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !causes["caller_hangup"] || !causes["process_restart"] || causes["cause"] || len(causes) < 30 {
		t.Errorf("%d causes: %v", len(causes), causes)
	}
	if _, err := causesOf(os.DevNull + "/none"); err == nil {
		t.Error("no error without the file")
	}
}

func TestRestingIn(t *testing.T) {
	table := "  sl  local_address rem_address   st\n" +
		"  1: 0101CD0A:13C4 00000000:0000 07\n" + // 5060
		"  2: 0101CD0A:2710 00000000:0000 07\n" + // 10000
		"  3: 0101CD0A:7FFF 00000000:0000 07\n" + // 32767
		"  4: 0101CD0A:8000 00000000:0000 07\n"
	if n := restingIn(table); n != 2 {
		t.Errorf("%d sockets", n)
	}
}

func TestAnswerName(t *testing.T) {
	query := append([]byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "\x06agents\x05chaos\x04test\x00\x00\x01\x00\x01"...)
	answer := answerName(query)
	if want := string(namespace.AgentAddr.AsSlice()); len(answer) != len(query)+16 || string(answer[len(answer)-4:]) != want || answer[7] != 1 {
		t.Errorf("got %x", answer)
	}
	query[len(query)-3] = 28 // AAAA
	if answer := answerName(query); len(answer) != len(query) || answer[7] != 0 {
		t.Errorf("got %x", answer)
	}
	for n := range query {
		answerName(query[:n]) // it does not end the server
	}
}

func TestNumbersSayWhatACallIs(t *testing.T) {
	for k := range kinds {
		number := numberFor(k, 42)
		if kindOf(number) != k || serialOf(number) != 42 {
			t.Errorf("%s: kind %d, serial %d", number, kindOf(number), serialOf(number))
		}
		if h := hold(number); h < 0 || h > callHold {
			t.Errorf("%s is held for %v", number, h)
		}
	}
	if m := sip.Message("x"); m.Status() != 0 {
		t.Error("a status of nothing")
	}
}
