package config

import "testing"

func numbersOf(t *testing.T, expression string) *Numbers {
	t.Helper()
	n, err := newNumbers(expression)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// dialStrings begin like a number, and tell a PBX or carrier something else.
var dialStrings = []string{
	"+1507&SIP/evil/+19005550100", "+1507,19005550100", "+1507w19005550100", "+1507?Replaces=x", "+1507%00", "+1507;rn=+19005550100",
	"+1507!", "+1507/1", "+1507$x", "+1507 1", "+1507p1", "+1507-", "+1507.", "+1507@x", "1+507", "++1507", "+", "", "+1507\x00", "+1507\n",
	"+1507\u2028", "+1507١",
}

func TestIsDialString(t *testing.T) {
	for _, text := range []string{"+15075550100", "100", "*98", "#31#5075550100", "0", "**21*100#", "%2331%235550100"} {
		if !IsDialString(text) {
			t.Errorf("%q is a number", text)
		}
	}
	for _, text := range append(dialStrings, "alice", "anonymous", "1507x") {
		if IsDialString(text) {
			t.Errorf("%q is no number", text)
		}
	}
}

// An expression takes numbers wherever it matches them, and any other user part only where it names it in full.
func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		expression string
		takes      []string
		refuses    []string
	}{
		{`^\+1507`, []string{"+15075550100", "+1507"}, append(dialStrings, "+15085550100", "support")},
		{`^\+1507.*$`, []string{"+15075550100", "+1507*2"}, append(dialStrings, "+1507alice")},
		{`^\+1507[^@]+$`, []string{"+15075550100"}, dialStrings},
		{`^\+1507\S*$`, []string{"+15075550100"}, dialStrings},
		{`1507`, []string{"+15075550100", "91507"}, append(dialStrings, "x1507")},
		{`^(support|alice\.smith)$`, []string{"support", "alice.smith"}, []string{"support&SIP/evil", "alicexsmith", "supportx", "+1507"}},
		{`support`, []string{"support"}, []string{"support2", "xsupport"}},
		{`^agent-[a-z0-9]+$`, []string{"agent-1a"}, []string{"agent-1A", "agent-1&x", "agent-"}},
		{`^agent-.+$`, []string{"agent-17"}, []string{"agent-x", "agent-1&2"}},
		{`(?i)^Alice$`, []string{"alice", "ALICE"}, []string{"alice2"}},
		{`^$`, []string{""}, []string{"+1507", "x"}},
	} {
		n := numbersOf(t, tt.expression)
		for _, text := range tt.takes {
			if !n.Allow(text) || !n.Match(text) {
				t.Errorf("%s does not take %q", tt.expression, text)
			}
		}
		for _, text := range tt.refuses {
			if n.Allow(text) || n.Match(text) {
				t.Errorf("%s takes %q", tt.expression, text)
			}
		}
	}
}

// An expression for everything is as good as none, but it names nobody. A call without a number is part of everything, unless
// the expression wants a character.
func TestNumbersForEverything(t *testing.T) {
	for expression, empty := range map[string]bool{
		".*": true, "^.*$": true, "^.*": true, "^": true, "$": true, "(.*)": true,
		".+": false, "^.+$": false, "^.+": false, "^(.+)$": false, ".*.+": false,
	} {
		n := numbersOf(t, expression)
		if n.Match("") != empty {
			t.Errorf("%s matches no number: %v; want %v", expression, !empty, empty)
		}
		for _, text := range []string{"alice", "+1507w1", "+15075550100"} {
			if !n.Match(text) {
				t.Errorf("%s does not match %q", expression, text)
			}
		}
		if n.Allow("alice") || n.Allow("+1507w1") || !n.Allow("+1507") {
			t.Errorf("%s names somebody, or no number", expression)
		}
	}
}

func TestAnchored(t *testing.T) {
	for text, want := range map[string][2]bool{
		`^\+1507$`: {true, true}, `^\+1507`: {true, false}, `1507$`: {false, true}, `^(a|b)$`: {true, true}, `^a|b$`: {false, false},
		`^a$|^b$`: {true, true}, `(^a$)`: {true, true}, `^(a$|b)`: {true, false}, ``: {false, false}, `^$`: {true, true}, `(?i)^a$`: {true, true},
		`(?m)^a$`: {false, false}, `\Aa\z`: {true, true},
	} {
		n := numbersOf(t, text)
		if n.begins != want[0] || n.ends != want[1] {
			t.Errorf("%s: %v, %v; want %v", text, n.begins, n.ends, want)
		}
	}
}

// A number as it is dialled in a country becomes the same number with + and its country code; anything else stays.
func TestNational(t *testing.T) {
	for _, tt := range []struct{ country, dialled, want string }{
		{"1", "5075785607", "+15075785607"},
		{"1", "15075785607", "+15075785607"},
		{"1", "01149301234567", "+49301234567"},
		{"1", "0049301234567", "+49301234567"},
		{"1", "0015075785607", "+15075785607"},
		{"1", "0034912345", "+34912345"}, // ten digits, but none here begins with 00
		{"1", "00", "00"},
		{"1", "00123", "00123"},
		{"1", "911", "911"},
		{"49", "00442071234567", "+442071234567"},
		{"49", "0301234567", "+49301234567"},
		{"39", "0612345678", "+390612345678"},
		{"", "0049301234567", "0049301234567"},
	} {
		if got := National(tt.dialled, tt.country); got != tt.want {
			t.Errorf("%s in %q: got %s; want %s", tt.dialled, tt.country, got, tt.want)
		}
	}
}
