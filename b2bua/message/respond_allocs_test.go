//go:build !race

package message

import (
	"testing"

	"flowbridge/internal/siptest"
)

// An answer costs a message, room for its headers, and a Content-Length: the other
// headers are those of the request.
func TestResponseAllocations(t *testing.T) {
	req := siptest.InviteFrom(t, "<sip:a@192.0.2.1>;tag=1")
	req.To().Params.Add("tag", "2")
	req.SetSource("192.0.2.10:5060")
	req.SetTransport("UDP")
	if n := testing.AllocsPerRun(100, func() { ResponseTo(req, 180, "Ringing", nil) }); n > 3 {
		t.Errorf("%v objects; want 3", n)
	}
}
