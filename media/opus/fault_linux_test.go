package opus

import (
	"errors"
	"syscall"
	"testing"
	"unsafe"
)

// TestFaultIsAnError: an access of the codec outside of its memory, as its assembly may have one, ends no process.
func TestFaultIsAnError(t *testing.T) {
	page, err := syscall.Mmap(-1, 0, syscall.Getpagesize(), syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(page) }()
	e, d := pair(t, Settings{})
	samples := unsafe.Slice((*int16)(unsafe.Pointer(&page[0])), Frame)
	var pkt [MaxPacket]byte
	if _, err := e.Encode(samples, pkt[:]); !errors.Is(err, ErrBroken) {
		t.Errorf("encoding: %v", err)
	}
	e, _ = pair(t, Settings{})
	n, err := e.Encode(tone(Frame), pkt[:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(pkt[:n], samples); !errors.Is(err, ErrBroken) {
		t.Errorf("decoding: %v", err)
	}
}
