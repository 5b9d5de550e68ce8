package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/media/audio"
)

// Conversation is the file of `flowbridge test`. It has keys as Config has them.
type Conversation struct {
	Target  string                  `key:"target"`                                   // of the configuration; empty: To is called
	To      string                  `key:"to"`                                       // a number, or without a target a SIP URI
	From    string                  `key:"from" is:"dialled" default:"+15075550100"` // a number
	Headers []string                `key:"headers" is:"test-header"`                 // of the INVITE, as Name: value
	Limit   time.Duration           `key:"limit" is:"step-time" default:"3m"`
	Sounds  map[string]*audio.Sound `key:"sounds"` // WAV files, by name
	// What turns the agent's words into text: a command that gets a WAV file as its last argument, or a URL for the file.
	Transcribe string `key:"transcribe" is:"transcriber"`
	// Behind the caller's words, and how far below them: street 15dB.
	Noise  string             `key:"noise" is:"noise"`
	Steps  []ConversationStep `key:"steps" filled:""` // what the caller does
	Expect []Expectation      `key:"expect"`          // also those of the steps
}

// ConversationStep is what the caller does: it has one of the first six fields.
type ConversationStep struct {
	Wait      string        `key:"wait" enum:"words pause hangup"` // what for: pause is one after words
	Say       string        `key:"say"`                            // a sound, or how long the built-in voice speaks
	Interrupt string        `key:"interrupt"`                      // the same, when the agent has spoken for After
	Press     string        `key:"press" is:"phone-keys"`
	Silence   time.Duration `key:"silence" is:"step-time"`
	HangUp    bool          `key:"hang_up"`

	Within time.Duration `key:"within" is:"step-time" default:"15s"` // how long a wait may take
	Pause  time.Duration `key:"pause" is:"step-time" default:"700ms"`
	After  time.Duration `key:"after" is:"step-time" default:"1s"`
	Expect []Expectation `key:"expect"`

	// What the agent says from this step until the caller's next words, and what it does not say.
	Says    string `key:"says"`
	SaysNot string `key:"says_not"`

	Answered bool // the agent should answer Say, even if no Wait follows
}

// Expectation is a bound for a figure.
type Expectation struct {
	Name, Figure string
	Step         int     // from 1: only the figures of this step; 0: all
	Share        float64 // of the figures that keep the limit: 0.5 for p50, 1 for each
	Limit        float64 // in milliseconds, percent or MOS
	Least        bool    // figures are at least Limit
	Text         string  // the figure is this text; empty: it is a number
}

// figures are the figures of a conversation, with an example of a limit. Those without one are texts.
var figures = map[string]string{
	"answered_within": "5s", "first_audio": "2s", "answer": "1500ms", "stops_within": "1s", "dead_air": "3s",
	"duration": "1m", "talk_over": "5%", "loss": "1%", "mos": "3.8", "hangup_by": "", "transfer_to": "", "received": "",
}

const (
	stepsMax    = 200
	stepTimeMax = 10 * time.Minute
	speechMin   = 200 * time.Millisecond // of the built-in voice
	speechMax   = time.Minute
)

var phoneKeys = regexp.MustCompile(`^[0-9*#A-D]{1,64}$`)

// ParseConversation reads the text of a file, except for some of its keys. It returns all errors at once, as Errors.
func ParseConversation(file string, data []byte, without ...string) (*Conversation, error) {
	l, c := newLoader(file, os.LookupEnv, nil), &Conversation{}
	if root, ok := l.document(data); ok {
		l.root = root.section(reflect.TypeFor[Conversation]())
		maps.DeleteFunc(l.root.fields, func(key string, _ value) bool { return slices.Contains(without, key) })
		l.root.read(reflect.ValueOf(c).Elem())
	}
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return c, nil
}

