package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"flowbridge/config/template"
)

// tableConfig names a table, which its target's templates use.
const tableConfig = `
numbers: %s
trunks: [{name: carrier, sources: ["192.0.2.10"], country: "1"}]
targets:
  - {name: synthflow, kind: sip, uri: "sip:{{.Row.agent}}@192.0.2.20", headers: {X-Customer: "{{.Row.customer}}"}}
  - {name: vapi, kind: sip, uri: "sip:x@192.0.2.21"}
routes:
  - {name: sales, listed: true, targets: [synthflow]}
  - {name: open, targets: [vapi]}
`

func parseTable(t testing.TB, csv string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "numbers.csv")
	if err := os.WriteFile(file, []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("flowbridge.yaml", fmt.Appendf(nil, tableConfig, file), testEnv)
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), file, "numbers.csv"))
	}
	return cfg, err
}

func TestTable(t *testing.T) {
	cfg, err := parseTable(t, "\ufeffnumber, route ,targets,agent,customer\r\n+15075785607,sales,vapi synthflow, a-1 ,\"Ann, \"\"the\"\" first\"\r\n\r\n4711,,,a-2,\n%2312,,,a-1,Bob\n")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Numbers.Size() != 3 {
		t.Errorf("got %d numbers", cfg.Numbers.Size())
	}
	l, ok := cfg.Numbers.Find("+15075785607")
	if !ok || l.Route() != "sales" || strings.Join(l.Targets(), "|") != "vapi|synthflow" {
		t.Errorf("got %v, %q, %q", ok, l.Route(), l.Targets())
	}
	if got := l.Row(); got["agent"] != "a-1" || got["customer"] != `Ann, "the" first` || len(got) != 4 {
		t.Errorf("got %q", got)
	}
	for number, agent := range map[string]string{"4711": "a-2", "#12": "a-1", "%2312": "a-1"} {
		if l, ok := cfg.Numbers.Find(number); !ok || l.Route() != "" || len(l.Targets()) > 0 || l.Row()["agent"] != agent {
			t.Errorf("%s: got %v, %q", number, ok, l.Row())
		}
	}
	if got := cfg.Numbers.Sum(); got != "da0c6c40d79ac450" || (*Table)(nil).Sum() != "" {
		t.Errorf("checksum %q", got)
	}
	for _, number := range []string{"", "15075785607", "+1507578560", "number"} {
		if _, ok := cfg.Numbers.Find(number); ok {
			t.Errorf("%s is in the table", number)
		}
	}
	if _, ok := (*Table)(nil).Find("4711"); ok || (*Table)(nil).Size() != 0 {
		t.Error("there is a row without a table")
	}
}

