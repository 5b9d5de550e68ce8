package transport

import (
	"io"
	"log/slog"

	"github.com/emiago/sipgo/sip"
)

// SetProcessDefaults sets what the SIP library keeps per process: no limit of
// its own on the size of UDP messages (ours is the guard's and the header
// budget's), and a silent logger. Call it once, before any server is made.
//
// Timers D, J, L and M keep a transaction, and what it refers to, for the case
// that something is repeated. Of the clients' nothing is needed after the final
// answer (Wire.finished). An INVITE that is repeated later finds its leg, a 200
// that is sent again later does without (Wire.respond), and a BYE that is
// repeated later is known to the server by its branch.
func SetProcessDefaults() {
	sip.UDPMTUSize = 65535
	sip.Timer_D, sip.Timer_J, sip.Timer_L, sip.Timer_M = sip.T4, sip.T4, sip.T4, sip.T4
	sip.SetDefaultLogger(slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})))
}
