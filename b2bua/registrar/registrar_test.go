package registrar

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/store/record"
)

var (
	start  = time.Unix(1e9, 0)
	source = netip.MustParseAddrPort("203.0.113.7:40000")
)

// register returns a parsed REGISTER of the user alice.
func register(t testing.TB, callID string, seq int, lines string) Request {
	t.Helper()
	text := fmt.Sprintf("REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1\nFrom: <sip:alice@example.com>;tag=1\nTo: <sip:alice@example.com>\n"+
		"Call-ID: %s\nCSeq: %d REGISTER\nMax-Forwards: 70\n%sContent-Length: 0\n\n", callID, seq, lines)
	msg, err := message.Parse([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	req := msg.(*sip.Request)
	req.SetTransport("UDP")
	return Request{Request: req, Holder: "trunk phone", Record: "alice", From: source}
}

// values returns the values of a header in an answer.
func (a Answer) values(name string) string {
	var all []string
	for _, h := range a.Headers {
		if strings.EqualFold(h.Name(), name) {
			all = append(all, h.Value())
		}
	}
	return strings.Join(all, ", ")
}

// contacts returns a Contact header with n Contacts.
func contacts(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("<sip:c%d@10.0.0.5>", i)
	}
	return "Contact: " + strings.Join(all, ", ") + "\n"
}

func TestRegister(t *testing.T) {
	const bound = "<sip:a@10.0.0.5>;expires=600, <sip:b@10.0.0.5>;expires=600;q=0.5"
	for name, tt := range map[string]struct {
		callID, lines string
		seq, code     int
		reason, want  string // a header of the answer: the Contacts of a 200, or another header
	}{
		"asks":                      {lines: "", code: 200, want: bound},
		"another":                   {lines: "Contact: <sip:c@10.0.0.5>;q=0.75\nExpires: 100\n", code: 200, want: "<sip:a@10.0.0.5>;expires=600, <sip:c@10.0.0.5>;expires=100;q=0.750, <sip:b@10.0.0.5>;expires=600;q=0.500"},
		"renews":                    {lines: "Contact: <sip:%61@10.0.0.5>;expires=700\n", code: 200, want: "<sip:%61@10.0.0.5>;expires=700, <sip:b@10.0.0.5>;expires=600;q=0.500"},
		"longer than granted":       {lines: "Contact: <sip:a@10.0.0.5>;expires=99999999999\n", code: 200, want: "<sip:a@10.0.0.5>;expires=900, <sip:b@10.0.0.5>;expires=600;q=0.500"},
		"without a time":            {lines: "Contact: <sip:a@10.0.0.5>\n", code: 200, want: "<sip:a@10.0.0.5>;expires=900, <sip:b@10.0.0.5>;expires=600;q=0.500"},
		"with a time that is none":  {lines: "Contact: <sip:a@10.0.0.5>\nExpires: soon\n", code: 200, want: "<sip:a@10.0.0.5>;expires=900, <sip:b@10.0.0.5>;expires=600;q=0.500"},
		"removes one":               {lines: "Contact: <sip:a@10.0.0.5>;expires=0\n", code: 200, want: "<sip:b@10.0.0.5>;expires=600;q=0.500"},
		"removes what is not there": {lines: "Contact: <sip:z@10.0.0.5>;expires=0\n", code: 200, want: bound},
		"removes all":               {lines: "Contact: *\nExpires: 0\n", code: 200},
		"all, for a time":           {lines: "Contact: *\nExpires: 60\n", code: 400, reason: "Contact * Needs Expires: 0"},
		"all, without a time":       {lines: "Contact: *\n", code: 400, reason: "Contact * Needs Expires: 0"},
		"all, and another":          {lines: "Contact: *\nContact: <sip:c@10.0.0.5>\nExpires: 0\n", code: 400, reason: "Contact * Is Not Alone"},
		"all twice":                 {lines: "Contact: *\nContact: *\nExpires: 0\n", code: 400, reason: "Contact * Is Not Alone"},
		"too briefly":               {lines: "Contact: <sip:c@10.0.0.5>;expires=59\n", code: 423, reason: "Interval Too Brief", want: "60"},
		"one too briefly":           {lines: "Contact: <sip:a@10.0.0.5>;expires=0, <sip:c@10.0.0.5>;expires=1\n", code: 423, reason: "Interval Too Brief", want: "60"},
		"too many":                  {lines: contacts(mostContacts), code: 403, reason: "Too Many Contacts"},
		"ten thousand to remove":    {lines: contacts(10_000) + "Expires: 0\n", code: 403, reason: "Too Many Contacts"},
		"all replaced": {
			lines: "Contact: <sip:a@10.0.0.5>;expires=0, <sip:b@10.0.0.5>;expires=0, <sip:c@10.0.0.5>;q=0.8, <sip:d@10.0.0.5>;q=0.7, <sip:e@10.0.0.5>;q=0.6\n", code: 200,
			want: "<sip:c@10.0.0.5>;expires=900;q=0.800, <sip:d@10.0.0.5>;expires=900;q=0.700, <sip:e@10.0.0.5>;expires=900;q=0.600",
		},
		"one device twice": {
			lines: "Contact: <sip:new@10.0.0.9>;+sip.instance=\"<urn:uuid:1>\", <sip:newer@10.0.0.9>;+sip.instance=\"<urn:uuid:1>\"\n", code: 200,
			want: "<sip:newer@10.0.0.9>;expires=900, <sip:b@10.0.0.5>;expires=600;q=0.500",
		},
		"the address of one, by the device of another": {
			lines: "Contact: <sip:b@10.0.0.5>;+sip.instance=\"<urn:uuid:1>\"\n", code: 200, want: "<sip:b@10.0.0.5>;expires=900",
		},
		"the address of one, removed by the device of another": {
			lines: "Contact: <sip:b@10.0.0.5>;+sip.instance=\"<urn:uuid:1>\";expires=0\n", code: 200,
		},
		"an older one of the other": {
			callID: "one", seq: 5, lines: "Contact: <sip:new@10.0.0.9>;+sip.instance=\"<urn:uuid:1>\"\n", code: 500, reason: "REGISTER Is Older Than the Last One",
		},
		"a Path of many":               {lines: "Contact: <sip:c@10.0.0.5>\nPath: <sip:p;lr>" + strings.Repeat(", <sip:p;lr>", 8) + "\n", code: 400, reason: "Path Is Too Long"},
		"a Path with nothing in it":    {lines: "Contact: <sip:c@10.0.0.5>\nPath: <sip:p;lr>, , <sip:q;lr>\n", code: 400, reason: "Path Is Malformed"},
		"a Path without a host":        {lines: "Contact: <sip:c@10.0.0.5>\nPath: <sip:;lr>\n", code: 400, reason: "Path Is Malformed"},
		"ten thousand":                 {lines: contacts(10_000), code: 403, reason: "Too Many Contacts"},
		"the same again":               {callID: "one", seq: 5, lines: "Contact: <sip:a@10.0.0.5>\n", code: 500, reason: "REGISTER Is Older Than the Last One"},
		"an older one":                 {callID: "one", seq: 4, lines: "Contact: *\nExpires: 0\n", code: 500, reason: "REGISTER Is Older Than the Last One"},
		"an older one of another":      {callID: "two", seq: 4, lines: "Contact: <sip:a@10.0.0.5>;expires=60\n", code: 200, want: "<sip:a@10.0.0.5>;expires=60, <sip:b@10.0.0.5>;expires=600;q=0.500"},
		"an extension that is unknown": {lines: "Require: path, gruu, outbound\nContact: <sip:c@10.0.0.5>\n", code: 420, reason: "Bad Extension", want: "gruu, outbound"},
		"no SIP":                       {lines: "Contact: <tel:+15075550100>\n", code: 400, reason: "Contact Is No sip URI"},
		"sips, but no TLS":             {lines: "Contact: <sips:c@10.0.0.5>\n", code: 400, reason: "Contact Is No sip URI"},
		"what can't be read":           {lines: "Contact: <sip:c@\n", code: 400, reason: "Contact Is Malformed"},
		"a long Path":                  {lines: "Contact: <sip:c@10.0.0.5>\nPath: <sip:" + strings.Repeat("x", 3000) + ";lr>\n", code: 400, reason: "Path Is Too Long"},
		"from elsewhere, the same device": {
			lines: "Contact: <sip:new@10.0.0.9>;+sip.instance=\"<urn:uuid:1>\"\n", code: 200,
			want: "<sip:new@10.0.0.9>;expires=900, <sip:b@10.0.0.5>;expires=600;q=0.500",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var kept []record.Binding
			r := New(nil, func(_ string, all []record.Binding) { kept = all }, nil)
			first := r.Register(start, register(t, "one", 5, "Contact: <sip:a@10.0.0.5>;+sip.instance=\"<urn:uuid:1>\", <sip:b@10.0.0.5>;q=0.5\nExpires: 600\n"))
			if first.Code != 200 || first.values("Contact") != strings.Replace(bound, "q=0.5", "q=0.500", 1) {
				t.Fatalf("the first is answered by %+v", first)
			}
			if tt.callID == "" {
				tt.callID, tt.seq = "two", 1
			}
			got := r.Register(start, register(t, tt.callID, tt.seq, tt.lines))
			if got.Code != tt.code || tt.reason != "" && got.Reason != tt.reason {
				t.Fatalf("the answer is %d %s", got.Code, got.Reason)
			}
			want := strings.Replace(tt.want, "q=0.5,", "q=0.500,", 1)
			if want == bound {
				want += "00"
			}
			header := map[int]string{200: "Contact", 423: "Min-Expires", 420: "Unsupported", 400: "X", 403: "X", 500: "X"}[got.Code]
			if got.values(header) != want {
				t.Errorf("%s: %s; want %s", header, got.values(header), want)
			}
			if got.Code >= 300 && len(r.Of("trunk phone", start)) != 2 {
				t.Errorf("after a refusal, there is %+v", r.Of("trunk phone", start))
			}
			if len(kept) != len(r.Of("trunk phone", start)) {
				t.Errorf("%d are kept of %d", len(kept), len(r.Of("trunk phone", start)))
			}
		})
	}
}

