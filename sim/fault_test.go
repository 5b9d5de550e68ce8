package sim

import (
	"testing"
	"time"
)

func TestParseFault(t *testing.T) {
	for in, want := range map[string]Fault{
		"":            {},
		"slow":        {Kind: FaultSlow, After: 2 * time.Second},
		"slow:250ms":  {Kind: FaultSlow, After: 250 * time.Millisecond},
		"late":        {Kind: FaultLate, After: 10 * time.Second},
		"hangup:1s":   {Kind: FaultHangup, After: time.Second},
		"early":       {Kind: faultEarly, After: time.Second},
		"early:200ms": {Kind: faultEarly, After: 200 * time.Millisecond},
		"status:302":  {Kind: FaultStatus, Status: 302},
		"status:699":  {Kind: FaultStatus, Status: 699},
		"500":         {Kind: Fault500},
		"failed":      {Kind: FaultFailed},
		"hang":        {Kind: FaultHang},
		"malformed":   {Kind: FaultMalformed},
		"reset":       {Kind: FaultReset},
		"silent":      {Kind: faultSilent},
		"busy":        {Kind: FaultBusy},
		"429":         {Kind: Fault429},
		"429:1500ms":  {Kind: Fault429, After: 1500 * time.Millisecond},
		"html":        {Kind: FaultHTML},
		"html:200":    {Kind: FaultHTML, Status: 200},
		"gzipbomb":    {Kind: FaultGzipBomb},
		"redirect":    {Kind: FaultRedirect},
	} {
		got, err := ParseFault(in)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"x", "busy:1s", "slow:", "slow:x", "slow:-1s", "SLOW", "status", "status:", "status:200", "status:700", "status:x", "reset:1s", "early:x", "429:", "429:2", "html:", "html:600", "echo:1", "crlf:x"} {
		if _, err := ParseFault(in); err == nil {
			t.Errorf("%q accepted", in)
		}
	}
}
