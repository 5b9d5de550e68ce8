package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

var ids = streamIDs{
	"MZ" + strings.Repeat("1", 32), "CA" + strings.Repeat("2", 32), "AC" + strings.Repeat("3", 32),
}

// TestMessages: what a bot gets, field by field as in Twilio's documentation.
func TestMessages(t *testing.T) {
	o := outgoing{ids: ids}
	const stream = `"streamSid":"MZ11111111111111111111111111111111"`
	for i, tt := range []struct{ got, want string }{
		{connected, `{"event":"connected","protocol":"Call","version":"1.0.0"}`},
		{string(o.start(nil, []byte(`{"a":"b"}`))), `{"event":"start","sequenceNumber":"1",` + stream +
			`,"start":{"accountSid":"AC33333333333333333333333333333333",` + stream +
			`,"callSid":"CA22222222222222222222222222222222","tracks":["inbound"],` +
			`"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"a":"b"}}}`},
		{string(o.media(nil, []byte{1, 2})), `{"event":"media","sequenceNumber":"2",` + stream +
			`,"media":{"track":"inbound","chunk":"1","timestamp":"0","payload":"AQI="}}`},
		{string(o.media(nil, []byte{1})), `{"event":"media","sequenceNumber":"3",` + stream +
			`,"media":{"track":"inbound","chunk":"2","timestamp":"20","payload":"AQ=="}}`},
		{string(o.dtmf(nil, '5')), `{"event":"dtmf","sequenceNumber":"4",` + stream +
			`,"dtmf":{"track":"inbound_track","digit":"5"}}`},
		{string(o.mark(`a"`)), `{"event":"mark","sequenceNumber":"5",` + stream + `,"mark":{"name":"a\""}}`},
		{string(o.stop(nil)), `{"event":"stop","sequenceNumber":"6",` + stream +
			`,"stop":{"accountSid":"AC33333333333333333333333333333333","callSid":"CA22222222222222222222222222222222"}}`},
	} {
		if tt.got != tt.want || !json.Valid([]byte(tt.got)) {
			t.Errorf("%d: got %s; want %s", i, tt.got, tt.want)
		}
	}
}

func TestRead(t *testing.T) {
	for text, want := range map[string]error{
		`{"event":"media","streamSid":"` + ids.stream + `","media":{"payload":"AQI="}}`: nil,
		`{"event":"media","media":{"payload":"AQI="}}`:                                  nil,
		`{"event":"clear","streamSid":"MZx"}`:                                           errStream,
		`{"event":"clear"}`:                                                             nil,
		`{"event":"mark","mark":{"name":"x"}}`:                                          nil,
		`{"event":"mark","mark":{"name":"` + strings.Repeat("x", 257) + `"}}`:           errMarkName,
		`{"event":"mark"}`:                                                              errIncomplete,
		`{"event":"media","media":{"payload":""}}`:                                      errIncomplete,
		`{"event":"media","media":{"payload":"%%"}}`:                                    errNotJSON,
		`{"event":"hello"}`:                                                             errEvent,
		`[]`:                                                                            errNotJSON,
		`{"event":"clear"}x`:                                                            errNotJSON,
		``:                                                                              errNotJSON,
	} {
		if _, err := read([]byte(text), ids.stream); !errors.Is(err, want) {
			t.Errorf("%s: got %v; want %v", text, err, want)
		}
	}
}

