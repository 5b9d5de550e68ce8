// Package bot stands in for a bot that speaks Twilio Media Streams: it greets, and repeats what it heard when the
// caller pauses. It is written after Twilio's description of the messages, and shares no code with the gateway.
package bot

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"

	"flowbridge/media/audio"
	"flowbridge/sim/speech"
)

const (
	frame        = 160 // bytes of 20 ms of µ-law
	quietFrames  = 30  // of 20 ms: the pause after which the bot answers
	longestWords = 30 * 8000
	greeting     = 5    // syllables
	loud         = 0x30 // some -36 dBm0
	headerWait   = 5 * time.Second
)

// Options say where a bot listens.
type Options struct {
	Listen string // host and port of HTTP
	Token  string // the bearer token that an upgrade must have; "" for none
	Status int    // the HTTP status that each upgrade gets; 0 for a WebSocket
	Log    zerolog.Logger
}

// Bot is a running bot.
type Bot struct {
	options  Options
	listener net.Listener
	server   *http.Server
	greets   []byte
	calls    sync.WaitGroup
	ctx      context.Context //nolint:containedctx // the bot's life
	cancel   context.CancelFunc
}

// Start starts a bot.
func Start(ctx context.Context, o Options) (*Bot, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	b := &Bot{options: o, listener: l}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	voice := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // the same greeting each time
	speaker := speech.New(voice)
	for _, v := range speaker.Say(voice, greeting) {
		b.greets = append(b.greets, audio.EncodeULaw(int16(max(-1, min(v, 1))*32767)))
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: headerWait}
	b.calls.Go(func() { _ = b.server.Serve(l) }) // ends with Close
	return b, nil
}

// URL returns the bot's URL.
func (b *Bot) URL() string { return "ws://" + b.listener.Addr().String() + "/" }

// Close ends all calls.
func (b *Bot) Close() error {
	b.cancel()
	err := b.server.Close()
	b.calls.Wait()
	return err
}

// message is a message in either direction.
type message struct {
	Event     string          `json:"event"`
	StreamSID string          `json:"streamSid,omitempty"`
	Start     json.RawMessage `json:"start,omitempty"`
	DTMF      json.RawMessage `json:"dtmf,omitempty"`
	Media     *payload        `json:"media,omitempty"`
	Mark      *name           `json:"mark,omitempty"`
}

type payload struct {
	Payload []byte `json:"payload"`
}

type name struct {
	Name string `json:"name"`
}

// ServeHTTP takes a call.
func (b *Bot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch o := &b.options; {
	case o.Status != 0:
		http.Error(w, http.StatusText(o.Status), o.Status)
		return
	case o.Token != "" && r.Header.Get("Authorization") != "Bearer "+o.Token:
		http.Error(w, "another token is wanted", http.StatusUnauthorized)
		return
	}
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	b.calls.Add(1)
	defer b.calls.Done()
	c := call{bot: b, ws: ws}
	if err := c.run(b.ctx); websocket.CloseStatus(err) == -1 && !errors.Is(err, context.Canceled) {
		b.options.Log.Info().Err(err).Msg("socket lost")
	}
	_ = ws.CloseNow()
}

// call is one call. Its goroutine owns it.
type call struct {
	bot    *Bot
	ws     *websocket.Conn
	stream string
	words  []byte // of the caller, since it began to speak
	quiet  int    // frames of silence since then
}

func (c *call) run(ctx context.Context) error {
	log := &c.bot.options.Log
	for {
		_, text, err := c.ws.Read(ctx)
		if err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		switch m.Event {
		case "start":
			c.stream = m.StreamSID
			log.Info().RawJSON("start", m.Start).Msg("call")
			err = c.say(ctx, c.bot.greets, "greeting")
		case "media":
			if m.Media != nil {
				err = c.hear(ctx, m.Media.Payload)
			}
		case "dtmf":
			log.Info().RawJSON("dtmf", m.DTMF).Msg("key")
		case "mark":
			if m.Mark != nil {
				log.Info().Str("name", m.Mark.Name).Msg("mark")
			}
		case "stop":
			log.Info().Msg("stop")
		}
		if err != nil {
			return err
		}
	}
}

// hear repeats the caller's words after a pause.
func (c *call) hear(ctx context.Context, audio []byte) error {
	c.quiet++
	if loudest(audio) >= loud {
		c.quiet = 0
	}
	if c.quiet >= quietFrames && len(c.words) > 0 {
		words := c.words
		c.words = nil
		return c.say(ctx, words, "answer")
	}
	if c.quiet == 0 || len(c.words) > 0 {
		c.words = append(c.words, audio...)
		c.words = c.words[:min(len(c.words), longestWords)]
	}
	return nil
}

// loudest returns the greatest size of a sample, as µ-law counts it.
func loudest(audio []byte) (most byte) {
	for _, b := range audio {
		most = max(most, ^b&0x7f)
	}
	return most
}

// say sends words and a mark behind them.
func (c *call) say(ctx context.Context, words []byte, mark string) error {
	for len(words) > 0 {
		n := min(len(words), frame)
		if err := c.send(ctx, message{Event: "media", Media: &payload{words[:n]}}); err != nil {
			return err
		}
		words = words[n:]
	}
	return c.send(ctx, message{Event: "mark", Mark: &name{mark}})
}

func (c *call) send(ctx context.Context, m message) error {
	m.StreamSID = c.stream
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return c.ws.Write(ctx, websocket.MessageText, text)
}
