package dtls

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"

	"flowbridge/media"
)

// network carries the datagrams of two ends. drops decides which are lost.
type network struct {
	ends  [2]*media.Datagrams
	sent  [2]int
	drops func(from, n int, pkt []byte) bool
}

func newNetwork(drops func(from, n int, pkt []byte) bool) *network {
	w := &network{drops: drops}
	for i := range w.ends {
		w.ends[i] = media.NewDatagrams(func(pkt []byte) {
			w.sent[i]++
			if w.drops == nil || !w.drops(i, w.sent[i], pkt) {
				w.ends[1-i].Deliver(pkt)
			}
		})
	}
	return w
}

func (w *network) close() {
	w.ends[0].Close()
	w.ends[1].Close()
}

func identity(t testing.TB, seed byte) *Identity {
	t.Helper()
	id, err := NewIdentity([32]byte{seed})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var suites = []media.Suite{media.SuiteAEADAES256GCM, media.SuiteAEADAES128GCM, media.SuiteAESCM128SHA80, media.SuiteAESCM128SHA32}

// result is the result of one end's handshake.
type result struct {
	keys media.Crypto
	err  error
	took time.Duration
}

// agree runs the handshake of one end.
func agree(id *Identity, d *media.Datagrams, with Peer) <-chan result {
	done, began := make(chan result, 1), time.Now()
	go func() {
		err := id.Agree(context.Background(), d, with, func(k media.Crypto) { done <- result{keys: k, took: time.Since(began)} })
		if err != nil {
			done <- result{err: err, took: time.Since(began)}
		}
	}()
	return done
}

// both runs both ends of a handshake and returns the results of the server and the client.
func both(t *testing.T, w *network, ofServer, ofClient []media.Suite) (server, client result) {
	t.Helper()
	a, b := identity(t, 1), identity(t, 2)
	s := agree(a, w.ends[0], Peer{Fingerprints: []string{b.Fingerprint()}, Suites: ofServer})
	c := agree(b, w.ends[1], Peer{Fingerprints: []string{a.Fingerprint()}, Suites: ofClient, Client: true})
	return <-s, <-c
}

func wantSameKeys(t *testing.T, a, b result, suite media.Suite) {
	t.Helper()
	if a.err != nil || b.err != nil {
		t.Fatalf("%v and %v; want keys", a.err, b.err)
	}
	if !a.keys.Send.Same(b.keys.Receive) || !a.keys.Receive.Same(b.keys.Send) || a.keys.Send.Same(a.keys.Receive) {
		t.Error("the ends do not have the same two keys")
	}
	if got := a.keys.Send.Suite; got != suite || len(a.keys.Send.Key) != suite.KeyLen() {
		t.Errorf("%d bytes of %v; want %v", len(a.keys.Send.Key), got, suite)
	}
}

func TestAgree(t *testing.T) {
	for _, suite := range suites {
		t.Run(suite.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(nil)
				defer w.close()
				server, client := both(t, w, suites, []media.Suite{suite})
				wantSameKeys(t, server, client, suite)
				if server.took != 0 || client.took != 0 {
					t.Errorf("it took %v and %v without any loss", server.took, client.took)
				}
			})
		})
	}
}

// Any datagram of either end may be lost, together with the next one.
func TestLostPackets(t *testing.T) {
	for from := range 2 {
		for first := 1; first <= 8; first++ {
			for lost := 1; lost <= 3; lost++ {
				synctest.Test(t, func(t *testing.T) {
					w := newNetwork(func(f, n int, _ []byte) bool { return f == from && n >= first && n < first+lost })
					defer w.close()
					server, client := both(t, w, suites, suites)
					wantSameKeys(t, server, client, media.SuiteAEADAES256GCM)
				})
			}
		}
	}
}

// Neither end gets keys if the peer's certificate is not named in the SDP.
func TestWrongFingerprint(t *testing.T) {
	for _, client := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newNetwork(nil)
			defer w.close()
			a, b, other := identity(t, 1), identity(t, 2), identity(t, 3)
			strict := agree(a, w.ends[0], Peer{Fingerprints: []string{other.Fingerprint()}, Suites: suites, Client: client})
			far := agree(b, w.ends[1], Peer{Fingerprints: []string{a.Fingerprint()}, Suites: suites, Client: !client})
			if r := <-strict; !errors.Is(r.err, errFingerprint) || r.took > time.Second {
				t.Errorf("client %v: %v after %v; want %v at once", client, r.err, r.took, errFingerprint)
			}
			if r := <-far; r.err == nil && client { // the server of a handshake is told before it has finished
				t.Error("the other end has keys")
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	for _, client := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newNetwork(nil)
			defer w.close()
			r := <-agree(identity(t, 1), w.ends[0], Peer{Fingerprints: []string{"sha-256 00"}, Suites: suites, Client: client})
			if !errors.Is(r.err, errTimeout) || r.took != Patience {
				t.Errorf("%v after %v; want %v after %v", r.err, r.took, errTimeout, Patience)
			}
		})
	}
}

func TestNoProfileInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(nil)
		defer w.close()
		server, client := both(t, w, suites[:1], suites[2:])
		if server.err == nil || client.err == nil {
			t.Errorf("%v, %v; want two errors", server.err, client.err)
		}
	})
}

// The bubble ends empty: nothing goes on when the session is over.
func TestHandshakeEndsWithItsSession(t *testing.T) {
	for _, client := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newNetwork(nil)
			done := agree(identity(t, 1), w.ends[0], Peer{Fingerprints: []string{"sha-256 00"}, Suites: suites, Client: client})
			time.Sleep(time.Second)
			w.close()
			if r := <-done; !errors.Is(r.err, net.ErrClosed) || r.took != time.Second {
				t.Errorf("%v after %v; want %v at once", r.err, r.took, net.ErrClosed)
			}
		})
	}
}

// junk is what somebody at the peer's address may send who does not see the handshake: any bytes behind the header of a
// record, or of a ClientHello.
func junk(r *rand.Rand, hello bool) []byte {
	pkt := make([]byte, 25+r.IntN(200))
	for i := range pkt {
		pkt[i] = byte(r.Uint32())
	}
	copy(pkt, []byte{byte(22 + r.IntN(42)), 0xfe, 0xfd, 0, 0})
	if hello {
		n := byte(len(pkt) - 25)
		copy(pkt, []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, byte(r.IntN(8)), 0, n + 12, 1, 0, 0, n, 0, 0, 0, 0, 0, 0, 0, n})
	}
	return pkt
}

// A flood of ClientHellos before the peer's, and of garbage at any time, does not end a handshake.
func TestJunk(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			w := newNetwork(nil)
			defer w.close()
			for range 10 {
				w.ends[0].Deliver(junk(r, true)) // before the peer's
			}
			w.drops = func(from, n int, pkt []byte) bool {
				for range 2 {
					w.ends[1-from].Deliver(junk(r, false))
				}
				return false
			}
			server, client := both(t, w, suites, suites)
			if server.err != nil || client.err != nil {
				t.Errorf("seed %d: %v after %v and %v after %v", seed, server.err, server.took, client.err, client.took)
			}
		})
	}
}

// Alerts that anybody can send end no handshake (RFC 6347 section 4.1.2.7).
func TestForgedAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(nil)
		defer w.close()
		w.drops = func(from, n int, pkt []byte) bool {
			for _, alert := range []string{"\x02\x28", "\x01\x00"} { // handshake_failure, close_notify
				w.ends[1-from].Deliver(append([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, byte(20 + n), 0, 2}, alert...))
			}
			return false
		}
		server, client := both(t, w, suites, suites)
		wantSameKeys(t, server, client, media.SuiteAEADAES256GCM)
	})
}

// A key yields the same certificate in every process.
func TestIdentityIsOfItsKey(t *testing.T) {
	a, again, b := identity(t, 1), identity(t, 1), identity(t, 2)
	if a.Fingerprint() != again.Fingerprint() || a.Fingerprint() == b.Fingerprint() {
		t.Error("the fingerprint is not that of the key")
	}
	if f := a.Fingerprint(); !strings.HasPrefix(f, "sha-256 ") || len(f) != len("sha-256 ")+32*3-1 {
		t.Errorf("fingerprint %q", f)
	}
}

// A peer that is none of ours: another certificate, of another hash, in another spelling.
func TestForeignPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certificate, err := selfsign.GenerateSelfSigned()
		if err != nil {
			t.Fatal(err)
		}
		w := newNetwork(nil)
		defer w.close()
		name := strings.ToLower(fingerprint("SHA-512", 7, certificate.Certificate[0])) // 7 is crypto.SHA512
		ours := agree(identity(t, 1), w.ends[0], Peer{Fingerprints: []string{"sha-1 00:11", name}, Suites: suites, Client: true})
		far := newWire(w.ends[1])
		conn, err := dtls.ServerWithOptions(far, address{}, dtls.WithCertificates(certificate), dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := <-ours; r.err != nil || r.keys.Send.Suite != media.SuiteAESCM128SHA80 {
			t.Errorf("%v, %v", r.keys.Send, r.err)
		}
		far.close(conn)
	})
}

// Lines that no peer is meant to send never fail, and are never taken for more than they are.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{20, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 2, 40})
	f.Add([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		if plausible(datagram) && (datagram[0] < changeCipherSpec || datagram[0] > dataRecord || plausible(datagram[:len(datagram)-1]) && len(datagram) < recordLen) {
			t.Errorf("% x is taken", datagram)
		}
	})
}
