package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
)

// The messages of Twilio Media Streams ("WebSocket Messages" in Twilio's documentation, read 28 November 2026). Those
// to the bot are appended byte by byte, because a call has fifty a second.

// streamIDs are the ids of a stream. All of them are plain ASCII without characters that JSON escapes.
type streamIDs struct {
	stream  string // MZ and 32 hexadecimal digits
	call    string // CA and 32
	account string // AC and 32
}

const connected = `{"event":"connected","protocol":"Call","version":"1.0.0"}`

// outgoing writes the messages of one stream to its bot, in their order.
type outgoing struct {
	ids   streamIDs
	seq   int
	chunk int
}

// begin appends the members that all messages but the first have.
func (o *outgoing) begin(b []byte, event string) []byte {
	o.seq++
	b = append(append(b, `{"event":"`...), event...)
	b = strconv.AppendInt(append(b, `","sequenceNumber":"`...), int64(o.seq), 10)
	b = append(append(b, `","streamSid":"`...), o.ids.stream...)
	return append(b, '"')
}

// start appends the message start. parameters is a JSON object.
func (o *outgoing) start(b, parameters []byte) []byte {
	b = o.begin(b, "start")
	b = append(append(b, `,"start":{"accountSid":"`...), o.ids.account...)
	b = append(append(b, `","streamSid":"`...), o.ids.stream...)
	b = append(append(b, `","callSid":"`...), o.ids.call...)
	b = append(b, `","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}`...)
	b = append(append(b, `,"customParameters":`...), parameters...)
	return append(b, "}}"...)
}

// media appends a message with 20 ms of the caller's audio.
func (o *outgoing) media(b, audio []byte) []byte {
	stamp := o.chunk * 20 // ms since the start
	o.chunk++
	b = o.begin(b, "media")
	b = strconv.AppendInt(append(b, `,"media":{"track":"inbound","chunk":"`...), int64(o.chunk), 10)
	b = strconv.AppendInt(append(b, `","timestamp":"`...), int64(stamp), 10)
	b = base64.StdEncoding.AppendEncode(append(b, `","payload":"`...), audio)
	return append(b, `"}}`...)
}

// dtmf appends a key that the caller has pressed.
func (o *outgoing) dtmf(b []byte, digit byte) []byte {
	b = append(o.begin(b, "dtmf"), `,"dtmf":{"track":"inbound_track","digit":"`...)
	return append(append(b, digit), `"}}`...)
}

// mark returns the answer to a mark.
func (o *outgoing) mark(name string) []byte {
	b := append(o.begin(nil, "mark"), `,"mark":{"name":`...)
	text, err := json.Marshal(name)
	if err != nil { // can't happen: it is a string
		text = []byte(`""`)
	}
	return append(append(b, text...), "}}"...)
}

// stop appends the last message.
func (o *outgoing) stop(b []byte) []byte {
	b = append(append(o.begin(b, "stop"), `,"stop":{"accountSid":"`...), o.ids.account...)
	return append(append(append(b, `","callSid":"`...), o.ids.call...), `"}}`...)
}

// incoming is a message of a bot.
type incoming struct {
	Event     string `json:"event"`
	StreamSID string `json:"streamSid"`
	Media     *struct {
		Payload []byte `json:"payload"` // JSON has it in base64
	} `json:"media"`
	Mark *struct {
		Name string `json:"name"`
	} `json:"mark"`
}

// maxMarkName bounds the name of a mark, in bytes.
const maxMarkName = 256

// What can be wrong with a bot's message.
var (
	errNotJSON    = errors.New("not the JSON of a message")
	errStream     = errors.New("streamSid of another stream")
	errIncomplete = errors.New("no payload or name")
	errMarkName   = errors.New("name of a mark over 256 bytes")
	errEvent      = errors.New("unknown event")
)

// read reads a bot's message. A message with an error is to be ignored, as Twilio does.
func read(text []byte, stream string) (m incoming, err error) {
	if json.Unmarshal(text, &m) != nil {
		return m, errNotJSON
	}
	switch {
	case m.StreamSID != "" && m.StreamSID != stream:
		return m, errStream
	case m.Event == "clear":
	case m.Event == "media":
		if m.Media == nil || len(m.Media.Payload) == 0 {
			return m, errIncomplete
		}
	case m.Event == "mark":
		if m.Mark == nil || m.Mark.Name == "" {
			return m, errIncomplete
		}
		if len(m.Mark.Name) > maxMarkName {
			return m, errMarkName
		}
	default:
		return m, errEvent
	}
	return m, nil
}

// readMedia reads a message of a bot that is audio in the plainest form, which nearly all have. It takes a fifth of the
// time of read, and appends the audio to dst. If it returns false, read knows more.
func readMedia(dst, text []byte, stream string) (audio []byte, ok bool) {
	s := plain{rest: text, ok: true}
	var event, id, payload []byte
	s.take('{')
	for more := true; more && s.ok; more = s.has(',') {
		switch name := s.name(); {
		case string(name) == "event" && event == nil:
			event = s.text()
		case string(name) == "streamSid" && id == nil:
			id = s.text()
		case string(name) == "media" && payload == nil:
			s.take('{')
			s.ok = string(s.name()) == "payload" && s.ok
			payload = s.text()
			s.take('}')
		default:
			return dst, false
		}
	}
	s.take('}')
	s.space()
	if !s.ok || len(s.rest) > 0 || string(event) != "media" || len(id) > 0 && string(id) != stream || len(payload) == 0 {
		return dst, false
	}
	audio, err := base64.StdEncoding.AppendDecode(dst, payload)
	return audio, err == nil && len(audio) > 0
}

// plain reads JSON whose texts have only ASCII, without escapes. After anything else ok is false.
type plain struct {
	rest []byte
	ok   bool
}

func (s *plain) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r' || s.rest[0] == '\n') {
		s.rest = s.rest[1:]
	}
}

// has reports whether a character is next, and takes it.
func (s *plain) has(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *plain) take(c byte) { s.ok = s.has(c) && s.ok }

// name takes the name of a member.
func (s *plain) name() []byte {
	name := s.text()
	s.take(':')
	return name
}

// text takes a text.
func (s *plain) text() []byte {
	s.take('"')
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text
		case c < ' ' || c == '\\' || c >= 0x80:
			s.ok = false
			return nil
		}
	}
	s.ok = false
	return nil
}

// FirstMessages returns the two messages that a bot gets first. stream and call are ids in Twilio's form.
func (a *Access) FirstMessages(stream, call string, parameters []byte) [2]string {
	o := outgoing{ids: streamIDs{stream, call, a.account}}
	return [2]string{connected, string(o.start(nil, parameters))}
}

// resumedParameters returns parameters, a JSON object, with the member that tells a bot that the call continues.
func resumedParameters(parameters []byte) []byte {
	const member = `{"resumed":"true"`
	if len(parameters) <= len("{}") {
		return []byte(member + "}")
	}
	return append([]byte(member+","), parameters[1:]...)
}
