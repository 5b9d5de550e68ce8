package sim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestInviteIsChecked(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, SynthflowOptions{RingFor: -1}), startCarrier(t)
	used := prepareCall(t, s)
	if r := place(t, c, withXEI(s, "S."+used+";")); r.Status != 200 {
		t.Fatalf("first use: %d %s", r.Status, r.Reason)
	}
	for _, tt := range []struct {
		name   string
		xei    string
		user   string
		reason string
	}{
		{"unknown id", "S.4711;", number, "X-EI S token is no prepared call"},
		{"used id", "S." + used + ";", number, "X-EI S token was used before"},
		{"not terminated", "S." + prepareCall(t, s), number, "x-ei: last token does not end in ';'"},
		{"bare id", prepareCall(t, s), number, "x-ei: part that is no S, E or O token"},
		{"unknown token", "S." + prepareCall(t, s) + ";X.1;", number, "x-ei: part that is no S, E or O token"},
		{"no S", "E.1;", number, "X-EI without S token"},
		{"other number", "S." + prepareCall(t, s) + ";", "+15075785608", "Request-URI user is not the prepared to_number"},
		{"no plus", "S." + prepareCall(t, s) + ";", number[1:], "OK"},
		{"all three", "O.+1555;E.x;S." + prepareCall(t, s) + ";", number, "OK"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc := withXEI(s, tt.xei)
			cc.To = strings.Replace(cc.To, number, tt.user, 1)
			r := place(t, c, cc)
			if !strings.HasPrefix(r.Reason, tt.reason) || (r.Status == 200) != (tt.reason == "OK") {
				t.Errorf("got %d %q; want %q", r.Status, r.Reason, tt.reason)
			}
			if r.Status != 200 && r.Status != 403 {
				t.Errorf("got %d; want 403", r.Status)
			}
		})
	}
	t.Run("none and two", func(t *testing.T) {
		cc := withXEI(s, "S."+prepareCall(t, s)+";")
		two := cc
		two.Headers = append(two.Headers, Header{"x-ei", "E.1;"})
		cc.Headers = nil
		if r := place(t, c, cc); r.Status != 403 || r.Reason != "no X-EI header" {
			t.Errorf("got %d %s", r.Status, r.Reason)
		}
		if r := place(t, c, two); r.Status != 403 || r.Reason != "more than one X-EI header" {
			t.Errorf("got %d %s", r.Status, r.Reason)
		}
	})
}

func TestIDExpires(t *testing.T) {
	ids, now := newIDTable(time.Minute), time.Unix(1000, 0)
	ids.add("a", apiRequest{to: "+1"}, now)
	if _, why := ids.use("a", "1", now.Add(61*time.Second)); !strings.Contains(why, "expired") {
		t.Errorf("got %q", why)
	}
	if _, why := ids.use("a", "1", now.Add(59*time.Second)); why != "" {
		t.Errorf("got %q", why)
	}
	ids.add("b", apiRequest{to: "+1"}, now.Add(3*time.Minute))
	if len(ids.ids) != 1 {
		t.Errorf("got %d ids; want the old one gone", len(ids.ids))
	}
}

