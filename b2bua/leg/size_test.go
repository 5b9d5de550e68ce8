package leg

import (
	"testing"
	"unsafe"
)

// A call has two legs, and a held call keeps them. Go's next piece of memory is of 1,024 bytes; of these, 8 are its own.
func TestLegFitsItsPiece(t *testing.T) {
	if n := unsafe.Sizeof(Leg{}) + 8; n > 896 {
		t.Errorf("%d bytes; want 896 at most", n)
	}
}
