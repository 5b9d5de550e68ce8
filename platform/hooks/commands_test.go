package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// commanded returns a hook for commands with these tokens, and the list of commands that it has passed on.
func commanded(tokens ...*Token) (h *Commands, did *[]Command) {
	did = new([]Command)
	return &Commands{Tokens: tokens, Log: zerolog.Nop(), Do: func(_ context.Context, by *Token, c Command) (string, error) {
		*did = append(*did, c)
		switch c.To {
		case "denied":
			return "", &RefusalError{Status: 403, Words: "The call may not be transferred there."}
		case "odd":
			return "", errors.New("secret reason")
		}
		return by.Name + " does " + string(c.Do), nil
	}}, did
}

func tell(h *Commands, target, token, body string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", target, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	h.ServeHTTP(w, r)
	return w
}

// A model's request may be long, but its log line is short.
func TestCommandsLogLittle(t *testing.T) {
	h, _ := commanded(&Token{Name: "support", Secret: "hush"})
	var log bytes.Buffer
	h.Log = zerolog.New(&log)
	long := strings.Repeat("4", maxCommand/4)
	tell(h, "/commands", "hush", `{"call": "abc", "do": "`+long+`", "to": "`+long+`"}`)
	if !strings.Contains(log.String(), "command of an agent") || log.Len() > 1000 {
		t.Errorf("%d bytes: %.300s", log.Len(), log.String())
	}
}

// The tools of each platform send what the platform's documents show, and are understood.
func TestCommands(t *testing.T) {
	sip := "01a210a39ce6c27b626f1666f849cadd"
	for name, tt := range map[string]struct {
		target, body string
		want         Command
		answer       string
	}{
		"our own form": {
			"/commands", `{"call": "abc", "do": "transfer", "to": "+15075550100", "announce": "hi", "accept": "1"}`,
			Command{IDs: []string{"abc"}, Sure: true, Arguments: Arguments{Do: "transfer", To: "+15075550100", Announce: "hi", Accept: "1"}},
			`{"result":"support does transfer"}`,
		},
		"Synthflow's custom action, whose body is written there": {
			"/commands?do=transfer&to=+15075550100", `{"call": "5f0c7a1e-synthflow", "reason": "wants a human"}`,
			Command{IDs: []string{"5f0c7a1e-synthflow"}, Sure: true, Arguments: Arguments{Do: "transfer", To: "+15075550100"}},
			`{"result":"support does transfer"}`,
		},
		"Vapi's tool-calls": {
			"/commands", `{"message": {"type": "tool-calls", "timestamp": 1, "call": {"id": "0199-vapi-call", "customer": {"number": "+15085550100"}, "transport": {"sbcCallSid": "` + sip + `"}},
			"toolCallList": [{"id": "toolu_1", "name": "transfer_call", "arguments": {"to": "4711"}}, {"id": "toolu_2", "type": "function", "function": {"name": "hold", "arguments": "{\"call\": \"ignored-by-nobody\"}"}}]}}`,
			Command{IDs: []string{"+15085550100", "0199-vapi-call", sip}, Arguments: Arguments{Do: "transfer", To: "4711"}},
			`{"results":[{"toolCallId":"toolu_1","result":"support does transfer"},{"toolCallId":"toolu_2","result":"support does hold"}]}`,
		},
		"Vapi's tool-calls, refused": {
			"/commands", `{"message": {"call": {"id": "0199-vapi-call"}, "toolCallList": [{"id": "toolu_1", "name": "transfer-call", "arguments": {"to": "denied"}}]}}`,
			Command{IDs: []string{"0199-vapi-call"}, Arguments: Arguments{Do: "transfer", To: "denied"}},
			`{"results":[{"toolCallId":"toolu_1","result":"The call may not be transferred there."}]}`,
		},
		"Retell's function": {
			"/commands", `{"name": "transfer", "call": {"call_id": "Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6", "call_type": "phone_call", "agent_id": "agent_12", "transcript": "Agent: Hello"}, "args": {"to": "4711"}}`,
			Command{IDs: []string{"phone_call", "agent_12", "Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6"}, Arguments: Arguments{Do: "transfer", To: "4711"}},
			`{"result":"support does transfer"}`,
		},
		"Retell's function, whose payload is the arguments alone": {
			"/commands?call=" + sip + "&do=hangup", `{}`, Command{IDs: []string{sip}, Sure: true, Arguments: Arguments{Do: "hangup"}}, `{"result":"support does hangup"}`,
		},
		"ElevenLabs' tool": {
			"/commands?do=transfer", `{"call": "` + sip + `", "to": "4711"}`, Command{IDs: []string{sip}, Sure: true, Arguments: Arguments{Do: "transfer", To: "4711"}}, `{"result":"support does transfer"}`,
		},
		"an argument beside the platform's word": {
			"/commands", `{"name": "hold", "call": {"call_id": "Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6"}, "args": {"call": "customer-4712"}}`,
			Command{IDs: []string{"Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6"}, Argument: "customer-4712", Arguments: Arguments{Do: "hold"}},
			`{"result":"support does hold"}`,
		},
		"an argument below the URL": {
			"/commands?call=" + sip, `{"name": "hold", "call": {"call_id": "Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6"}, "args": {"call": "customer-4712"}}`,
			Command{IDs: []string{sip}, Sure: true, Arguments: Arguments{Do: "hold"}},
			`{"result":"support does hold"}`,
		},
		"OpenAI's function by its server": {
			"/commands", `{"call": "` + sip + `", "do": "dtmf", "digits": "12#"}`, Command{IDs: []string{sip}, Sure: true, Arguments: Arguments{Do: "dtmf", Digits: "12#"}}, `{"result":"support does dtmf"}`,
		},
		"numbers of a model": {
			"/commands", `{"call": "` + sip + `", "do": "transfer", "to": 15075785500, "accept": 1, "digits": 12, "announce": null}`,
			Command{IDs: []string{sip}, Sure: true, Arguments: Arguments{Do: "transfer", To: "15075785500", Accept: "1", Digits: "12"}},
			`{"result":"support does transfer"}`,
		},
		"numbers in the arguments of Vapi's tool": {
			"/commands", `{"message": {"call": {"id": "0199-vapi-call"}, "toolCallList": [{"id": "toolu_1", "name": "dtmf", "arguments": "{\"digits\": 12345678901234567890}"}]}}`,
			Command{IDs: []string{"0199-vapi-call"}, Arguments: Arguments{Do: "dtmf", Digits: "12345678901234567890"}},
			`{"results":[{"toolCallId":"toolu_1","result":"support does dtmf"}]}`,
		},
	} {
		h, did := commanded(&Token{Name: "support", Secret: "hush", PerHour: 9}, &Token{Name: "other", Secret: "rush", PerHour: 9})
		w := tell(h, tt.target, "hush", tt.body)
		for i := range *did {
			slices.Sort((*did)[i].IDs)
		}
		slices.Sort(tt.want.IDs)
		if w.Code != 200 || w.Body.String() != tt.answer+"\n" && w.Body.String() != tt.answer || len(*did) == 0 || !same((*did)[0], tt.want) {
			t.Errorf("%s: got %d %s of %+v; want %s of %+v", name, w.Code, w.Body, *did, tt.answer, tt.want)
		}
	}
}