func TestAPI(t *testing.T) {
	s := startPlatform(t, SynthflowOptions{Token: "abc"})
	valid := requestBody(number)
	for _, tt := range []struct {
		name  string
		token string
		body  string
		code  int
		words string
	}{
		{"good", "abc", valid, 200, `"call_status":"registered"`},
		{"echo", "abc", valid, 200, `"custom_variables":{"n":1,"s":"x","b":true}`},
		{"long shape", "abc", valid, 200, `"timezone":null`},
		{"wrong token", "abd", valid, 401, "bearer"},
		{"no json", "abc", `{"from_number":"1",}`, 400, "json"},
		{"array", "abc", `[]`, 400, "want a JSON object"},
		{"unknown field", "abc", strings.Replace(valid, "model_id", "model", 1), 400, `unknown field \"model\"`},
		{"missing field", "abc", strings.Replace(valid, `"model_id":"m",`, "", 1), 400, `\"model_id\" is missing`},
		{"twice", "abc", strings.Replace(valid, `"model_id":"m"`, `"model_id":"m","model_id":"m"`, 1), 400, "appears twice"},
		{"wrong type", "abc", strings.Replace(valid, `"m"`, `7`, 1), 400, `\"model_id\" must be a string`},
		{"null", "abc", strings.Replace(valid, `"m"`, `null`, 1), 400, `\"model_id\" must be a string`},
		{"nested variables", "abc", strings.Replace(valid, `"n":1`, `"n":{}`, 1), 400, `custom variable \"n\"`},
		{"variables as array", "abc", valid[:strings.Index(valid, `{"n"`)] + `[]}`, 400, "must be an object"},
		{"no to_number", "abc", requestBody(""), 400, "empty"},
		{"trailing", "abc", valid + "x", 400, "after"},
		{"too large", "abc", strings.Repeat(" ", maxAPIBody+1) + valid, 413, "too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := post(t, s, tt.token, tt.body)
			if code != tt.code || !strings.Contains(body, tt.words) {
				t.Errorf("got %d %s; want %d and %s", code, body, tt.code, tt.words)
			}
		})
	}
}

func TestFaultsOfTheAPI(t *testing.T) {
	t.Parallel()
	s := startPlatform(t, SynthflowOptions{})
	for _, tt := range []struct {
		fault Fault
		code  int
		words string
	}{
		{Fault{Kind: FaultFailed}, 200, `"call_status":"failed"`},
		{Fault{Kind: Fault500}, 500, "internal error"},
		{Fault{Kind: FaultMalformed}, 200, `"synthflow_call_id": `},
		{Fault{Kind: FaultSlow, After: 50 * time.Millisecond}, 200, `"registered"`},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			s.SetFault(tt.fault)
			start := time.Now()
			code, body := post(t, s, s.Token(), requestBody(number))
			if code != tt.code || !strings.Contains(body, tt.words) {
				t.Errorf("got %d %s", code, body)
			}
			if time.Since(start) < tt.fault.After {
				t.Errorf("answered after %v", time.Since(start))
			}
		})
	}
}

func TestAPIResetsConnection(t *testing.T) {
	t.Parallel()
	s := startPlatform(t, SynthflowOptions{Fault: Fault{Kind: FaultReset}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.APIURL()+apiPath, strings.NewReader(requestBody(number)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.Token())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatalf("got %s", resp.Status)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v; want a reset", err)
	}
}

func TestSilentPlatform(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, SynthflowOptions{Fault: Fault{Kind: FaultSilent}}), startCarrier(t)
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	r, err := c.Call(ctx, withXEI(s, "S."+prepareCall(t, s)+";"))
	if !errors.Is(err, context.DeadlineExceeded) || r.Status != 0 || len(r.Provisional) > 0 {
		t.Errorf("got %v, %+v; want not even a 100", err, r)
	}
	if n := len(s.Calls()); n != 0 {
		t.Errorf("the agent saw %d calls", n)
	}
}

