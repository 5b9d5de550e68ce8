package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile limits the file's size, in bytes.
const maxFile = 1 << 20

// Stdin names standard input instead of a file.
const Stdin = "-"

// Load reads and checks a file, or Stdin, with the environment of the process. It returns all errors at once, as
// Errors.
func Load(path string) (*Config, error) { return load(path, nil) }

// Reload is like Load, for a process that keeps the sections sip and media of running, whatever the file says about
// them. Trunks and targets must be valid with both.
func Reload(path string, running *Config) (*Config, error) { return load(path, running) }

func load(path string, running *Config) (*Config, error) {
	if path == Stdin && running != nil {
		return nil, Errors{{
			File: ShownName(path), Problem: "cannot be read a second time",
			Remedy: "start the process with a file to reload it",
		}}
	}
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	cfg, err := read(ShownName(path), data, os.LookupEnv, running)
	if info, failed := os.Stat(path); err == nil && failed == nil && path != Stdin &&
		info.Mode().IsRegular() && info.Mode()&2 != 0 {
		cfg.Warnings = append(Errors{{
			File: path, Line: 1, Problem: "every user of this machine can write the file, and so choose where calls and tokens go",
			Remedy: "chmod o-w " + path,
		}}, cfg.Warnings...)
	}
	return cfg, err
}

// ShownName returns the name of a file for errors.
func ShownName(path string) string {
	if path == Stdin {
		return "standard input"
	}
	return path
}

// readFile reads a file, or Stdin, up to one byte more than allowed.
func readFile(path string) ([]byte, error) {
	f := os.Stdin
	if path != Stdin {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, Errors{{File: path, Problem: "cannot be read: " + reason(err), Remedy: "name the file with --config"}}
		}
		defer func() { _ = f.Close() }() // it was only used for reading
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, Errors{{
			File: ShownName(path), Problem: "cannot be read: " + reason(err),
			Remedy: "name a regular file with --config",
		}}
	}
	return data, nil
}

// Parse checks data and returns the typed tree with its defaults. file is the name for errors. env looks up ${NAME} and
// the *_env keys. Parse reads secret files. It returns all errors at once, as Errors.
func Parse(file string, data []byte, env func(string) (string, bool)) (*Config, error) {
	return read(file, data, env, nil)
}

func read(file string, data []byte, env func(string) (string, bool), running *Config) (*Config, error) {
	return newLoader(file, env, running).read(data)
}

func (l *loader) read(data []byte) (*Config, error) {
	root, ok := l.document(data)
	if !ok {
		return nil, l.errs
	}
	l.root = root.section(typeConfig)
	l.root.read(reflect.ValueOf(l.cfg).Elem())
	cfg := l.cfg
	if l.running != nil && len(l.errs) == 0 && (len(cfg.Trunks) == 0 || len(cfg.Routes) == 0) {
		l.fail(0, "", "has no trunks or no routes, so that no call would get through any more",
			"is it the right file, and whole?")
	}
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	if t := &cfg.SIP.TLS; t.ACME.On() {
		t.Cert = t.ACME.fileOf(cfg.Store.Path)
		t.Key = t.Cert
	}
	cfg.Warnings, cfg.Source = doubtsOf(cfg, root), data
	return cfg, nil
}

// loader is one run over one file.
type loader struct {
	file string
	env  func(string) (string, bool)
	errs Errors

	cfg     *Config // the sections read so far
	running *Config // the configuration of the process that will use the file; may be nil

	lines [][]byte // of the file
	root  section
	twice map[string]int // duplicate names in a list

	withoutSecrets bool // an unreadable secret counts as empty

	bare []scalar // values that contain a variable without braces

	visits int // nodes visited, because aliases could make a small file endless

	trunks     map[string]bool      // names so far
	targets    map[string]bool      // names so far
	callees    map[string]bool      // trunks that calls can be placed to
	browser    string               // the trunk of browsers, or empty
	callers    map[string]bool      // by name: true for a target that may call or transfer
	sounds     map[string]bool      // names so far
	webhooks   map[string]bool      // names so far
	workspaces map[string]workspace // by id

	routes  map[string]bool // names so far
	inTable readTable

	sources map[string]string // trunk or target by prefix and claim, or by user
}

