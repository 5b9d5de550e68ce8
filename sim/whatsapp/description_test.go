package whatsapp

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

const iceAnswer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=group:BUNDLE audio\r\n" +
	"m=audio 24000 UDP/TLS/RTP/SAVPF 111 126\r\na=mid:audio\r\na=rtcp-mux\r\na=ice-ufrag:flow\r\na=ice-pwd:0123456789012345678901\r\n" +
	"a=fingerprint:sha-256 ab:CD\r\na=setup:active\r\na=rtpmap:111 opus/48000/2\r\n"

const sdesAnswer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 24000 RTP/SAVP 111\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk|2^31\r\na=rtpmap:111 opus/48000/2\r\n"

// An answer is taken, or refused with what is wrong with it.
func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		kind, from, to string // replaced in the answer
		says           string
	}{
		"ice":             {MediaICE, "", "", ""},
		"lite too":        {MediaICE, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", "neither side would check"},
		"no ice":          {MediaICE, "a=ice-ufrag:flow\r\n", "", "nothing without ICE"},
		"no mux":          {MediaICE, "a=rtcp-mux\r\n", "", "rtcp-mux"},
		"passive":         {MediaICE, "setup:active", "setup:passive", "a=setup:passive"},
		"sha-1":           {MediaICE, "sha-256", "sha-1", "want sha-256"},
		"other profile":   {MediaICE, "UDP/TLS/RTP/SAVPF", "RTP/SAVP", "want UDP/TLS/RTP/SAVPF"},
		"no Opus":         {MediaICE, "SAVPF 111 126", "SAVPF 0", "without Opus"},
		"declined":        {MediaICE, "audio 24000", "audio 0", "does not take the one stream"},
		"no description":  {MediaICE, iceAnswer, "", "answer:"},
		"sdes":            {MediaSDES, "", "", ""},
		"another suite":   {MediaSDES, "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM", "a=crypto:1 AEAD_AES_128_GCM does not take"},
		"another tag":     {MediaSDES, "crypto:1", "crypto:2", "does not take"},
		"keys":            {MediaSDES, "inline:QUJD", "inline:", "not well-formed"},
		"no address":      {MediaSDES, "c=IN IP4 192.0.2.1\r\n", "", "no c= line"},
		"name as address": {MediaSDES, "c=IN IP4 192.0.2.1", "c=IN IP4 sip.example.com", "c=:"},
	} {
		t.Run(name, func(t *testing.T) {
			text := iceAnswer
			if tt.kind == MediaSDES {
				text = sdesAnswer
			}
			a, err := readAnswer([]byte(strings.Replace(text, tt.from, tt.to, 1)), tt.kind)
			switch {
			case tt.says == "" && err != nil, tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %v; want %q", err, tt.says)
			case tt.says == "" && tt.kind == MediaICE && (a.ufrag != "flow" || a.fingerprint != "sha-256 AB:CD"):
				t.Errorf("got %+v", a)
			case tt.says == "" && tt.kind == MediaSDES && (a.addr != business || string(a.keys[:4]) != "ABCD"):
				t.Errorf("got %+v", a)
			}
		})
	}
}

// The offer is well-formed, and has Meta's attributes.
func TestOffer(t *testing.T) {
	for kind, want := range map[string][]string{
		MediaICE: {
			"a=ice-lite\r\nm=audio @PORT@ UDP/TLS/RTP/SAVPF 111 126\r\nc=IN IP4 127.0.0.1\r\n", "a=setup:actpass\r\n", "a=rtcp-mux\r\n",
			"a=candidate:1775469887 1 udp 2122260223 127.0.0.1 @PORT@ typ host ", "a=fingerprint:sha-256 ", "a=mid:audio\r\n",
		},
		MediaSDES: {"m=audio @PORT@ RTP/SAVP 111 126\r\n", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:", "a=rtcp-mux\r\n"},
	} {
		c, err := newTerminal(netip.MustParseAddr("127.0.0.1"), Call{Media: kind})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text := string(c.Offer())
		_, port, _ := strings.Cut(c.local.String(), ":")
		for _, line := range want {
			if !strings.Contains(text, strings.ReplaceAll(line, "@PORT@", port)) {
				t.Errorf("%s: no %q in\n%s", kind, line, text)
			}
		}
		if err := (&sdp.SessionDescription{}).Unmarshal([]byte(text)); err != nil {
			t.Error(err)
		}
		if strings.Contains(text, "crypto") == strings.Contains(text, "fingerprint") {
			t.Errorf("two kinds of keys, or none:\n%s", text)
		}
	}
}
