package tracecontext

import (
	"strings"
	"testing"
)

const (
	traceDigits = "0af7651916cd43dd8448eb211c80319c"
	spanDigits  = "b7ad6b7169203331"
	good        = "00-" + traceDigits + "-" + spanDigits + "-01"
	callID      = "019a9d2e-7c11-7f00-8a3b-0123456789ab"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		value string
		ok    bool
	}{
		{good, true},
		{" " + good + "\t", true},
		{good[:53] + "00", true},
		{good[:53] + "ff", true}, // flags that are not known yet
		{"01" + good[2:], true},
		{"01" + good[2:] + "-what-comes-later", true},
		{"cc" + good[2:] + "-" + strings.Repeat("a", 200), true},
		{"01" + good[2:] + ".", false},
		{good + "-more", false}, // version 00 has no more
		{"ff" + good[2:], false},
		{"01" + good[2:] + "-" + strings.Repeat("a", 300), false},
		{strings.ToUpper(good), false},
		{"00-" + strings.Repeat("0", 32) + "-" + spanDigits + "-01", false},
		{"00-" + traceDigits + "-" + strings.Repeat("0", 16) + "-01", false},
		{strings.Replace(good, "-", "_", 1), false},
		{good[:54], false},
		{good + "," + good, false},
		{"", false},
		{"xx" + good[2:], false},
	} {
		p, ok := Parse(tt.value)
		if ok != tt.ok {
			t.Errorf("%q: %v", tt.value, ok)
		}
		if ok && p.Trace.String() != traceDigits {
			t.Errorf("%q: trace %s", tt.value, p.Trace)
		}
	}
	if p, _ := Parse(good); p.String() != good {
		t.Errorf("%s; want %s", p, good)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("cc" + good[2:] + "-later")
	f.Fuzz(func(t *testing.T, value string) {
		p, ok := Parse(value)
		if !ok {
			return
		}
		if again, ok := Parse(p.String()); !ok || again != p {
			t.Errorf("%q became %q", value, p)
		}
	})
}

// The trace id is made from the call's id. Its spans have different ids, which are the same
// each time.
func TestSpans(t *testing.T) {
	own := New(callID, "", true)
	if want := strings.ReplaceAll(callID, "-", ""); own.ID() != want {
		t.Errorf("trace %s; want %s", own.ID(), want)
	}
	seen := map[SpanID]bool{{}: true}
	for _, kind := range []Kind{KindCall, KindRinging, KindAnswered, KindAttempt, KindPrepare} {
		for attempt := range 20 {
			id := Span(callID, kind, attempt)
			if seen[id] || id != Span(callID, kind, attempt) {
				t.Errorf("%s %d: %x again, or not the same", kind, attempt, id)
			}
			seen[id] = true
		}
	}
	if Span(callID, KindTransfer, 3) != Span(callID, KindAttempt, 3) {
		t.Error("the INVITE of a transfer names another span")
	}
	sent, ok := Parse(own.Header(KindPrepare, 2))
	if !ok || sent != (Parent{own.id, Span(callID, KindPrepare, 2), true}) {
		t.Errorf("sent %s", sent)
	}
}

func TestTrace(t *testing.T) {
	notSampled := good[:53] + "00"
	for _, tt := range []struct {
		name, brought string
		on            bool
		id, header    string // ours: made of the call's id
		sampled       bool
	}{
		{"on", "", true, "ours", "ours", true},
		{"on, of a caller", good, true, traceDigits, "caller's trace", true},
		{"on, of a caller that samples not", notSampled, true, traceDigits, "caller's trace", false},
		{"on, of a caller that writes nonsense", "00-1-2-3", true, "ours", "ours", true},
		{"off", "", false, "", "ours", false},
		{"off, of a caller", good, false, traceDigits, good, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trace := New(callID, tt.brought, tt.on)
			own := strings.ReplaceAll(callID, "-", "")
			if want := strings.ReplaceAll(tt.id, "ours", own); trace.ID() != want {
				t.Errorf("id %q; want %q", trace.ID(), want)
			}
			got, ok := Parse(trace.Header(KindAttempt, 1))
			switch {
			case !ok:
				t.Errorf("header %q", trace.Header(KindAttempt, 1))
			case tt.header == "ours" && got.Trace.String() != own,
				tt.header == "caller's trace" && (got.Trace.String() != traceDigits || got.Span != Span(callID, KindAttempt, 1)),
				len(tt.header) == 55 && got.String() != tt.header,
				got.Sampled != tt.sampled && tt.header != good:
				t.Errorf("header %s", got)
			}
			if trace.Sampled() != tt.sampled {
				t.Errorf("sampled: %v", trace.Sampled())
			}
		})
	}
}

func TestOfCall(t *testing.T) {
	for _, id := range []string{"", "call-1", callID + "0", strings.Replace(callID, "0", "x", 1), strings.Repeat("0", 32)} {
		if got, ok := OfCall(id); ok {
			t.Errorf("%q: %s", id, got)
		}
	}
}
