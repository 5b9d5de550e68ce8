package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	rtpheader "github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"flowbridge/scripts/internal/sip"
)

// secure is SRTP of the ends (RFC 3711), with keys in the SDP (RFC 4568). The sides have different suites: with one
// suite rtpengine would hand the keys through, and neither open nor seal a packet. An end has the same key in all
// calls.
type secure struct {
	sides  [2]bool
	seal   [2]*srtp.Context                    // what a side sends
	open   [2]map[netip.AddrPort]*srtp.Context // what a side receives, by the sender
	header rtpheader.Header
	plain  [2048]byte
}

// sealed is the most bytes that SRTP adds to a packet.
const sealed = 10

type suite struct {
	name    string
	profile srtp.ProtectionProfile
}

var suites = [2]suite{
	{"AES_CM_128_HMAC_SHA1_80", srtp.ProtectionProfileAes128CmHmacSha1_80},
	{"AES_CM_128_HMAC_SHA1_32", srtp.ProtectionProfileAes128CmHmacSha1_32},
}

// keyLength and saltLength are the lengths of the master key and salt in both suites, in bytes.
const keyLength, saltLength = 16, 14

// newSecure returns the ends of calls whose agents ("one"), or both ends ("both") have SRTP. "" is plain RTP.
func newSecure(mode string) (*secure, error) {
	var sides [2]bool
	switch mode {
	case "":
		return nil, nil
	case "one":
		sides[1] = true
	case "both":
		sides = [2]bool{true, true}
	default:
		return nil, fmt.Errorf("%w: -srtp is one or both", errUsage)
	}
	return (&secure{sides: sides}).begin()
}

// begin prepares for a load.
func (x *secure) begin() (*secure, error) {
	if x == nil {
		return nil, nil
	}
	is := &secure{sides: x.sides}
	for side := range is.sides {
		var err error
		if is.seal[side], err = suites[side].context(ownKey(side)); err != nil {
			return nil, err
		}
		is.open[side] = map[netip.AddrPort]*srtp.Context{}
	}
	return is, nil
}

func (s suite) context(key []byte) (*srtp.Context, error) {
	return srtp.CreateContext(key[:keyLength], key[keyLength:], s.profile)
}

// ownKey returns the master key and salt of a side.
func ownKey(side int) []byte {
	return []byte(strings.Repeat(string(rune('a'+side)), keyLength+saltLength))
}

// directly lets each side open what the other one seals.
func (x *secure) directly(from [2]netip.AddrPort) (err error) {
	for side := range from {
		if x != nil && x.sides[1-side] && err == nil {
			x.open[side][from[1-side]], err = suites[1-side].context(ownKey(1 - side))
		}
	}
	return err
}

// describe adds a side's key to its description. The answer takes the tag from the offer.
func (x *secure) describe(side int, offer, own string) string {
	if x == nil || !x.sides[side] {
		return own
	}
	tag, _ := suites[side].find(offer)
	return strings.Replace(own, "RTP/AVP", "RTP/SAVP", 1) +
		fmt.Sprintf("a=crypto:%s %s inline:%s\r\n", tag, suites[side].name, base64.StdEncoding.EncodeToString(ownKey(side)))
}

// find returns the tag and the key of the suite in a description.
func (s suite) find(description string) (tag, key string) {
	line := regexp.MustCompile(`a=crypto:(\d+) ` + s.name + ` inline:([^|\r\n ]+)`)
	if m := line.FindStringSubmatch(description); m != nil {
		return m[1], m[2]
	}
	return "1", ""
}

var errNoKey = errors.New("there is no key in the description")

// learn takes the key of what a side receives from the description that it got.
func (x *secure) learn(side int, description string) error {
	if x == nil || !x.sides[side] {
		return nil
	}
	_, text := suites[side].find(description)
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != keyLength+saltLength {
		return fmt.Errorf("%w: %s", errNoKey, description)
	}
	x.open[side][sip.Media(description)], err = suites[side].context(key)
	return err
}

// write seals a packet in its own memory.
func (x *secure) write(p []byte, side int) []byte {
	if x == nil || !x.sides[side] {
		return p
	}
	out, err := x.seal[side].EncryptRTP(p[:0], p, &x.header)
	if err != nil {
		return p // a packet that is not sealed counts as lost
	}
	return out
}

// read opens a packet that a side received.
func (x *secure) read(p []byte, from netip.AddrPort, side int) []byte {
	if x == nil || x.open[side][from] == nil {
		return p
	}
	out, err := x.open[side][from].DecryptRTP(x.plain[:0], p, &x.header)
	if err != nil {
		return nil
	}
	return out
}

// setting is what the configuration of Flowbridge says of a side's trunk or target.
func (x *secure) setting(side int) string {
	if x == nil || !x.sides[side] {
		return ""
	}
	return fmt.Sprintf(", media: {srtp: required, srtp_suites: [%s]}", suites[side].name)
}
