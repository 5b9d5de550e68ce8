package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"

	"flowbridge/media/audio"
)

// Conversation is the file of `flowbridge test`: a call, and what is expected of it. It has keys as Config has them.
type Conversation struct {
	// The target of the configuration that is called. Empty: To is called.
	Target string `key:"target"`
	// The number that is called, or without a target a SIP URI.
	To   string `key:"to" default:"+15075785607"`
	From string `key:"from" default:"+15075550100"`
	// Headers of the caller's INVITE, as Name: value.
	Headers []string `key:"headers" is:"header"`
	// A call that takes longer is hung up on.
	Limit time.Duration `key:"limit" is:"step-time" default:"3m"`
	// WAV files by name, as in Config.
	Sounds map[string]*audio.Sound `key:"sounds"`
	Steps  []ConversationStep      `key:"steps" filled:"" required:"what the caller does"`
	Expect Expectations            `key:"expect"`
}

// ConversationStep is what the caller does: it has one of the first six fields.
type ConversationStep struct {
	// What the caller waits for: that the agent begins to speak, that it has spoken and pauses, or that it hangs up.
	Wait string `key:"wait" enum:"words pause hangup"`
	// What the caller says, or interrupts the agent with: the name of a sound, or how long the built-in voice speaks.
	Say       string        `key:"say"`
	Interrupt string        `key:"interrupt"`
	Press     string        `key:"press" is:"phone-keys"`
	Silence   time.Duration `key:"silence" is:"step-time"`
	HangUp    bool          `key:"hang_up"`

	// How long a wait may take, how long a pause is, and for how long the agent speaks before it is interrupted.
	Within time.Duration `key:"within" is:"step-time" default:"15s"`
	Pause  time.Duration `key:"pause" is:"step-time" default:"700ms"`
	After  time.Duration `key:"after" is:"step-time" default:"1s"`
	// Expectations of this step.
	Answer      time.Duration `key:"answer"`
	StopsWithin time.Duration `key:"stops_within"`
}

// Expectations are bounds. A zero value expects nothing.
type Expectations struct {
	AnsweredWithin time.Duration `key:"answered_within"`
	FirstAudio     time.Duration `key:"first_audio"`
	Answer         struct {
		P50  time.Duration `key:"p50"`
		P95  time.Duration `key:"p95"`
		Each time.Duration `key:"each"`
	} `key:"answer"`
	StopsWithin time.Duration `key:"stops_within"`
	DeadAir     time.Duration `key:"dead_air"`
	TalkOver    string        `key:"talk_over" is:"percentage"`
	Loss        string        `key:"loss" is:"percentage"`
	MOS         string        `key:"mos" is:"mos"`
	Duration    struct {
		Min time.Duration `key:"min"`
		Max time.Duration `key:"max"`
	} `key:"duration"`
	HangUpBy   string `key:"hangup_by" enum:"caller agent"`
	TransferTo string `key:"transfer_to"`
	// Headers of the INVITE that the agent gets, as Name: value.
	Received []string `key:"received" is:"header"`
}

// stepsMax and stepTimeMax bound a conversation, and speechMin and speechMax what the built-in voice says.
const (
	stepsMax    = 200
	stepTimeMax = 10 * time.Minute
	speechMin   = 200 * time.Millisecond
	speechMax   = time.Minute
)

// The forms of values that only a conversation has.
var (
	phoneKeys  = regexp.MustCompile(`^[0-9*#A-D]{1,64}$`)
	percentage = regexp.MustCompile(`^[0-9]{1,2}(\.[0-9]+)?%$`)
	meanScore  = regexp.MustCompile(`^[1-4](\.[0-9]+)?$`)
)

// LoadConversation reads a file. It returns all errors at once, as Errors.
func LoadConversation(path string) (*Conversation, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return ParseConversation(ShownName(path), data)
}

// ParseConversation is like LoadConversation, for the text of a file.
func ParseConversation(file string, data []byte) (*Conversation, error) {
	l, c := newLoader(file, os.LookupEnv, nil), &Conversation{}
	if root, ok := l.document(data); ok {
		l.root = root.section(reflect.TypeFor[Conversation]())
		l.root.read(reflect.ValueOf(c).Elem())
	}
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return c, nil
}

// check refuses a file whose steps are too many, or that does not say whom to call.
func (c *Conversation) check(s section) {
	if len(c.Steps) > stepsMax {
		s.fields["steps"].fail("has more than 200 steps", "make it two tests")
	}
	if c.Target != "" && strings.HasPrefix(c.To, "sip:") {
		s.fields["to"].fail("is a SIP URI beside a target", "write a number, or remove target")
	}
}

// check refuses a step that does nothing, or two things.
func (p *ConversationStep) check(s section) {
	does := 0
	for _, k := range s.keys[:6] {
		if s.has(k.name) {
			does++
		}
	}
	if does != 1 {
		s.fail("a step does one thing", "write one of wait, say, interrupt, press, silence and hang_up")
	}
	for _, name := range []string{"say", "interrupt"} {
		text, ok := s.get(name)
		if !ok {
			continue
		}
		d, err := time.ParseDuration(text.text)
		if err == nil && (d < speechMin || d > speechMax) {
			text.complain(refuse("is not for the built-in voice", "write 200ms to 1m"))
		} else if err != nil && !s.l.sounds[text.text] {
			text.complain(refuse("is no duration, and no name below sounds", "write it there with a WAV file"))
		}
	}
}
