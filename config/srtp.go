package config

import (
	"slices"
	"strings"
)

// SRTPMode says whether a side's RTP is encrypted, with keys in SDP (RFC 4568).
type SRTPMode string

// The values of media.srtp of a trunk or target.
const (
	// SRTPOff neither offers nor takes SRTP.
	SRTPOff SRTPMode = "off"
	// SRTPOptional takes what the side offers, and offers SRTP first and RTP where that is refused.
	SRTPOptional SRTPMode = "optional"
	// SRTPRequired offers and takes nothing else.
	SRTPRequired SRTPMode = "required"
)

// SRTPSuites are the names of all crypto suites that there are, the best one first (RFC 4568, RFC 6188, RFC 7714).
func SRTPSuites() []string {
	return append(DefaultSRTPSuites(), "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_32")
}

// DefaultSRTPSuites are those that are offered where none are configured: few, as each is a line of 90 bytes in an INVITE.
func DefaultSRTPSuites() []string {
	return []string{"AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"}
}

// srtp reads the keys srtp and srtp_suites.
func (s section) srtp() (SRTPMode, []string) {
	mode := SRTPMode(s.choice("srtp", string(SRTPOff), string(SRTPOff), string(SRTPOptional), string(SRTPRequired)))
	if !s.has("srtp_suites") {
		return mode, nil
	}
	suites := each(s, "srtp_suites", parseSuite)
	if mode == SRTPOff && len(suites) > 0 {
		s.fields["srtp_suites"].fail("has no effect without srtp", "write srtp: optional or srtp: required, or remove it")
	}
	return mode, suites
}

func parseSuite(t string) (string, complaint) {
	if !slices.Contains(SRTPSuites(), t) {
		return "", refuse("is not an SRTP crypto suite that is known here", "write one of "+strings.Join(SRTPSuites(), ", "))
	}
	return t, complaint{}
}