// A REGISTER whose To names another user is refused, whoever sends it.
func TestRegisterForAnother(t *testing.T) {
	r := New(nil, nil, nil)
	q := register(t, "one", 1, "Contact: <sip:a@10.0.0.5>\n")
	q.Record = "bob"
	if a := r.Register(start, q); a.Code != 403 || len(r.All(start)) != 0 {
		t.Errorf("the answer is %+v", a)
	}
}

// Expired bindings are not called, not shown, and are removed. The same holds for bindings whose holder is gone.
func TestBindingsEnd(t *testing.T) {
	r := New(map[string][]record.Binding{"trunk gone": {{Contact: "sip:x@h", Expires: start.Add(time.Hour)}}}, nil, nil)
	r.Register(start, register(t, "one", 1, "Contact: <sip:a@10.0.0.5>;expires=60, <sip:b@10.0.0.5>;expires=120;q=0.1\nPath: <sip:p@192.0.2.5;lr>\nSupported: path\n"))
	all := r.Of("trunk phone", start.Add(time.Minute))
	if len(all) != 1 || all[0].Contact != "sip:b@10.0.0.5" || all[0].Received != source || all[0].Transport != "udp" || len(all[0].Path) != 1 {
		t.Errorf("after a minute: %+v", all)
	}
	if r.Tidy(start.Add(time.Minute), func(holder string) bool { return holder != "trunk gone" }); r.total != 1 || len(r.All(start)) != 1 {
		t.Errorf("%d are left: %+v", r.total, r.All(start))
	}
	r.Drop("trunk phone", all[0])
	if r.total != 0 || len(r.of) != 0 {
		t.Errorf("after the drop: %+v", r.of)
	}
}

