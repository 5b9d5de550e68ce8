package config

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// remedied is the first text in quotes of a remedy, as YAML reads it.
func remedied(t *testing.T, c complaint) string {
	t.Helper()
	text, err := strconv.Unquote(regexp.MustCompile(`"[^"]*"`).FindString(c.remedy))
	if err != nil {
		t.Errorf("no text in quotes: %s", c.remedy)
	}
	return text
}

// Patterns of a dialplan are told from regular expressions, with what they would be.
func TestDialplanPatterns(t *testing.T) {
	for text, want := range map[string]string{
		"_X.": "^[0-9][0-9]+$", "_+1NXX": `^\+1[2-9][0-9][0-9]$`, "_9!": "^9[0-9]*$", "_[1-5]ZX": "^[1-5][1-9][0-9]$", "_*98": `^\*98$`,
		"_555-XX": "^555[0-9][0-9]$", "_9|NX": "^9[2-9][0-9]$", "_9./_212NXX": "^9[0-9]+$", "_X./2125550100": "^[0-9][0-9]+$",
		"8XXX": "^8[0-9][0-9][0-9]$", "8xx": "^8[0-9][0-9]$", "NXX": "^[2-9][0-9][0-9]$", "X.": "^[0-9][0-9]+$", "+1NX": `^\+1[2-9][0-9]$`,
		"9|1NX": "^91[2-9][0-9]$", "1+NX": "^[2-9][0-9]$", "[2-5]XX": "^[2-5][0-9][0-9]$", "*98X": `^\*98[0-9]$`, "8XX/_212X": "^8[0-9][0-9]$",
	} {
		n, c := parseRegexp(text)
		if n != nil || !strings.Contains(c.problem, "is a pattern of Asterisk") {
			t.Errorf("%s: %+v", text, c)
			continue
		}
		if got := remedied(t, c); got != want {
			t.Errorf("%s: %s; want %s", text, got, want)
		}
		if _, c := parseRegexp(want); !c.none() {
			t.Errorf("%s: its remedy is refused: %+v", text, c)
		}
	}
	if _, c := parseRegexp("_9./_212NX"); !strings.Contains(c.remedy, `in to, and "^212[2-9][0-9]$" in from`) {
		t.Errorf("advice %+v; want an expression for to and one for from", c)
	}
	if _, c := parseRegexp("_8[X"); remedied(t, c) != `^\+1507[0-9]{7}$` {
		t.Errorf("advice %+v; want ^\\+1507[0-9]{7}$", c)
	}
}

// What Go reads, and can't be meant, is refused with what is right instead.
func TestMeantExpressions(t *testing.T) {
	const sample = `^\+1507[0-9]{7}$`
	for text, want := range map[string]struct{ problem, write string }{
		`^+1507$`:             {"has a + that repeats the ^ before it", `^\+1507$`},
		`^*72`:                {"has a * that repeats the ^ before it", `^\*72`},
		`^(?:^+1|^+44)[^+]+$`: {"has a + that repeats the ^", `^(?:^\+1|^\+44)[^+]+$`},
		`^?1507$`:             {"has a ? that repeats the ^", ""},
		`^{2}1507$`:           {"has a { that repeats the ^", ""},
		`1507$+`:              {"has a + that repeats the anchor", ""},
		`sip:8[0-9]+@.*`:      {"is an expression over a URI", `^8[0-9]+$`},
		`^sips:\+1507\@x$`:    {"is an expression over a URI", `^\+1507$`},
		`tel:+1507`:           {"is an expression over a URI", `^\+1507$`},
		`^(sip:1507.*)@x`:     {"is an expression over a URI", sample},
		`sip:@x`:              {"is an expression over a URI", sample},
		`^(1507|1508)@x$`:     {"is an expression over a URI", `^(1507|1508)$`},
	} {
		n, c := parseRegexp(text)
		if n != nil || !strings.HasPrefix(c.problem, want.problem) {
			t.Errorf("%s: %+v; want %s", text, c, want.problem)
			continue
		}
		if want.write == "" {
			if !strings.HasPrefix(c.remedy, "remove the ") {
				t.Errorf("%s: %s", text, c.remedy)
			}
			continue
		}
		if got := remedied(t, c); got != want.write {
			t.Errorf("%s: %s; want %s", text, got, want.write)
		}
	}
}

// What looks a little like the above is a regular expression.
func TestPlainExpressions(t *testing.T) {
	for _, text := range []string{
		"_support", "^_X$", "_", "x", "^8XXX$", "^N1$", "911|112", "1.", "[0-9]+", "^[^+]+$", `^[^@]+$`, `^\+1507[^@]*$`, "^sip-trunk$", "sipsupport",
		`^\+?1?507$`, "^$", "^.*$", "(^|9)1507$", "^0x",
	} {
		if n, c := parseRegexp(text); !c.none() || n == nil {
			t.Errorf("%s: %+v", text, c)
		}
	}
}

// A remedy that repeats the value does so only if the file has it.
func TestRemedyHidesTheEnvironment(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"PATTERN": "_5550199XX", "PLUS": "^+5550199$", "URI": "sip:5550199@x"}[name]
		return value, ok
	}
	for _, name := range []string{"PATTERN", "PLUS", "URI"} {
		_, err := Parse("f.yaml", []byte(strings.Replace(doubtful, `"^\\+1507[0-9]{7}$"`, `"${`+name+`}"`, 1)), env)
		if err == nil || strings.Contains(err.Error(), "5550199") || !strings.Contains(err.Error(), "write one like "+sampleNumbers) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
