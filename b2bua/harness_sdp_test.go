package b2bua

import (
	"fmt"
	"strings"
)

const testSDP = `v=0
o=peer 1 1 IN IP4 %[1]s
s=peer's own name
c=IN IP4 %[1]s
t=0 0
m=audio %[2]d RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=candidate:1 1 UDP 1 10.9.9.9 4444 typ host
a=rtcp:%[2]d
a=sendrecv
`

func sdpAt(host string, port int) string {
	return strings.ReplaceAll(fmt.Sprintf(testSDP, host, port), "\n", "\r\n")
}

func agentSDP() string { return sdpAt("192.0.2.20", 30000) }
