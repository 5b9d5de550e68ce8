package sim

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/pion/srtp/v3"
)

// These are the values of AgentOptions.SRTP.
const (
	srtpOff      = ""
	SRTPOptional = "optional"
	SRTPRequired = "required"
)

// The only crypto suite (RFC 4568 section 6.2.1), and the lengths of its keys in bytes.
const (
	srtpSuite  = "AES_CM_128_HMAC_SHA1_80"
	masterKey  = 16
	masterSalt = 14
)

var (
	errNoKeys = errors.New("sdp: no a=crypto with " + srtpSuite)
	errPlain  = errors.New("sdp: RTP is not encrypted")
	errSecure = errors.New("sdp: no audio over RTP/AVP")
)

// offeredKeys returns tag and keys of an offer's crypto attribute: "1 SUITE inline:KEYS|2^31".
func offeredKeys(crypto []string) (tag string, keys []byte, err error) {
	for _, line := range crypto {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[1] != srtpSuite {
			continue
		}
		inline, _, _ := strings.Cut(strings.TrimPrefix(fields[2], "inline:"), "|")
		keys, err := base64.StdEncoding.DecodeString(inline)
		if err != nil || len(keys) != masterKey+masterSalt {
			return "", nil, fmt.Errorf("%w: the keys are not well-formed", errNoKeys)
		}
		return fields[0], keys, nil
	}
	return "", nil, errNoKeys
}

// cryptoContext returns the context that encrypts or decrypts one direction.
func cryptoContext(keys []byte) (*srtp.Context, error) {
	return srtp.CreateContext(keys[:masterKey], keys[masterKey:], srtp.ProtectionProfileAes128CmHmacSha1_80)
}

// allows returns an error if the offer's encryption is not the wanted one.
func (m *remoteMedia) allows(wanted string) error {
	switch {
	case !m.secure && wanted == SRTPRequired:
		return errPlain
	case m.secure && wanted == srtpOff:
		return errSecure
	}
	return nil
}

// encrypt returns the answer to an SRTP offer, with new keys for the stream.
func (s *stream) encrypt(answer []byte, m *remoteMedia) ([]byte, error) {
	tag, theirs, err := offeredKeys(m.crypto)
	if err != nil {
		return nil, err
	}
	ours := make([]byte, masterKey+masterSalt)
	_, _ = rand.Read(ours) // never fails
	lock, err := cryptoContext(ours)
	if err != nil {
		return nil, err
	}
	unlock, err := cryptoContext(theirs)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.lock, s.unlock = lock, unlock
	s.mu.Unlock()
	answer = bytes.Replace(answer, []byte(" RTP/AVP"), []byte(" RTP/SAVP"), 1)
	line := fmt.Sprintf("a=crypto:%s %s inline:%s\r\na=ptime", tag, srtpSuite, base64.StdEncoding.EncodeToString(ours))
	return bytes.Replace(answer, []byte("a=ptime"), []byte(line), 1), nil
}
