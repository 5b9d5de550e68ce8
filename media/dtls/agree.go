package dtls

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"

	"flowbridge/media"
)

const (
	// Patience is how long a handshake may take.
	Patience = 10 * time.Second

	// repeatAfter is how long to wait for the first answer to a flight; the time doubles with each repetition. RFC 6347
	// §4.2.4.1 recommends a second; RFC 9147 §5.8.2 allows less for media that a user waits for.
	repeatAfter = 400 * time.Millisecond

	// lingers is how long a DTLS server keeps answering a retransmitted final flight. A client retransmits its flight
	// until it has received the server's (RFC 6347 §4.2.4).
	lingers = 10 * time.Second

	// attempts limits how often a handshake is restarted because of unreadable datagrams.
	attempts = 20

	// unanswered is how long a server waits before it restarts, if it has not answered any message. The library keeps the
	// first ClientHello, readable or not, and takes the peer's repeated one for the same.
	unanswered = 700 * time.Millisecond

	// unreadable limits how often a server that lingers tries to read.
	unreadable = 100
)

// The errors of a handshake, in addition to the library's. They may appear in logs and records.
var (
	errFingerprint = errors.New("the certificate is not the one of a=fingerprint")
	errTimeout     = fmt.Errorf("no DTLS handshake within %v", Patience)
	errProfile     = errors.New("no SRTP profile in common")
)

// profiles are the suites that DTLS can negotiate (RFC 5764 §4.1.2, RFC 7714 §14.2).
var profiles = [...]struct {
	suite   media.Suite
	profile dtls.SRTPProtectionProfile
}{
	{media.SuiteAEADAES256GCM, dtls.SRTP_AEAD_AES_256_GCM},
	{media.SuiteAEADAES128GCM, dtls.SRTP_AEAD_AES_128_GCM},
	{media.SuiteAESCM128SHA80, dtls.SRTP_AES128_CM_HMAC_SHA1_80},
	{media.SuiteAESCM128SHA32, dtls.SRTP_AES128_CM_HMAC_SHA1_32},
}

// Peer describes the other end of the handshake, according to the SDP of both ends.
type Peer struct {
	Fingerprints []string // values of a=fingerprint (RFC 8122); at least one must match
	Client       bool     // we start the handshake: the peer is passive (RFC 5763 §5)
	Suites       []media.Suite
}

// Agree runs a handshake, and calls agreed with the keys. A server then continues for a while, so that the peer gets
// the keys as well. An error means that agreed was not called: no messages came, the certificate did not match, the
// peer refused, or d ended.
func (i *Identity) Agree(ctx context.Context, d *media.Datagrams, with Peer, agreed func(media.Crypto)) error {
	w := newWire(d)
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errTimeout)
	defer cancel()
	for n := 1; ; n++ {
		conn, keys, err := i.handshake(ctx, w, with)
		if err == nil {
			agreed(keys)
			w.linger(conn, with.Client)
			return nil
		}
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case n < attempts && !final(err):
			continue
		}
		return fmt.Errorf("dtls: %w", err)
	}
}

// final reports whether a restart would be useless after this error. Garbage from a stranger must not end a handshake.
func final(err error) bool {
	var alert interface{ IsFatalOrCloseNotify() bool } // implemented by the library's alerts
	return errors.Is(err, errFingerprint) || errors.Is(err, errProfile) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &alert)
}

