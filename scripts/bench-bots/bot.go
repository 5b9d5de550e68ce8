package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/coder/websocket"

	"flowbridge/scripts/internal/rtp"
)

// Where a packet has what follows the fields of package rtp: the caller's order to the bot, and how long the packet
// took to the bot, in nanoseconds.
const (
	atPayload = 12
	atOrder   = 40
	atUp      = 41
)

// What a frame tells the bot.
const (
	quiet = iota // say nothing
	echo         // repeat the frame at once
	talk         // send two seconds of audio in one message
	hush         // send clear, and repeat the frame
	pause        // send a frame of silence at once
)

// talking is what the bot's two seconds consist of.
const talking = 0x2a

// bot takes WebSockets at an address, and does what frames order.
func bot(at string) error {
	s := http.Server{Addr: at, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(serveBot)}
	return s.ListenAndServe()
}

func serveBot(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	say := func(event, body string) {
		_ = c.Write(r.Context(), websocket.MessageText, []byte(`{"event":"`+event+`"`+body+`}`)) // the next Read ends it
	}
	play := func(audio []byte) {
		say("media", `,"media":{"payload":"`+base64.StdEncoding.EncodeToString(audio)+`"}`)
	}
	silence := slices.Repeat([]byte{0xff}, rtp.Size-atPayload) // in PCMU
	speech := slices.Repeat([]byte{talking}, 100*(rtp.Size-atPayload))
	p := make([]byte, rtp.Size)
	for {
		_, text, err := c.Read(r.Context())
		if err != nil {
			return
		}
		var m struct {
			Media struct {
				Payload []byte `json:"payload"`
			} `json:"media"`
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return
		}
		if len(m.Media.Payload) != len(p)-atPayload {
			continue
		}
		copy(p[atPayload:], m.Media.Payload)
		call, number, written, ours := rtp.Read(p)
		if !ours { // silence of the gateway
			continue
		}
		switch p[atOrder] {
		case talk:
			play(speech)
			continue
		case pause:
			play(silence)
			continue
		case hush:
			say("clear", "")
		case quiet:
			continue
		}
		now := time.Now().UnixNano()
		rtp.Write(p, call, 1, number, now)
		binary.BigEndian.PutUint64(p[atUp:], uint64(now-written))
		play(p[atPayload:])
	}
}