func TestFaultsOfTheAgent(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, SynthflowOptions{}), startCarrier(t)
	t.Run("busy", func(t *testing.T) {
		s.SetFault(Fault{Kind: FaultBusy})
		if r := place(t, c, withXEI(s, "S."+prepareCall(t, s)+";")); r.Status != 486 {
			t.Errorf("got %d", r.Status)
		}
	})
	t.Run("status", func(t *testing.T) {
		s.SetFault(Fault{Kind: FaultStatus, Status: 603})
		if r := place(t, c, withXEI(s, "S."+prepareCall(t, s)+";")); r.Status != 603 {
			t.Errorf("got %d", r.Status)
		}
	})
	t.Run("early", func(t *testing.T) {
		s.SetFault(Fault{Kind: FaultEarly, After: 300 * time.Millisecond})
		id := prepareCall(t, s)
		r := place(t, c, withXEI(s, "S."+id+";"))
		if took := r.EndedAt.Sub(r.InvitedAt); r.Status != 503 || !slices.Contains(r.Provisional, 183) || took < 300*time.Millisecond {
			t.Errorf("got %d after %v and %v", r.Status, r.Provisional, took)
		}
		if a := ended(t, s, id); a.RTP.Sent == 0 {
			t.Errorf("no early media: %+v", a.RTP)
		}
	})
	t.Run("late", func(t *testing.T) {
		s.SetFault(Fault{Kind: FaultLate, After: 500 * time.Millisecond})
		r := place(t, c, withXEI(s, "S."+prepareCall(t, s)+";"))
		if took := r.AnsweredAt.Sub(r.InvitedAt); r.Status != 200 || took < 500*time.Millisecond || r.PostDialDelay > 400*time.Millisecond {
			t.Errorf("got %d after %v, ringing after %v", r.Status, took, r.PostDialDelay)
		}
	})
	t.Run("hangup", func(t *testing.T) {
		s.SetFault(Fault{Kind: FaultHangup, After: 300 * time.Millisecond})
		id := prepareCall(t, s)
		cc := withXEI(s, "S."+id+";")
		cc.Hold, cc.HangupBy = time.Millisecond, SideAgent
		r := place(t, c, cc)
		if r.EndedBy != SideAgent || r.EndedAt.Sub(r.AnsweredAt) > 5*time.Second {
			t.Errorf("got ended by %s after %v", r.EndedBy, r.EndedAt.Sub(r.AnsweredAt))
		}
	})
	t.Run("cancel", func(t *testing.T) {
		s.SetFault(Fault{Kind: FaultLate, After: 20 * time.Second})
		id := prepareCall(t, s)
		cc := withXEI(s, "S."+id+";")
		cc.CancelAfter = 100 * time.Millisecond
		r := place(t, c, cc)
		if r.Status != 487 || !r.Cancelled {
			t.Errorf("got %d %s", r.Status, r.Reason)
		}
		if a := ended(t, s, id); !a.GotCancel || a.Status != 487 {
			t.Errorf("agent: %+v", a)
		}
	})
}

func TestHangupByContext(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, SynthflowOptions{RingFor: -1}), startCarrier(t)
	id := prepareCall(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cc := withXEI(s, "S."+id+";")
	cc.Hold = 0
	cc.OnAnswer = func(string) { cancel() }
	r, err := c.Call(ctx, cc)
	if err != nil || r.EndedBy != SideCaller || r.ByeStatus != 200 {
		t.Errorf("got %v, ended by %s, bye %d", err, r.EndedBy, r.ByeStatus)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := settleCount()
	s, err := StartSynthflow(context.Background(), SynthflowOptions{RingFor: -1})
	if err != nil {
		t.Fatal(err)
	}
	c, err := StartCarrier(context.Background(), CarrierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	answered, done := make(chan string, 4), make(chan CarrierResult, 4)
	for range 4 {
		cc := withXEI(s, "S."+prepareCall(t, s)+";")
		cc.Hold = 0
		cc.OnAnswer = func(id string) { answered <- id }
		go func() {
			r, err := c.Call(context.Background(), cc)
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
	}
	for range 4 {
		<-answered
	}
	s.SetFault(Fault{Kind: FaultHang})
	hung := make(chan error, 1)
	go func() {
		client := startHangingRequest(s)
		hung <- client
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for range 4 {
		if r := <-done; r.EndedBy != SideAgent {
			t.Errorf("ended by %q", r.EndedBy)
		}
	}
	<-hung
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Call(context.Background(), CarrierCall{To: "sip:x@127.0.0.1"}); !errors.Is(err, errCarrierClosed) {
		t.Errorf("call after close: %v", err)
	}
	if !settled(before) {
		t.Errorf("%d goroutines before, more after", before)
	}
}

// startHangingRequest sends a request that is not answered and returns when
// it fails.
func startHangingRequest(s *Synthflow) error {
	var d net.Dialer
	conn, err := d.DialContext(context.Background(), "tcp", s.api.Addr().String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	body := requestBody(number)
	if _, err := conn.Write([]byte("POST " + apiPath + " HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\nAuthorization: Bearer " +
		s.Token() + "\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
