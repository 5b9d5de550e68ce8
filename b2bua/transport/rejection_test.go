package transport

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/sim/siptest"
)

// The log line about an unknown source says what to configure if the source may call. The order of its fields must
// match fail2ban's regular expression.
func TestUnknownSourceSaysTheRemedy(t *testing.T) {
	var log bytes.Buffer
	l := newRejectionLog(zerolog.New(&log))
	l.rejected(&atomic.Uint64{}, siptest.Carrier, "unknown_source")
	want := `"src":"192.0.2.10:5060","reason":"unknown_source","count":1,` +
		`"remedy":"if it may call, add its address to trunks[].sources and reload; a phone that registers needs a trunk with registrar","message":"sip rejected"`
	if !strings.Contains(log.String(), want) {
		t.Errorf("got %s; want %s", log.String(), want)
	}
}