func newLoader(file string, env func(string) (string, bool), running *Config) *loader {
	return &loader{
		file: file, env: env, cfg: &Config{}, running: running, trunks: map[string]bool{}, targets: map[string]bool{},
		callees: map[string]bool{}, callers: map[string]bool{}, sources: map[string]string{}, sounds: map[string]bool{},
		workspaces: map[string]workspace{}, routes: map[string]bool{}, twice: map[string]int{}, webhooks: map[string]bool{},
	}
}

// unsure reports whether a list of the file has an entry with an unreadable name. If so, a reference to the list may be
// right.
func (l *loader) unsure(list string, names map[string]bool) bool {
	v, ok := l.root.fields[list]
	return l.root.meant[list] || ok && (v.node.Kind != yaml.SequenceNode && v.node.Kind != yaml.AliasNode ||
		l.root.elements(list) != len(names)+l.twice[list])
}

func (l *loader) fail(line int, path, problem, remedy string) {
	if line > 0 && line <= len(l.lines) {
		remedy = cmp.Or(oddSpace(l.lines[line-1]), remedy)
	}
	l.errs = append(l.errs, Error{File: l.file, Line: line, Path: path, Problem: problem, Remedy: remedy})
}

// oddSpace returns a remedy for a line with a character that looks like a space, or like nothing, and is neither to
// YAML. Web pages and word processors write them.
func oddSpace(line []byte) string {
	for _, odd := range [][2]string{
		{"\u00a0", "a no-break space (U+00A0)"},
		{"\u202f", "a narrow no-break space (U+202F)"},
		{"\u200b", "a zero-width space (U+200B)"},
		{"\ufeff", "a byte order mark (U+FEFF)"},
	} {
		if at := bytes.Index(line, []byte(odd[0])); at >= 0 {
			return fmt.Sprintf("write a plain space in place of %s, which is byte %d of the line", odd[1], at+1)
		}
	}
	return ""
}

// document decodes the single YAML document of the file.
func (l *loader) document(data []byte) (value, bool) {
	if len(data) > maxFile {
		l.fail(0, "", fmt.Sprintf("is larger than %d bytes", maxFile), "is it the right file?")
		return value{}, false
	}
	empty := func() (value, bool) {
		l.fail(0, "", "is empty", "write trunks, targets and routes into it, or name another file with --config")
		return value{}, false
	}
	l.lines = bytes.Split(data, []byte("\n"))
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return empty()
	} else if err != nil {
		l.syntax(err)
		return value{}, false
	}
	if err := dec.Decode(&second); err == nil {
		l.fail(second.Line, "", "a second YAML document begins here", `remove the "---" and what follows it`)
		return value{}, false
	} else if !errors.Is(err, io.EOF) {
		l.syntax(err)
		return value{}, false
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return empty()
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return empty()
	}
	return value{l: l, node: root}, true
}

// syntax reports an error of the YAML decoder, with its line if the decoder names one.
func (l *loader) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	remedy := "look at the indentation, colons and quotes of this line and the ones around it"
	lines := l.lines
	if m := regexp.MustCompile(`^unknown anchor '(.+)'`).FindStringSubmatch(text); m != nil {
		line = 1 + slices.IndexFunc(lines, func(l []byte) bool { return bytes.Contains(l, []byte("*"+m[1])) })
		remedy = "write &" + m[1] + " before the value that *" + m[1] +
			" stands for, or put a text that begins with * in quotes"
	} else if strings.Contains(text, "alphabetic or numeric character") { // of an alias
		remedy = `put a text that begins with * or & in quotes; ".*" is every number`
	} else if line > 0 && line <= len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[line-1], " "), []byte("\t")) {
		remedy = "indent this line by spaces: YAML takes no tabs"
	} else if strings.Contains(text, "escape character") || strings.Contains(text, "hexdecimal") {
		// The decoder's own words.
		remedy = twiceEscaped + ", like " + sampleNumbers
	}
	l.fail(line, "", "is not YAML: "+text, remedy)
}

// reason returns the innermost cause of a file error.
func reason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
