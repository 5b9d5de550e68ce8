package whatsapp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v5/deadline"
)

var errFingerprint = errors.New("the certificate is not the one of a=fingerprint")

// newCertificate returns a self-signed certificate.
func newCertificate() (pair tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	begin := time.Now().Add(-time.Hour)
	of := x509.Certificate{
		SerialNumber: big.NewInt(begin.UnixNano()), Subject: pkix.Name{CommonName: "WebRTC"},
		NotBefore: begin, NotAfter: begin.Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &of, &of, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// handshake waits for the business's DTLS handshake, and sets the keys that come from it (RFC 5764). Then it answers
// repeated messages until the call ends.
func (t *terminal) handshake(want string) {
	defer t.running.Done()
	conn, err := dtls.ServerWithOptions(t.flow, t.flow.LocalAddr(),
		dtls.WithCertificates(t.certificate),
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerify(true), // the fingerprint decides
		dtls.WithVerifyPeerCertificate(func(certificates [][]byte, _ [][]*x509.Certificate) error {
			if len(certificates) == 0 || fingerprint(certificates[0]) != want {
				return errFingerprint
			}
			return nil
		}),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}),
	)
	if err == nil {
		defer conn.Close()
		err = conn.HandshakeContext(t.ctx)
	}
	if err == nil {
		err = t.setKeysOf(conn)
	}
	if err != nil {
		if t.ctx.Err() == nil {
			t.fails(fmt.Errorf("dtls: %w", err))
		}
		return
	}
	stop := context.AfterFunc(t.ctx, func() { _ = conn.Close() })
	defer stop()
	for buf := make([]byte, maxDatagram); ; {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// setKeysOf sets the keys of a handshake.
func (t *terminal) setKeysOf(conn *dtls.Conn) error {
	state, ok := conn.ConnectionState()
	chosen, too := conn.SelectedSRTPProtectionProfile()
	if !ok || !too {
		return errors.New("no SRTP profile in common")
	}
	profile := srtp.ProtectionProfileAes128CmHmacSha1_80
	if chosen == dtls.SRTP_AEAD_AES_128_GCM {
		profile = srtp.ProtectionProfileAeadAes128Gcm
	}
	c := srtp.Config{Profile: profile}
	if err := c.ExtractSessionKeysFromDTLS(&state, false); err != nil {
		return err
	}
	k := c.Keys
	return t.setKeys(profile, k.LocalMasterKey, k.LocalMasterSalt, k.RemoteMasterKey, k.RemoteMasterSalt)
}

// flow is the DTLS of a terminal as a connection.
type flow struct {
	*terminal
	in   chan []byte
	read *deadline.Deadline
}

func newFlow(t *terminal) *flow { return &flow{t, make(chan []byte, 64), deadline.New()} }

// push gives a datagram to the reader. If the reader is slow, it is lost.
func (f *flow) push(b []byte) {
	select {
	case f.in <- append([]byte(nil), b...):
	default:
	}
}

// ReadFrom implements net.PacketConn.
func (f *flow) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-f.in:
		return copy(p, b), f.LocalAddr(), nil
	case <-f.ctx.Done():
		return 0, nil, net.ErrClosed
	case <-f.read.Done():
		return 0, nil, f.read.Err()
	}
}

// WriteTo implements net.PacketConn. The datagram goes to the nominated address.
func (f *flow) WriteTo(p []byte, _ net.Addr) (int, error) {
	f.transmit(p)
	return len(p), nil
}

// Close implements net.PacketConn. The terminal closes the socket.
func (f *flow) Close() error { return nil }

// LocalAddr implements net.PacketConn.
func (f *flow) LocalAddr() net.Addr { return f.conn.LocalAddr() }

// SetDeadline implements net.PacketConn.
func (f *flow) SetDeadline(t time.Time) error { return f.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (f *flow) SetReadDeadline(t time.Time) error {
	f.read.Set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writing does not block.
func (f *flow) SetWriteDeadline(time.Time) error { return nil }