// plainMedia are messages that readMedia takes, and others.
func plainMedia() map[string]bool {
	return map[string]bool{
		`{"event":"media","streamSid":"` + ids.stream + `","media":{"payload":"AQI="}}`: true,
		` {"media" : {"payload": "AQI="} , "event": "media", "streamSid": ""} ` + "\n":  true,
		`{"event":"media","streamSid":"MZx","media":{"payload":"AQI="}}`:                false,
		`{"event":"media","media":{"payload":"AQI="},"media":{"payload":"AQ=="}}`:       false,
		`{"event":"media","media":{"payload":"AQI=","track":"outbound"}}`:               false,
		`{"event":"media","media":{"payload":"AQI="},"sequenceNumber":"1"}`:             false,
		`{"event":"media","event":"media","media":{"payload":"AQI="}}`:                  false,
		`{"event":"media","media":{"payload":"AQI="},}`:                                 false,
		`{"event":"media","media":{"payload":"AQI="}}}`:                                 false,
		`{"event":"media","media":{"payload":"AQI=\n"}}`:                                false,
		"{\"event\":\"media\",\"media\":{\"payload\":\"AQI=\n\"}}":                      false,
		`{"event":"media","media":{"payload":""}}`:                                      false,
		`{"event":"media","media":{"payload":"A"}}`:                                     false,
		`{"event":"mark","media":{"payload":"AQI="}}`:                                   false,
		`{"event":"media","media":{"payload":"AQI="}`:                                   false,
		`{"event":"media","media":"AQI="}`:                                              false,
		`"event":"media","media":{"payload":"AQI="}}`:                                   false,
		`{"event":"media"}`: false,
		`{}`:                false,
		``:                  false,
	}
}

func TestReadMedia(t *testing.T) {
	for text, want := range plainMedia() {
		audio, got := readMedia([]byte("x"), []byte(text), ids.stream)
		if got != want || got && string(audio) != "x\x01\x02" {
			t.Errorf("%s: got %q, %t", text, audio, got)
		}
	}
}

// FuzzReadMedia: what the short way takes the long one takes, too, as the same.
func FuzzReadMedia(f *testing.F) {
	for text := range plainMedia() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		audio, ok := readMedia(nil, []byte(text), ids.stream)
		if !ok {
			return
		}
		if m, err := read([]byte(text), ids.stream); err != nil || m.Event != "media" ||
			!bytes.Equal(m.Media.Payload, audio) {
			t.Fatalf("%q: %x, but also %+v, %v", text, audio, m, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	text := []byte(`{"event":"media","streamSid":"` + ids.stream +
		`","media":{"payload":"` + string(make64(frameSize)) + `"}}`)
	b.Run("plain", func(b *testing.B) {
		var room []byte
		for b.Loop() {
			room, _ = readMedia(room[:0], text, ids.stream)
		}
	})
	b.Run("any", func(b *testing.B) {
		for b.Loop() {
			_, _ = read(text, ids.stream)
		}
	})
}

// FuzzRead: a message that is taken has what its event needs, and its audio is that of the text.
func FuzzRead(f *testing.F) {
	f.Add(`{"event":"media","media":{"payload":"AQI="}}`)
	f.Add(`{"event":"mark","mark":{"name":"x"}}`)
	f.Add(`{"event":"media","media":{"payload":"uuuuuQd="}}`) // with bits behind the last byte, which are not read
	f.Fuzz(func(t *testing.T, text string) {
		m, err := read([]byte(text), ids.stream)
		switch {
		case err != nil:
		case m.Event == "media":
			whole := m.Media.Payload[:len(m.Media.Payload)/3*3]
			if !strings.Contains(text, "\\") && !strings.Contains(text, base64.StdEncoding.EncodeToString(whole)) {
				t.Fatalf("audio %x of %s", m.Media.Payload, text)
			}
		case m.Event == "mark":
			o := outgoing{ids: ids}
			if answer := o.mark(m.Mark.Name); !json.Valid(answer) {
				t.Fatalf("answer %s", answer)
			}
		}
	})
}

func TestResumedParameters(t *testing.T) {
	for in, want := range map[string]string{
		"": `{"resumed":"true"}`, "{}": `{"resumed":"true"}`, `{"a":"b"}`: `{"resumed":"true","a":"b"}`,
	} {
		if got := string(resumedParameters([]byte(in))); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

// TestSignature has the value that Twilio's documentation of webhooks gives for a URL without a body.
func TestSignature(t *testing.T) {
	a := NewAccess(AccessOptions{Token: "t", AuthToken: "12345", AccountSID: ids.account})
	h := a.Header("wss://example.com/media")
	signed := h.Get("X-Twilio-Signature")
	if h.Get("Authorization") != "Bearer t" || signed != signature("wss://example.com/media", "12345") ||
		len(signed) != 28 {
		t.Errorf("headers %v", h)
	}
}
