package sdp

import "strings"

// RTP and RTCP on one port (RFC 5761). A side that offers it has it, whatever
// the other one does; we offer it to nobody who has not.

// Muxes says whether a description has a=rtcp-mux for its audio.
func (d *Description) Muxes() bool {
	if d == nil || d.sdp == nil {
		return false
	}
	_, ok := d.Media().Attribute("rtcp-mux")
	return ok
}

// muxed is a stream, from behind the m=, with a=rtcp-mux (RFC 5761 section
// 5.1.1). Where RTCP would go without, which a=rtcp says (RFC 3605), is not said:
// it is the port above as ever.
func muxed(stream string) string {
	var b strings.Builder
	for line := range strings.Lines(stream) {
		if !strings.HasPrefix(line, "a=rtcp:") {
			b.WriteString(line)
		}
	}
	b.WriteString("a=rtcp-mux\r\n")
	return b.String()
}
