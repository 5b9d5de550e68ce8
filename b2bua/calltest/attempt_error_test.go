package calltest

import (
	"crypto/tls"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// A failed handshake says which side of it failed, not only that it did.
func TestAttemptNamesTLSReason(t *testing.T) {
	ca := siptest.NewAuthority(t, "ca")
	for name, tt := range map[string]struct {
		agent *tls.Config
		want  string
	}{
		"old version":   {&tls.Config{Certificates: []tls.Certificate{ca.Pair("agent", "agent.test")}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "it speaks neither TLS 1.2 nor TLS 1.3"},
		"other name":    {&tls.Config{Certificates: []tls.Certificate{ca.Pair("other", "other.test")}}, "its certificate is for another name: "},
		"other issuer":  {&tls.Config{Certificates: []tls.Certificate{siptest.NewAuthority(t, "other").Pair("agent", "agent.test")}}, "its certificate is signed by an authority that is not trusted"},
		"no TLS at all": {nil, "it does not speak TLS at this port"},
	} {
		runIn(t, name, tlsConfig(ca), func(w *world) {
			agents := w.streamAgent(agentAddr)
			carrier, err := w.connectTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "bridge.test"})
			must(w.t, err)
			d := carrier.dials("+15075785607")
			d.learn(carrier.expect("SIP/2.0 180"))
			if tt.agent == nil {
				conn, err := agents.l.Accept()
				must(w.t, err)
				_, err = conn.Write([]byte("SIP/2.0 400 Bad Request\r\n\r\n"))
				must(w.t, err)
				defer conn.Close()
			} else if _, err := agents.acceptTLS(tt.agent); err == nil && name == "old version" {
				w.t.Error("the handshake went well")
			}
			carrier.isRefused(d, "503")
			r := w.wantRecord(record.DispositionFailed, cause.TLSFailed, record.EndedBySystem)
			if got := r.Attempts[0].Error; !strings.HasPrefix(got, tt.want) {
				w.t.Errorf("the attempt failed because %q; want %q", got, tt.want)
			}
		})
	}
}

// An answer with another codec names both: the platform's people will ask.
func TestAttemptNamesCodecs(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		invite := w.carrier.ringsAt(w.agent, d)
		w.agent.concludes(invite, 200, "OK", "agent1", "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 30000 RTP/AVP 18\r\n")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.carrier.isRefused(d, "503")
		r := w.wantRecord(record.DispositionFailed, cause.BadAnswer, record.EndedBySystem)
		if got, want := r.Attempts[0].Error, "no codec in common: it answered G729; offered were PCMU, PCMA"; got != want {
			t.Errorf("the attempt failed because %q; want %q", got, want)
		}
	})
}
