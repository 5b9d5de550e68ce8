package leg

import (
	"testing"
	"unsafe"
)

// A leg must stay small, because each established call has two. Go allocates in size classes, and the next larger class
// has 1,024 bytes. Go itself uses 8 bytes of an allocation.
func TestLegFitsItsPiece(t *testing.T) {
	if n := unsafe.Sizeof(Leg{}) + 8; n > 896 {
		t.Errorf("%d bytes; want 896 at most", n)
	}
}