func same(a, b Command) bool {
	a.Call, b.Call = nil, nil
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func TestCommandsRefused(t *testing.T) {
	for _, tt := range []struct {
		method, token, body string
		code                int
		says                string
	}{
		{"POST", "", `{}`, 401, "bearer token"},
		{"POST", "wrong", `{}`, 401, "bearer token"},
		{"GET", "hush", ``, 405, "use POST"},
		{"POST", "hush", ``, 400, `no \"do\"`},
		{"POST", "hush", `[]`, 400, "JSON object"},
		{"POST", "hush", `{"do": "hold"}`, 400, `no \"call\"`},
		{"POST", "hush", `{"do": true, "call": "x"}`, 400, `\"do\" is a JSON bool`},
		{"POST", "hush", `{"call": "x", "do": "transfer", "to": 1.5075785500e10}`, 400, `\"to\" is a JSON number 1.5075785500e10`},
		{"POST", "hush", `{"call": "x", "do": "transfer", "to": ["4711"]}`, 400, `\"to\" is a JSON array`},
		{"POST", "hush", `{"call": "x", "do": "dtmf", "digits": -1}`, 400, `\"digits\" is a JSON number -1`},
		{"POST", "hush", `{"name": "transfer", "call": "x", "args": {"to": {}}}`, 400, `\"to\" is a JSON object`},
		{"POST", "hush", `{"message": 5}`, 400, `\"message\" is a JSON number`},
		{"POST", "hush", `{"do": "hold", "call": "` + strings.Repeat("a", 257) + `"}`, 400, `no \"call\"`},
		{"POST", "hush", `{"message": {"toolCallList": []}}`, 400, "tool calls"},
		{"POST", "hush", `{"message": {"call": {"id": "12345678"}, "toolCallList": [` + strings.Repeat(`{"name": "hold"},`, 8) + `{"name": "hold"}]}}`, 400, "tool calls"},
		{"POST", "hush", `{"message": {"call": {"id": "12345678"}, "toolCallList": [{"name": "hold", "arguments": "{"}]}}`, 400, `no \"do\"`},
		{"POST", "hush", strings.Repeat(" ", maxCommand+1), 413, "1 MiB"},
		{"POST", "hush", `{"call": "x", "do": "transfer", "to": "denied"}`, 403, "may not be transferred"},
		{"POST", "hush", `{"call": "x", "do": "transfer", "to": "odd"}`, 503, "does not answer"},
	} {
		h, _ := commanded(&Token{Name: "support", Secret: "hush", PerHour: 9}, &Token{Name: "empty"})
		w, r := httptest.NewRecorder(), httptest.NewRequest(tt.method, "/commands", strings.NewReader(tt.body))
		r.Header.Set("Authorization", "Bearer "+tt.token)
		h.ServeHTTP(w, r)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s %.80s with %q: got %d %s; want %d %s", tt.method, tt.body, tt.token, w.Code, w.Body, tt.code, tt.says)
		}
	}
}