// expectations reads a mapping of figures to their limits.
func (s section) expectations(name string) (all []Expectation) {
	for _, e := range s.entriesOf(name) {
		figure, which, _ := strings.Cut(e.key, " ")
		example, known := figures[figure]
		share, quantile := map[string]float64{"": 1, "min": 1, "p50": 0.5, "p95": 0.95}[which]
		x := Expectation{Name: e.key, Figure: figure, Share: share, Least: which == "min" || figure == "mos"}
		isTime := strings.HasSuffix(example, "s") || strings.HasSuffix(example, "m")
		if known = known && quantile && (isTime || share == 1 && example != "" || which == ""); figure == "received" {
			x.Figure, known = figure+" "+strings.ToLower(which), which != ""
		}
		text, ok := e.scalar()
		if !known {
			e.l.fail(e.line, e.path, "unknown figure", "write one of "+strings.Join(slices.Sorted(maps.Keys(figures)), ", ")+
				`; times also with p50 or p95, like "answer p95", numbers also with min, and "received NAME" for a header or field that the agent gets`)
		}
		if !known || !ok {
			continue
		}
		if x.Text = text.text; example != "" {
			x.Limit, ok = limitOf(text.text, example)
			x.Text = ""
		}
		if !ok || text.text == "" || figure == "hangup_by" && text.text != "caller" && text.text != "agent" {
			text.complain(refuse("is no limit for "+figure,
				"write one like "+cmp.Or(example, "a text, or for hangup_by caller or agent")))
		}
		all = append(all, x)
	}
	return all
}

// limitOf reads a limit in the form of an example.
func limitOf(text, example string) (limit float64, ok bool) {
	if d, err := time.ParseDuration(text); err == nil {
		return float64(d) / float64(time.Millisecond), d > 0 && strings.ContainsAny(example, "sm")
	}
	number, percent := strings.CutSuffix(text, "%")
	limit, err := strconv.ParseFloat(number, 64)
	return limit, err == nil && limit >= 0 && limit <= 100 && percent == strings.HasSuffix(example, "%") &&
		(percent || !strings.ContainsAny(example, "sm"))
}

// check completes the expectations, and refuses a file that does not say whom to call.
func (c *Conversation) check(s section) {
	if len(c.Steps) > stepsMax {
		s.fields["steps"].fail("has more than 200 steps", "make it two tests")
	}
	if to, ok := s.get("to"); ok && to.text != "" {
		isURI := strings.HasPrefix(c.To, "sip:")
		if wrong := checkSIPURI(c.To, TransportUDP); isURI && c.Target != "" {
			to.fail("is a SIP URI beside a target", "write a number, or remove target")
		} else if isURI && !wrong.none() {
			to.complain(refuse("is no SIP URI for a call over UDP", "write it like sip:agent@127.0.0.1:5070"))
		} else if !isURI && !sipUser.MatchString(c.To) {
			to.complain(refuse("is no number, and no SIP URI", "write it like +15075785607 or sip:agent@127.0.0.1:5070"))
		}
	}
	for i := range c.Steps {
		for _, says := range [][2]string{{"says", c.Steps[i].Says}, {"says_not", c.Steps[i].SaysNot}} {
			figure, text := says[0], says[1]
			if text != "" {
				c.Steps[i].Expect = append(c.Steps[i].Expect, Expectation{Name: figure, Figure: figure, Text: text})
			}
			if text != "" && c.Transcribe == "" && !s.has("transcribe") {
				s.fields["steps"].fail("has "+figure+", and nothing tells the agent's words",
					"write transcribe: with a command or a URL; see flowbridge help guides/test")
			}
		}
		for _, x := range c.Steps[i].Expect {
			x.Name, x.Step = fmt.Sprintf("%s of step %d", x.Name, i+1), i+1
			c.Expect = append(c.Expect, x)
		}
	}
	if s.has("steps") && len(s.l.errs) == 0 {
		c.unmeasured(s)
	}
}

// answers reports whether the agent's answer to a step is measured: the caller speaks, and then waits for it.
func (c *Conversation) answers(i int) bool {
	return c.Steps[i].Say+c.Steps[i].Interrupt != "" && i+1 < len(c.Steps) &&
		slices.Contains([]string{"words", "pause"}, c.Steps[i+1].Wait)
}

