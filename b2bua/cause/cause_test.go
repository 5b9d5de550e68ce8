package cause

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// causes returns the causes that have a row in the table.
func causes() (all []Cause) {
	for _, e := range All() {
		all = append(all, e.Name)
	}
	return all
}

// Each declared cause is in the table exactly once, except the two that concern a leg and
// not the call.
func TestCausesIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "cause.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[Cause]bool{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Cause" {
				continue
			}
			for i, name := range v.Names {
				value, err := strconv.Unquote(v.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				if value != "" && name.Name != "AnotherAnswered" && name.Name != "Transferred" { // of legs, not of calls
					if declared[Cause(value)] {
						t.Errorf("%s is declared twice", value)
					}
					declared[Cause(value)] = true
				}
			}
		}
	}
	if len(declared) < 30 {
		t.Fatalf("only %d constants found", len(declared))
	}
	listed := map[Cause]bool{}
	for _, c := range causes() {
		if listed[c] {
			t.Errorf("%s is listed twice", c)
		}
		listed[c] = true
		if !declared[c] {
			t.Errorf("%s is listed but not declared", c)
		}
		if strings.Trim(string(c), "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%q is no good label", c)
		}
	}
	for c := range declared {
		if !listed[c] {
			t.Errorf("%s is declared but not listed", c)
		}
	}
}

// docs/causes.md says which statuses lead to the next target: 408, 5xx, 6xx except 600,
// 603, 607 and 608, 401, 407 and 3xx. All other statuses are passed on to the carrier.
func TestNextTargetOverAllCodes(t *testing.T) {
	passed := map[int]bool{600: true, 603: true, 607: true, 608: true}
	for code := 400; code < 500; code++ {
		passed[code] = code != 401 && code != 407 && code != 408
	}
	for code := 300; code < 700; code++ {
		if got, want := NextTarget(code, nil), !passed[code]; got != want {
			t.Errorf("%d: next target %v; want %v", code, got, want)
		}
		if !NextTarget(code, []int{1, code, 2}) {
			t.Errorf("%d is in failover_on and yet passed on", code)
		}
		if NextTarget(code, []int{code + 1}) != !passed[code] {
			t.Errorf("%d: another code in failover_on matters", code)
		}
		why := OfStatus(code)
		switch {
		case passed[code] && why == TargetError, !passed[code] && why != TargetError:
			t.Errorf("%d: cause %s, passed on %v", code, why, passed[code])
		case (code == 486 || code == 600) != (why == TargetBusy):
			t.Errorf("%d: cause %s", code, why)
		}
		if q := Q850Of(code); q < 0 || q > 127 {
			t.Errorf("%d: Q.850 cause %d", code, q)
		}
	}
	if !NextTarget(0, nil) {
		t.Error("no answer at all is not the next target's turn")
	}
}

func TestParseQ850(t *testing.T) {
	for value, want := range map[string]int{
		"Q.850;cause=16":                                 16,
		`Q.850;cause=17;text="User busy"`:                17,
		`Q.850 ; cause = 18`:                             18,
		"q.850;CAUSE=19":                                 19,
		`Q.850;text="x";cause=20`:                        20,
		`SIP;cause=200;text="elsewhere"`:                 0,
		`SIP;cause=200;text="elsewhere", Q.850;cause=21`: 21,
		`Q.850;cause=22 , SIP;cause=486`:                 22,
		"Q.850":                                          0,
		"Q.850;cause":                                    0,
		"Q.850;cause=":                                   0,
		"Q.850;cause=-1":                                 0,
		"Q.850;cause=128":                                0,
		"Q.850;cause=127":                                127,
		"Q.850;cause=99999999999999999999":               0,
		"Q.850;cause=sixteen":                            0,
		"":                                               0,
		";;;,,,":                                         0,
		"Q.8500;cause=16":                                0,
	} {
		if got := Q850In([]string{value}); got != want {
			t.Errorf("%q: %d; want %d", value, got, want)
		}
	}
}

// Every cause has a value for the Reason header, except two. TestReasonsOfOurs parses these
// values.
func TestReasonValue(t *testing.T) {
	silent := []Cause{None, CallerCancelled}
	for _, c := range append(causes(), None) {
		if (ReasonValue(c, 0) == "") != slices.Contains(silent, c) {
			t.Errorf("%q: Reason %q", c, ReasonValue(c, 0))
		}
	}
	if got := Q850In([]string{ReasonValue(CallerHangup, 0)}); got != 16 {
		t.Errorf("a hang-up has Q.850 cause %d", got)
	}
}

// The table in docs/causes.md is the one that the code uses.
func TestQ850TableInDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/causes.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[int]int{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) [^|]+\| ([\d, ]+) \|$`).FindAllStringSubmatch(string(text), -1) {
		cause, _ := strconv.Atoi(m[1])
		for code := range strings.SplitSeq(m[2], ", ") {
			status, _ := strconv.Atoi(code)
			told[status] = cause
		}
	}
	for status := range 700 {
		if got := Q850Of(status); got != told[status] {
			t.Errorf("%d: %d; docs/causes.md says %d", status, got, told[status])
		}
	}
}

// If a platform reports that it can't continue, the call's end is a failure. If a person
// ends the call, it is not.
func TestIsFailure(t *testing.T) {
	for _, q850 := range []int{1, 16, 17, 18, 19, 21, 22, 28, 31} {
		if IsFailure(q850) {
			t.Errorf("%d is a failure", q850)
		}
	}
	for _, status := range []int{500, 502, 503, 504, 513} {
		if q850 := Q850Of(status); !IsFailure(q850) {
			t.Errorf("%d, of status %d, is none", q850, status)
		}
	}
	for _, q850 := range []int{27, 34, 38, 41, 42, 47, 79, 102, 111, 127} {
		if !IsFailure(q850) {
			t.Errorf("%d is none", q850)
		}
	}
}
