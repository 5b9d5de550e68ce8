package leg

import (
	"testing"
	"unsafe"
)

// A held call keeps two legs. The next larger piece of Go's memory has 1,024 bytes. 8 bytes of a piece are Go's own.
func TestLegFitsItsPiece(t *testing.T) {
	if n := unsafe.Sizeof(Leg{}) + 8; n > 896 {
		t.Errorf("%d bytes; want 896 at most", n)
	}
}
