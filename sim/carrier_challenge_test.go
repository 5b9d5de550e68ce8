package sim

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// The carrier answers a challenge with the credentials once, with the next CSeq and a new Via (RFC
// 3261 §22.2).
func TestCarrierAnswersAChallenge(t *testing.T) {
	for _, tt := range []struct{ status, challenge, answer string }{
		{"401 Unauthorized", "WWW-Authenticate", "Authorization"},
		{"407 Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization"},
	} {
		t.Run(tt.challenge, func(t *testing.T) {
			conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
			must(t, err)
			defer conn.Close()
			var mu sync.Mutex
			var invites []string
			go func() {
				b := make([]byte, 65536)
				for {
					n, from, err := conn.ReadFromUDPAddrPort(b)
					if err != nil {
						return
					}
					if raw := string(b[:n]); strings.HasPrefix(raw, "INVITE ") {
						mu.Lock()
						invites = append(invites, raw)
						mu.Unlock()
						_, _ = conn.WriteToUDPAddrPort([]byte(refusal(raw, tt.status, tt.challenge)), from)
					}
				}
			}()
			var seen int
			c, err := StartCarrier(context.Background(), CarrierOptions{Tap: func(d Datagram) {
				mu.Lock()
				defer mu.Unlock()
				if strings.HasPrefix(string(d.Data), "INVITE ") && !d.Received && !d.At.IsZero() {
					seen++
				}
			}})
			must(t, err)
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			dest := conn.LocalAddr().(*net.UDPAddr).AddrPort()
			res, err := c.Call(ctx, CarrierCall{To: "sip:100@pbx.example.invalid", Dest: dest, Username: "ann", Password: "secret"})
			if err != nil || fmt.Sprint(res.Status) != tt.status[:3] {
				t.Fatalf("got %d, %v", res.Status, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(invites) != 2 || seen != 2 {
				t.Fatalf("%d INVITEs, %d seen; want 2", len(invites), seen)
			}
			if strings.Contains(invites[0], "uthorization:") || !strings.Contains(invites[1], "\r\n"+tt.answer+`: Digest username="ann"`) ||
				!strings.Contains(invites[1], "CSeq: 2 INVITE\r\n") || strings.Contains(invites[1], "secret") {
				t.Errorf("INVITEs:\n%s\n%s", invites[0], invites[1])
			}
			if line(invites[0], "Via") == line(invites[1], "Via") || line(invites[0], "Call-ID") != line(invites[1], "Call-ID") {
				t.Errorf("Via or Call-ID of\n%s\n%s", invites[0], invites[1])
			}
		})
	}
}

func line(raw, name string) string {
	for _, l := range headerLines(raw) {
		if strings.HasPrefix(l, name+":") {
			return l
		}
	}
	return ""
}

func refusal(invite, status, challenge string) string {
	return "SIP/2.0 " + status + "\r\n" + line(invite, "Via") + "\r\n" + line(invite, "From") + "\r\n" + line(invite, "To") + ";tag=x\r\n" +
		line(invite, "Call-ID") + "\r\n" + line(invite, "CSeq") + "\r\n" +
		challenge + `: Digest realm="pbx", nonce="n1", algorithm=MD5, qop="auth"` + "\r\nContent-Length: 0\r\n\r\n"
}