// After a restart, the old process's bindings are added to those that were registered since, unless a newer one
// replaces them. The result is stored.
func TestTakeUp(t *testing.T) {
	kept := map[string]int{}
	r := New(nil, func(holder string, all []record.Binding) { kept[holder] = len(all) }, nil)
	r.Register(start, register(t, "one", 7, "Contact: <sip:a@10.0.0.5>\nContact: <sip:b@10.0.0.5>;+sip.instance=\"<urn:b>\"\n"))
	ends := start.Add(time.Hour)
	r.Restore(start, map[string][]record.Binding{
		"trunk phone": {
			{Contact: "sip:a@10.0.0.5:5060;x=y", Expires: ends},
			{Contact: "sip:a@10.0.0.5", CSeq: 3, Expires: ends},
			{Contact: "sip:was-b@10.0.0.9", Instance: "<urn:b>", Expires: ends},
			{Contact: "sip:c@10.0.0.7", Expires: ends},
			{Contact: "sip:d@10.0.0.8", Expires: start},
		},
		"trunk other": {{Contact: "sip:c@10.0.0.7", Expires: ends}},
	})
	var got []string
	for _, h := range r.All(start) {
		for _, b := range h.Bindings {
			got = append(got, fmt.Sprintf("%s %s %d", h.Name, b.Contact, b.CSeq))
		}
	}
	slices.Sort(got)
	want := []string{"trunk other sip:c@10.0.0.7 0", "trunk phone sip:a@10.0.0.5 7", "trunk phone sip:a@10.0.0.5:5060;x=y 0", "trunk phone sip:b@10.0.0.5 7", "trunk phone sip:c@10.0.0.7 0"}
	if !slices.Equal(got, want) || r.total != 5 || kept["trunk phone"] != 4 || kept["trunk other"] != 1 {
		t.Errorf("%q, %d in all, kept %v", got, r.total, kept)
	}
	clear(kept)
	if r.SaveAll(); kept["trunk phone"] != 4 || kept["trunk other"] != 1 {
		t.Errorf("kept once more: %v", kept)
	}
	r = New(map[string][]record.Binding{"trunk other": make([]record.Binding, maxBindings)}, nil, nil)
	late := map[string][]record.Binding{"trunk phone": {{Contact: "sip:c@10.0.0.7", Expires: ends}}}
	if r.Restore(start, late); r.total != maxBindings {
		t.Errorf("%d in all", r.total)
	}
}

