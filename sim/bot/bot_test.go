package bot

import (
	"context"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"
)

// TestEmptyMessages: messages without what belongs into them end no call.
func TestEmptyMessages(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b, err := Start(ctx, Options{Listen: "127.0.0.1:0", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ws, _, err := websocket.Dial(ctx, b.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	for _, text := range []string{
		`{}`, `{"event":"mark"}`, `{"event":"media"}`, `{"event":"dtmf"}`, `{"event":"stop"}`, `{"event":"start"}`,
	} {
		if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if _, _, err := ws.Read(ctx); err != nil { // the greeting
		t.Error(err)
	}
}