// A token may give a limited number of commands per second, and ask for a limited number of transfers per hour. Refused
// ones count as well.
func TestCommandsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, did := commanded(&Token{Name: "a", Secret: "hush", PerHour: 3}, &Token{Name: "b", Secret: "rush", PerHour: 3})
		codes := func(n int, token, to string) (all map[int]int) {
			all = map[int]int{}
			for range n {
				all[tell(h, "/commands", token, `{"call": "x", "do": "transfer", "to": "`+to+`"}`).Code]++
			}
			return all
		}
		if got := codes(1000, "hush", "denied"); got[403] != 3 || got[429] != 997 {
			t.Errorf("a flood: got %v", got)
		}
		if got := codes(2, "rush", "4711"); got[200] != 2 {
			t.Errorf("another token: got %v", got)
		}
		time.Sleep(59 * time.Minute)
		if got := codes(2, "hush", "4711"); got[429] != 2 || tell(h, "/commands", "hush", `{"call": "x", "do": "hold"}`).Code != 200 {
			t.Errorf("before the hour is over: got %v", got)
		}
		time.Sleep(time.Minute)
		if got := codes(4, "hush", "4711"); got[200] != 3 || got[429] != 1 {
			t.Errorf("an hour later: got %v", got)
		}
		time.Sleep(time.Minute)
		hold := map[int]int{}
		for range 1000 {
			hold[tell(h, "/commands", "hush", `{"call": "x", "do": "hold"}`).Code]++
		}
		if hold[200] != commandsAtOnce || hold[429] != 1000-commandsAtOnce {
			t.Errorf("a flood of others: got %v", hold)
		}
		time.Sleep(time.Minute)
		eight := `{"message": {"call": {"id": "12345678"}, "toolCallList": [` + strings.Repeat(`{"id": "t", "name": "hold", "arguments": {}},`, 7) + `{"id": "t", "name": "hold", "arguments": {}}]}}`
		for i, want := range []int{200, 429, 200} { // each tool call counts; a request is refused as a whole
			if got := tell(h, "/commands", "hush", eight).Code; got != want {
				t.Errorf("eight at a time, the %d. time: got %d", i+1, got)
			}
			time.Sleep(time.Duration(i) * 2 * time.Second)
		}
		if n := len(*did); n != 3+2+1+3+commandsAtOnce+2*8 {
			t.Errorf("%d were carried out", n)
		}
	})
}

// FuzzCommands checks that for any message of a tool, each command that is read has an id and something to do, within
// the limits.
func FuzzCommands(f *testing.F) {
	for _, body := range []string{
		`{"call": "abc", "do": "transfer", "to": "4711"}`, `{"name": "hold_call", "call": {"call_id": "12345678"}, "args": {}}`,
		`{"message": {"call": {"id": "12345678"}, "toolCallList": [{"id": "t", "function": {"name": "hold", "arguments": "{}"}}]}}`,
		`{"call": [[["12345678"]]], "do": "HOLD", "args": "\"{}\""}`, ``, `null`,
	} {
		f.Add([]byte(body), "do=transfer&to=+1%20")
	}
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		all, err := parseCommands(body, query)
		if err != nil {
			return
		}
		if len(all) == 0 || len(all) > maxToolCalls {
			t.Fatalf("%d commands", len(all))
		}
		for _, c := range all {
			if c.Do == "" || len(c.IDs) == 0 || len(c.IDs) > maxCommandIDs || c.Sure && len(c.IDs) != 1 {
				t.Errorf("%+v", c)
			}
			for _, id := range c.IDs {
				if len(id) > maxID || id == "" {
					t.Errorf("the id %q", id)
				}
			}
			if _, err := json.Marshal(c); err != nil {
				t.Error(err)
			}
		}
	})
}
