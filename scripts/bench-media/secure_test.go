package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"flowbridge/scripts/internal/rtp"
	"flowbridge/scripts/internal/sip"
)

// The ends read what the relay seals under the key that it described, and seal under their own.
func TestSecure(t *testing.T) {
	x, err := newSecure("both")
	if err != nil {
		t.Fatal(err)
	}
	relay := netip.MustParseAddrPort("192.0.2.1:4000")
	for side, own := range suites {
		theirs := bytes.Repeat([]byte{byte(40 + side)}, keyLength+saltLength)
		said := sip.Description(relay) + "a=crypto:3 " + suites[1-side].name + " inline:xxxx\r\n" +
			"a=crypto:7 " + own.name + " inline:" + base64.StdEncoding.EncodeToString(theirs) + "|2^31\r\n"
		if err := x.learn(side, said); err != nil {
			t.Fatal(err)
		}
		if got := x.describe(side, said, sip.Description(relay)); !strings.Contains(got, "RTP/SAVP 0") || !strings.Contains(got, "a=crypto:7 "+own.name) {
			t.Errorf("side %d says %s", side, got)
		}
		var p [rtp.Size + sealed]byte
		rtp.Write(p[:], 1, side, 2, 3)
		plain := bytes.Clone(p[:rtp.Size])
		with := func(key []byte, do func(p []byte) []byte) []byte {
			context, err := own.context(key)
			if err != nil {
				t.Fatal(err)
			}
			out, err := context.EncryptRTP(nil, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			return do(out)
		}
		if got := with(theirs, func(p []byte) []byte { return bytes.Clone(x.read(p, relay, side)) }); !bytes.Equal(got, plain) {
			t.Errorf("side %d reads %x", side, got)
		}
		if want, got := with(ownKey(side), bytes.Clone), x.write(p[:rtp.Size], side); !bytes.Equal(got, want) {
			t.Errorf("side %d writes %x; want %x", side, got, want)
		}
	}
	if err := x.learn(0, sip.Description(relay)); !errors.Is(err, errNoKey) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := newSecure("none"); !errors.Is(err, errUsage) {
		t.Errorf("another mode: %v", err)
	}
}
