package recording

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// TestBlocks compares the blocks of a capture with a library's, byte by byte.
func TestBlocks(t *testing.T) {
	var want bytes.Buffer
	library, err := pcapgo.NewNgWriterInterface(&want,
		pcapgo.NgInterface{Name: "call", LinkType: layers.LinkTypeRaw, TimestampResolution: 9},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "Flowbridge"}})
	must(t, err)
	got := AppendCaptureHead(nil)
	at := time.Date(2026, 11, 26, 14, 0, 0, 123456789, time.UTC)
	for size := range 9 {
		packet := []byte(strings.Repeat("x", size))
		at = at.Add(time.Second + 1)
		got = AppendPacket(got, at, packet)
		must(t, library.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: size, Length: size}, packet))
	}
	if must(t, library.Flush()); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got\n%x, want\n%x", got, want.Bytes())
	}
}