// The rows of a template's call are values like any other.
func TestRowInTemplates(t *testing.T) {
	for _, tt := range []struct{ template, want string }{
		{"{{.Row.agent}}", "a-1"},
		{"sip:{{.Row.agent}}@x", "sip:a-1@x"},
		{`{{or .Row.agent "default"}}`, "a-1"},
		{`{{with .To}}{{$.Row.agent}}{{end}}`, "a-1"},
		{`{{if eq .Row.agent "a-1"}}one{{end}}`, "one"},
		{`{{xei "E" .Row.agent}}`, "E.a-1;"},
	} {
		tmpl, err := template.Parse(tt.template)
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		v := template.SampleVars(false)
		v.Row = template.Row{"agent": "a-1"}
		if got, err := tmpl.Render(v); got != tt.want || err != nil {
			t.Errorf("%s: got %q, %v", tt.template, got, err)
		}
		v.Row = nil
		if got, err := tmpl.Render(v); strings.Contains(got, "a-1") || strings.Contains(got, "no value") || err != nil {
			t.Errorf("%s without a row: got %q, %v", tt.template, got, err)
		}
	}
	for _, text := range []string{"{{.Row}}", "{{with .Row}}{{.agent}}{{end}}", `{{index .Row "agent"}}`, "{{$r := .Row}}{{$r.agent}}", "{{.Row.agent.name}}", "{{len .Row}}"} {
		if _, err := template.Parse(text); err == nil || !strings.Contains(err.Error(), "like .Row.agent") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// What is wrong with a table is said with file, line, column and what to do, all at once.
func TestBadTable(t *testing.T) {
	const header = "number,route,targets,agent,customer\n"
	for name, tt := range map[string]struct{ csv, want string }{
		"empty":            {"", "numbers.csv: is empty; write the line number,route,targets,agent first"},
		"no rows":          {header, "numbers.csv: has no number; write a line for each number"},
		"no number column": {"phone,route,agent,customer\n1,,a,b\n", "numbers.csv:1: has no column number; name the columns in the first line"},
		"semicolons":       {"number;route;agent\n1;;a\n", "numbers.csv:1:1: its values are not separated by commas; "},
		"no header":        {"+15075785607,sales,synthflow,a,b\n", `numbers.csv:1:1: "+15075785607" cannot be the name of a column; use letters`},
		"mistyped column":  {"number,target,agent,customer\n1,vapi,a,b\n", "numbers.csv:1:8: target: is too like targets; did you mean targets?"},
		"column twice":     {"number,agent,customer,agent\n1,a,b,c\n", "numbers.csv:1:23: agent: is the name of two columns"},
		"lacking column":   {"number,agent\n1,a\n", `targets[0].headers.X-Customer: "{{.Row.customer}}" uses .Row.customer, and the table of numbers has no such column; its columns are agent`},
		"duplicates":       {header + "1,,,a,b\n2,,,a,b\n1,,,c,d\n", `numbers.csv:4:1: number: "1" is there twice, first in line 2; keep one of them`},
		"no number":        {header + "+1 (507) 578-5607,,,a,b\n", `numbers.csv:2:1: number: "+1 (507) 578-5607" is not a number; write digits`},
		"empty number":     {header + ",,,a,b\n", `numbers.csv:2:1: number: "" is not a number`},
		"rounded number":   {header + "1.50758E+10,,,a,b\n", `numbers.csv:2:1: number: "1.50758E+10" is a number that a spreadsheet has rounded; format the column as text`},
		"unknown target":   {header + "1,,vapi synthflwo,a,b\n", `numbers.csv:2:4: targets: "synthflwo" is not the name of a target; did you mean "synthflow"?`},
		"unknown route":    {header + "1,,,a,b\n2,slaes,,a,b\n", `numbers.csv:3:3: route: "slaes" is not the name of a route; did you mean "sales"?`},
		"two routes":       {header + "1,sales sales,,a,b\n", `numbers.csv:2:3: route: "sales sales" is not the name of a route`},
		"unlisted route":   {header + "1,open,,a,b\n", "numbers.csv:2:3: route: names routes[1], which does not look into the table; write listed: true below the route"},
		"too few values":   {header + "1,,,a,b\n2,,a\n", "numbers.csv:3: has 3 values, and the first line names 5 columns; write a value"},
		"half-written":     {header + "1,,,a,b\n2,,,a,cust", "ends within a line: it seems to be a part of a file; end its last line, too; write the file under another name"},
		"open quote":       {header + "1,,,\"a,b\n2,,,a,b\n", `numbers.csv:2: is not CSV: a " stands where none may; put a value`},
		"bare quote":       {header + "1,,,a \"b\" c,\n", `numbers.csv:2:7: is not CSV: a " stands where none may`},
		"Latin-1":          {header + "1,,,a,M\xfcller\n", "numbers.csv:2:7: customer: is not UTF-8; save the file as CSV UTF-8"},
		"UTF-16":           {"\xff\xfen\x00u\x00m\x00b\x00e\x00r\x00,\x00a\x00\n\x00", "numbers.csv:1:1: is not UTF-8"},
		"line break":       {header + "1,,,a,\"b\nX-Evil: 1\"\n", "numbers.csv:2:7: customer: holds a line break or another control character"},
		"long value":       {header + "1,,," + strings.Repeat("a", 1025) + ",b\n", "numbers.csv:2:5: agent: is longer than 1024 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := parseTable(t, tt.csv)
			if cfg != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	many := header
	for range 100 {
		many += "x,,,a,b\n"
	}
	_, err := parseTable(t, many)
	if lines := strings.Split(err.Error(), "\n"); len(lines) != maxTableErrors+1 || lines[0][:15] != "numbers.csv:2:1" || !strings.Contains(lines[maxTableErrors], "numbers.csv:22: there are more errors, from this line on") {
		t.Errorf("got %d lines\n%v", len(lines), err)
	}
}

// A column of wrong names is one mistake: its first ones are reported.
func TestTableOfWrongNames(t *testing.T) {
	for column, row := range map[string]string{"route": "%d,name-%d,,a,b\n", "targets": "%d,,name-%d other-%[1]d,a,b\n"} {
		var csv strings.Builder
		csv.WriteString("number,route,targets,agent,customer\n")
		for i := range 50_000 {
			fmt.Fprintf(&csv, row, i+1, i)
		}
		_, err := parseTable(t, csv.String())
		if err == nil {
			t.Fatalf("%s: no error", column)
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != maxTableErrors+1 || !strings.Contains(lines[maxTableErrors], "there are more errors, from this line on") {
			t.Errorf("%s: got %d lines\n%.1000s", column, len(lines), err)
		}
	}
}

// A file that is no table, or far too large, is refused before it is read.
func TestTableFile(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.csv")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 100<<20); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		large:                            "is larger than 64 MB; is it the right file?",
		dir:                              "is not a regular file; write a CSV file there",
		"/dev/zero":                      "is not a regular file",
		filepath.Join(dir, "nosuch.csv"): "cannot be read: no such file or directory; write a CSV file there",
	} {
		_, err := Parse("f.yaml", fmt.Appendf(nil, tableConfig, path), testEnv)
		if err == nil || !strings.Contains(err.Error(), `f.yaml:2: numbers: "`+path+`" `+want) || strings.Contains(err.Error(), ".Row") {
			t.Errorf("%s: got %v", path, err)
		}
	}
	for yaml, want := range map[string]string{
		"routes: [{listed: true, targets: []}]":                                "routes[0].listed: has no effect without a table of numbers",
		`targets: [{name: a, kind: sip, uri: "sip:{{.Row.agent}}@192.0.2.1"}]`: "targets[0].uri: \"sip:{{.Row.agent}}@192.0.2.1\" uses .Row, and there is no table of numbers",
		"routes: [{name: a, targets: [x]}, {name: a, targets: [x]}]":           `routes[1].name: "a" is the name of another route already`,
	} {
		if _, err := Parse("f.yaml", []byte(yaml), testEnv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", yaml, err)
		}
	}
}

// Commands that use some sections alone, such as call, do not need the table for the templates of others.
func TestSectionsWithoutTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	text := fmt.Sprintf(tableConfig, "/nosuch") + "\nadmin: {listen: 127.0.0.1:8080}\n"
	text = strings.Replace(text, "country: \"1\"", "uri: \"sip:{{.Row.desk}}@192.0.2.10\"", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSections(file, "sip", "media", "trunks"); err != nil {
		t.Error(err)
	}
}

// hundredThousand is a table of 100,000 numbers with an agent of 1,000, a route, targets and a customer each.
func hundredThousand() string {
	var b strings.Builder
	b.WriteString("number,route,targets,agent,customer\n")
	for i := range 100_000 {
		fmt.Fprintf(&b, "+1507%07d,sales,%s,1744274157255x%021d,customer %d\n", i, []string{"", "vapi"}[i%2], i%1000, i)
	}
	return b.String()
}

// 100,000 numbers need little of the heap: each value stands there once.
func TestTableMemory(t *testing.T) {
	csv := hundredThousand()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	cfg, err := parseTable(t, csv)
	if err != nil {
		t.Fatal(err)
	}
	grown := int64(heap()) - int64(before)
	if t.Logf("%d bytes of CSV take %d KB", len(csv), grown>>10); grown > 20<<20 {
		t.Errorf("%d bytes of CSV take %d", len(csv), grown)
	}
	runtime.KeepAlive(csv)
	runtime.KeepAlive(cfg)
}

func BenchmarkTableFind(b *testing.B) {
	cfg, err := parseTable(b, hundredThousand())
	if err != nil {
		b.Fatal(err)
	}
	numbers := make([]string, 1024)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("+1507%07d", i*97)
	}
	b.Run("route", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if l, ok := cfg.Numbers.Find(numbers[i%1024]); !ok || l.Route() != "sales" {
				b.Fatal("not found")
			}
		}
	})
	b.Run("row", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if l, _ := cfg.Numbers.Find(numbers[i%1024]); l.Row()["agent"] == "" {
				b.Fatal("no agent")
			}
		}
	})
	b.Run("none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := (*Table)(nil).Find(numbers[0]); ok {
				b.Fatal("found")
			}
		}
	})
}