// A device is recognised by its +sip.instance even if that is too long to be stored.
func TestLongInstance(t *testing.T) {
	r := New(nil, nil, nil)
	for i, user := range []string{"a", "b"} {
		lines := fmt.Sprintf("Contact: <sip:%s@10.0.0.5>;+sip.instance=\"<urn:%s>\"\n", user, strings.Repeat("x", 2*maxWord))
		if a := r.Register(start, register(t, "one", 1+i, lines)); a.Code != 200 || a.values("Contact") != "<sip:"+user+"@10.0.0.5>;expires=900" {
			t.Errorf("the answer is %+v", a)
		}
	}
}

// The parts of a REGISTER that are stored are copies. Otherwise they would keep the whole text of the REGISTER in
// memory.
func TestPathIsCopied(t *testing.T) {
	r := New(nil, nil, nil)
	q := register(t, "one", 1, "Contact: <sip:a@10.0.0.5>\nPath: <sip:p@192.0.2.5;lr>\n")
	r.Register(start, q)
	kept, sent := r.Of("trunk phone", start)[0].Path, message.Values(q.Request, "path")
	if len(kept) != 1 || kept[0] != sent[0] || unsafe.StringData(kept[0]) == unsafe.StringData(sent[0]) {
		t.Errorf("the Path %q is kept of %q", kept, sent)
	}
}

// The total number of bindings is bounded.
func TestMostBindings(t *testing.T) {
	many := make([]record.Binding, maxBindings)
	r := New(map[string][]record.Binding{"trunk other": many}, nil, nil)
	if a := r.Register(start, register(t, "one", 1, "Contact: <sip:a@10.0.0.5>\n")); a.Code != 503 {
		t.Errorf("the answer is %+v", a)
	}
}

// Each holder has its own limit for REGISTERs per second. The state of removed holders is dropped.
func TestRegistersASecond(t *testing.T) {
	r := New(nil, nil, nil)
	at := func(holder string, seq int, now time.Time) int {
		q := register(t, "one", seq, "Contact: <sip:a@10.0.0.5>\n")
		q.Holder = holder
		return r.Register(now, q).Code
	}
	for i := range mostContacts {
		if code := at("trunk phone", 1+i, start); code != 200 {
			t.Fatalf("REGISTER %d is answered by %d", i, code)
		}
	}
	if code := at("trunk phone", 1+mostContacts, start); code != 503 || r.Of("trunk phone", start)[0].CSeq != mostContacts {
		t.Errorf("one too many is answered by %d", code)
	}
	if code := at("trunk other", 1, start); code != 200 {
		t.Errorf("another's is answered by %d", code)
	}
	if code := at("trunk phone", 2+mostContacts, start.Add(100*time.Millisecond)); code != 200 {
		t.Errorf("a moment later, it is answered by %d", code)
	}
	if r.Tidy(start, func(holder string) bool { return holder == "trunk phone" }); len(r.refilledAt) != 1 {
		t.Errorf("%d holders are kept", len(r.refilledAt))
	}
}

// FuzzRegister checks that any two REGISTERs leave valid bindings.
func FuzzRegister(f *testing.F) {
	f.Add("Contact: <sip:a@h>\n", "Contact: *\nExpires: 0\n", 2)
	f.Add("Contact: <sip:a@h>;expires=1, <sip:b@h>;q=0.1\nPath: <sip:p;lr>\n", "Require: path\nContact: <sip:A@H>;expires=0\n", 1)
	f.Add("m: sip:x@h\nExpires: 4294967296\n", "Contact: <sip:x@h>;+sip.instance=\"<i>\"\n", -1)
	f.Fuzz(func(t *testing.T, one, two string, seq int) {
		r := New(nil, nil, nil)
		for i, lines := range []string{one, two} {
			text := fmt.Sprintf("REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:alice@h>;tag=1\r\nTo: <sip:alice@h>\r\nCall-ID: c\r\nCSeq: %d REGISTER\r\n%s\r\n",
				uint16(seq+i), strings.ReplaceAll(lines, "\n", "\r\n"))
			msg, err := message.Parse([]byte(text))
			req, ok := msg.(*sip.Request)
			if err != nil || !ok || message.Malformed(req) != "" {
				continue
			}
			a := r.Register(start, Request{Request: req, Holder: "h", Record: "alice", From: source})
			if a.Code < 200 || a.Reason == "" {
				t.Errorf("the answer is %+v", a)
			}
			all := r.Of("h", start)
			if len(all) > mostContacts || r.total != len(all) {
				t.Errorf("%d bindings, counted as %d", len(all), r.total)
			}
			for _, b := range all {
				if left := b.Expires.Sub(start); left <= 0 || left > maxExpires {
					t.Errorf("a binding lasts %v", left)
				}
			}
		}
	})
}