// unmeasured reports expectations that no call with these steps can measure.
func (c *Conversation) unmeasured(s section) {
	answers, interrupts := false, false
	refuseIn := func(v value, answers, interrupts, whole bool) {
		all, _ := v.entries(join)
		for _, e := range all {
			switch figure, _, _ := strings.Cut(e.key, " "); {
			case figure == "answer" && !answers:
				e.l.fail(e.line, e.path, "can never be measured: no wait is next after what the caller says",
					"write wait: pause or wait: words behind say or interrupt")
			case figure == "stops_within" && !interrupts:
				e.l.fail(e.line, e.path, "can never be measured: the caller does not interrupt",
					"write it for a step with interrupt")
			case figure != "answer" && figure != "stops_within" && figures[figure] != "" && !whole:
				e.l.fail(e.line, e.path, "is a figure of the whole call, and never measured in a step",
					"write it below the file's own expect")
			}
		}
	}
	for i, v := range s.list("steps") {
		answers, interrupts = answers || c.answers(i), interrupts || c.Steps[i].Interrupt != ""
		all, _ := v.entries(join)
		for _, e := range all {
			if e.key == "expect" {
				refuseIn(e.value, c.answers(i), c.Steps[i].Interrupt != "", false)
			}
		}
	}
	if v, ok := s.fields["expect"]; ok {
		refuseIn(v, answers, interrupts, true)
	}
}

// check refuses a step that does nothing, or two things.
func (p *ConversationStep) check(s section) {
	does := 0
	for _, k := range s.keys[:6] {
		if text, ok := s.get(k.name); ok && text.text != "" && (text.text != "false" || k.name != "hang_up") {
			does++
			d, err := time.ParseDuration(text.text)
			switch spoken := k.name == "say" || k.name == "interrupt"; {
			case spoken && err == nil && (d < speechMin || d > speechMax):
				text.complain(refuse("is not for the built-in voice", "write 200ms to 1m"))
			case spoken && err != nil && !s.l.sounds[text.text]:
				text.complain(refuse("is no duration, and no name below sounds", "write it there, with a WAV file"))
			}
		}
	}
	if does != 1 {
		s.fail("a step does one thing", "write one of wait, say, interrupt, press, silence and hang_up")
		return
	}
	counts := []bool{p.Wait+p.Interrupt != "", p.Wait == "pause", p.Interrupt != ""}
	for i, name := range []string{"within", "pause", "after"} {
		if text, ok := s.get(name); ok && !counts[i] {
			text.complain(refuse("does not count in this step",
				"within is for wait and interrupt, pause for wait: pause, after for interrupt; remove it"))
		}
	}
}

// noises are the kinds of noise behind the caller.
var noises = []string{"car", "crowd", "street"}

// parseNoise reads a kind of noise, and how far it is below the caller's words.
func parseNoise(t string) (string, complaint) {
	kind, level, _ := strings.Cut(t, " ")
	db, err := strconv.Atoi(strings.TrimSuffix(level, "dB"))
	if !slices.Contains(noises, kind) || err != nil || db < 0 || db > 60 || !strings.HasSuffix(level, "dB") {
		return "", refuse("is no noise", "write one of "+strings.Join(noises, ", ")+
			", and 0dB to 60dB below the caller's words, like street 15dB")
	}
	return t, complaint{}
}

// parseTranscriber reads a command, or a URL to which words may be sent.
func parseTranscriber(t string) (string, complaint) {
	if strings.HasPrefix(t, "http://") || strings.HasPrefix(t, "https://") {
		u, err := url.Parse(t)
		switch {
		case err != nil || u.Hostname() == "":
			return "", refuse("is not a URL", "write it like http://127.0.0.1:8178/inference")
		case u.User != nil:
			return "", complaint{problem: "holds a password", remedy: "write a command that reads it from a file", hide: true}
		case u.Scheme == "http" && !nearby(u.Hostname()):
			return "", refuse("would send the agent's words unencrypted",
				"write https; http is for loopback, private addresses and names without a dot")
		}
		return t, complaint{}
	}
	if strings.ContainsAny(t, "\"'`\\|&;<>$\n") || strings.TrimSpace(t) == "" {
		return "", refuse("is run without a shell, to which quotes and such signs belong",
			"write a program and its arguments, parted by spaces; more goes into a script")
	}
	return t, complaint{}
}

// parseTestHeader reads a header that the agent may get, too.
func parseTestHeader(t string) (string, complaint) {
	line, c := parseHeaderLine(t)
	if name, _, _ := strings.Cut(line, ":"); c.none() && !Passable(name) {
		c = refuse("is a header of one side of the call, which is never passed on", "write another one, like X-Customer: 42")
	}
	return line, c
}
