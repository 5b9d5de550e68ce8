package sdp

import (
	"net/netip"
	"strings"
	"testing"

	"flowbridge/internal/siptest"
)

func TestPacketTimes(t *testing.T) {
	at := netip.MustParseAddrPort("198.51.100.1:10000")
	for value, kept := range map[string]bool{
		":1": true, ":20": true, ":22.5": true, ": 40": true, ":200": true,
		":0": false, ":-20": false, ":+20": false, ":abc": false, ":999999999999": false, ":201": false,
		":0.5": false, ":1e2": false, ":inf": false, ":NaN": false, ":0x14": false, ":20 ms": false, ":": false, "": false, ":.": false,
	} {
		for _, key := range []string{"ptime", "maxptime", "PTIME"} {
			line := "a=" + key + value
			stream := siptest.SessionAt("192.0.2.10", 20000, "0", line)
			session := strings.Replace(siptest.SessionAt("192.0.2.10", 20000, "0"), "t=0 0\r\n", "t=0 0\r\n"+line+"\r\n", 1)
			for _, body := range []string{stream, session} {
				d, err := Parse([]byte(body))
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				out, err := d.ForTarget(at, []string{"0"}, AsIs)
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Contains(string(out), line); got != kept {
					t.Errorf("%q goes on: %v; want %v\n%s", line, got, kept, out)
				}
			}
		}
	}
}