func BenchmarkTableRead(b *testing.B) {
	csv := hundredThousand()
	for b.Loop() {
		if _, err := parseTable(b, csv); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever is in the file, it is a table or an error with a place, and what was read can be looked up.
func FuzzTable(f *testing.F) {
	f.Add("number,route,targets,agent,customer\n+15075785607,sales,vapi,a,b\n")
	f.Add("\ufeffnumber,agent\n\"1\",\"a\"\"b\"\n2,\"c\nd\"\n")
	f.Add("number;agent\n\x00")
	f.Fuzz(func(t *testing.T, csv string) {
		l := newLoader("f.yaml", testEnv, nil)
		l.inTable.file = "numbers.csv"
		table := newTableReader(l, strings.NewReader(csv)).read()
		if (table == nil) != (len(l.errs) > 0) || len(l.errs) > maxTableErrors+1 {
			t.Fatalf("got %v, %v", table, l.errs)
		}
		for _, e := range l.errs {
			if e.File != "numbers.csv" || e.Problem == "" || e.Remedy == "" {
				t.Errorf("got %+v", e)
			}
		}
		if table == nil {
			return
		}
		for number := range table.rows {
			row, ok := table.Find(number)
			if values := row.Row(); !ok || len(values) != len(table.columns) {
				t.Errorf("%q: got %v, %q", number, ok, values)
			}
		}
	})
}
