//go:build e2e

package e2e

import (
	"testing"
	"time"

	"flowbridge/store/record"
)

const (
	srtpModule  = "module srtp.so"
	srtpAccount = ";mediaenc=srtp-mand" // only SRTP, with keys in SDP
)

// TestSoftphoneSRTP makes a softphone that supports only SRTP talk to an agent without SRTP.
func TestSoftphoneSRTP(t *testing.T) {
	s := newStage(t)
	s.simulate()
	b := s.serve(setup{trunk: fromLoopback + ", media: {srtp: required}"})
	words := softWords(41)
	phone := s.startBaresipWith(srtpAccount, caller, s.freePort(s.carrier), words, srtpModule)
	phone.calls(s.to())
	phone.hearsEcho()
	phone.hangUp()
	r := b.finish(hungUpByCaller)[0]
	if m := r.Media; m.A.SRTP != "AES_CM_128_HMAC_SHA1_80" || m.B.SRTP != "" || m.A.Rx < 200 || m.A.Tx < 200 {
		t.Errorf("media: %+v; want SRTP on side a", m)
	}
	wantSecure(t, r)
	echoes(t, phone, r)
}

// wantSecure checks that no packet was taken for a forgery, and that no packet was lost because it could not be
// protected. One forgery is allowed, because this softphone (baresip 1.0) says goodbye by unencrypted RTCP.
func wantSecure(t *testing.T, r record.Record) {
	t.Helper()
	for side, m := range map[string]record.MediaSide{"a": r.Media.A, "b": r.Media.B} {
		if d := m.DroppedBy; d.Unauthentic > 1 || d.Replayed+d.Unprotected+d.Malformed != 0 {
			t.Errorf("side %s: dropped %+v", side, d)
		}
	}
}

// talksWith makes one softphone call another, and checks that both hear each other.
func (p *baresip) talksWith(callee *baresip, uri string) {
	p.t.Helper()
	p.command("dial", uri)
	p.await("CALL_ESTABLISHED")
	callee.await("CALL_ESTABLISHED")
	p.hears(3 * time.Second)
	callee.hears(3 * time.Second)
	p.hangUp()
	callee.await("CALL_CLOSED")
	callee.quit()
	hearEachOther(p.t, p, callee)
}

// TestSRTPOnBothSides checks that two softphones with different suites hear each other.
func TestSRTPOnBothSides(t *testing.T) {
	t.Parallel()
	for _, suite := range []string{"AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"} {
		t.Run(suite, func(t *testing.T) {
			s := newPreparedStage(t)
			b := s.serve(setup{
				trunk:  fromLoopback + ", media: {srtp: optional}",
				target: fromLoopback + ", media: {srtp: required, srtp_suites: [" + suite + "]}",
			})
			hers, his := softWords(42), softWords(43)
			callee := s.startBaresipWith(srtpAccount, called, s.agent, his, srtpModule)
			phone := s.startBaresipWith(srtpAccount, caller, s.freePort(s.carrier), hers, srtpModule)
			phone.talksWith(callee, s.to())
			r := b.finish(hungUpByCaller)[0]
			relayed(t, r)
			if m := r.Media; m.A.SRTP != "AES_CM_128_HMAC_SHA1_80" || m.B.SRTP != suite || m.A.Rx < 100 || m.A.Tx < 100 || m.B.Rx < 100 || m.B.Tx < 100 {
				t.Errorf("media: %+v; want %s on side b, and at least 100 packets each way", m, suite)
			}
			if suite == "AES_CM_128_HMAC_SHA1_32" { // short RTCP tag, contrary to RFC 4568 §6.2.2
				r.Media.B.DroppedBy.Unauthentic = 0
			}
			wantSecure(t, r)
		})
	}
}

// The softphone's DTLS-SRTP, with RTCP on the RTP port.
const (
	dtlsModule  = "module dtls_srtp.so\nrtcp_mux yes"
	dtlsAccount = ";mediaenc=dtls_srtp"
)

// TestDTLSOnBothSides has two softphones that each agree on their keys with Flowbridge by DTLS: one is called, the
// other one calls.
func TestDTLSOnBothSides(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{
		trunk:  fromLoopback + ", media: {srtp: required, srtp_keying: dtls}",
		target: fromLoopback + ", media: {srtp: required, srtp_keying: dtls}",
	})
	hers, his := softWords(44), softWords(45)
	callee := s.startBaresipWith(dtlsAccount, called, s.agent, his, dtlsModule)
	phone := s.startBaresipWith(dtlsAccount, caller, s.freePort(s.carrier), hers, dtlsModule)
	phone.talksWith(callee, s.to())
	r := b.finish(hungUpByCaller)[0]
	for side, m := range map[string]record.MediaSide{"a": r.Media.A, "b": r.Media.B} { // packets without keys are dropped
		if d := m.DroppedBy; d.Unauthentic > 1 || d.Replayed+d.Malformed != 0 {
			t.Errorf("side %s: dropped %+v", side, d)
		}
	}
	if m := r.Media; m.A.SRTP == "" || m.B.SRTP == "" || m.A.Rx < 100 || m.A.Tx < 100 || m.B.Rx < 100 || m.B.Tx < 100 {
		t.Errorf("media: %+v; want SRTP on both sides, and at least 100 packets each way", m)
	}
}