// handshake runs one handshake.
func (i *Identity) handshake(ctx context.Context, w *wire, with Peer) (*dtls.Conn, media.Crypto, error) {
	wrong := false
	options := []dtls.Option{
		dtls.WithCertificates(i.certificate),
		dtls.WithInsecureSkipVerify(true), // there is no certificate authority: the fingerprint decides
		dtls.WithVerifyPeerCertificate(func(certificates [][]byte, _ [][]*x509.Certificate) error {
			if len(certificates) > 0 && matches(certificates[0], with.Fingerprints) {
				return nil
			}
			wrong = true
			return errFingerprint
		}),
		dtls.WithSRTPProtectionProfiles(profilesOf(with.Suites)...),
		// RFC 7627: without it, the keys are not bound to this handshake.
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithFlightInterval(repeatAfter),
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}),
	}
	conn, err := open(w, with.Client, options)
	if err != nil {
		return nil, media.Crypto{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if w.spoken.Store(saidNothing); !with.Client {
		defer time.AfterFunc(unanswered, func() {
			if w.spoken.CompareAndSwap(saidNothing, givenUp) {
				cancel()
			}
		}).Stop()
	}
	if err = conn.HandshakeContext(ctx); err == nil {
		var keys media.Crypto
		if keys, err = keysOf(conn, with); err == nil {
			return conn, keys, nil
		}
	}
	w.close(conn)
	if wrong {
		err = errFingerprint
	}
	return nil, media.Crypto{}, err
}

func open(w *wire, client bool, options []dtls.Option) (*dtls.Conn, error) {
	if client {
		all := make([]dtls.ClientOption, 0, len(options))
		for _, o := range options {
			all = append(all, o)
		}
		return dtls.ClientWithOptions(w, address{}, all...)
	}
	all := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
	for _, o := range options {
		all = append(all, o)
	}
	return dtls.ServerWithOptions(w, address{}, all...)
}

func profilesOf(suites []media.Suite) (all []dtls.SRTPProtectionProfile) {
	for _, s := range suites {
		for _, p := range profiles {
			if p.suite == s {
				all = append(all, p.profile)
			}
		}
	}
	return all
}

// Suites returns the given suites that DTLS can negotiate, in the same order.
func Suites(some []media.Suite) []media.Suite {
	return slices.DeleteFunc(slices.Clone(some),
		func(s media.Suite) bool { return len(profilesOf([]media.Suite{s})) == 0 })
}

// keysOf exports the keys of a handshake (RFC 5764 §4.2): the client's key and the server's key, then their salts.
func keysOf(conn *dtls.Conn, with Peer) (media.Crypto, error) {
	state, ok := conn.ConnectionState()
	if !ok || len(state.PeerCertificates) == 0 || !matches(state.PeerCertificates[0], with.Fingerprints) {
		return media.Crypto{}, errFingerprint
	}
	profile, _ := conn.SelectedSRTPProtectionProfile()
	for _, p := range profiles {
		if p.profile != profile || !slices.Contains(with.Suites, p.suite) {
			continue
		}
		key, salt := p.suite.Lengths()
		text, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(key+salt))
		if err != nil {
			return media.Crypto{}, err
		}
		of := func(n int) *media.Keys {
			return &media.Keys{Suite: p.suite, Key: slices.Concat(text[n*key:(n+1)*key], text[2*key+n*salt:2*key+(n+1)*salt])}
		}
		client, server := of(0), of(1)
		if with.Client {
			return media.Crypto{Receive: server, Send: client}, nil
		}
		return media.Crypto{Receive: client, Send: server}, nil
	}
	return media.Crypto{}, errProfile
}

// linger answers the peer's repeated messages if necessary, and ends our part of the association. It does not tell the
// peer, because many peers take that for the end of the call.
func (w *wire) linger(conn *dtls.Conn, client bool) {
	defer w.close(conn)
	if client {
		return
	}
	if err := conn.SetReadDeadline(time.Now().Add(lingers)); err != nil {
		return
	}
	var buf [2048]byte // application data is ignored
	for range unreadable {
		_, err := conn.Read(buf[:])
		var timeout net.Error
		if errors.Is(err, io.EOF) || errors.As(err, &timeout) && timeout.Timeout() {
			return
		}
	}
}

// close ends the library's part without sending anything more.
func (w *wire) close(conn *dtls.Conn) {
	w.silent.Store(true)
	_ = conn.Close()
	w.silent.Store(false)
}
