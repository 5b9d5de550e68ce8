package message

import (
	"bytes"
	"strings"
	"testing"

	"flowbridge/media"
	"flowbridge/sim/siptest"
)

const redactable = "INFO sip:a@b SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n" +
	"authorization : Digest username=\"ann\",\r\n\tresponse=\"abcdef\"\r\n" +
	"Proxy-Authorization: secret\r\nX-API-Key: hush\r\nx-Agent-token : hush\r\n hush\r\nX-Keyboard: shown\r\n" +
	"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 2 INFO\r\nMax-Forwards: 70\r\n" +
	"Content-Type: multipart/mixed;boundary=x\r\nContent-Length: 190\r\n\r\n" +
	"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nk=clear:hush\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:hush|2^20;inline:hush UNENCRYPTED_SRTP\r\na=key-mgmt:mikey hush\r\na=ice-pwd:hush\r\na=crypto:2 X hush\r\n" +
	"--x\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal= 5\r\nDuration=160\n#\r\n--x--\r\n"

func TestRedact(t *testing.T) {
	plain, keys := []byte(redactable), []byte(redactable)
	Redact(plain, false)
	Redact(keys, true)
	for name, b := range map[string][]byte{"without keys": plain, "with keys": keys} {
		if len(b) != len(redactable) || strings.Count(string(b), "\n") != strings.Count(redactable, "\n") {
			t.Errorf("%s: the form has changed:\n%s", name, b)
		}
		for _, secret := range []string{"ann", "abcdef", "response", "secret", "hush"} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s: %q is shown:\n%s", name, secret, b)
			}
		}
		if !strings.Contains(string(b), "authorization : Digest *") || !strings.Contains(string(b), "X-Keyboard: shown\r\n") {
			t.Errorf("%s: too much is hidden:\n%s", name, b)
		}
	}
	if !strings.Contains(string(plain), "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***") || !strings.Contains(string(plain), "Signal= 5\r\nDuration=160\n#") {
		t.Errorf("too much is hidden:\n%s", plain)
	}
	if !strings.Contains(string(keys), "Signal= *\r\nDuration=***\n*\r\n") {
		t.Errorf("keys are shown:\n%s", keys)
	}
}

// FuzzRedact checks that redacting keeps the form of any message and removes all keys, and
// that redacting twice changes nothing more.
func FuzzRedact(f *testing.F) {
	f.Add([]byte(redactable), true)
	f.Add([]byte("SIP/2.0 200 OK\r\nCSeq: 1 INFO\r\nAuthorization:\r\n\r\n7"), true)
	f.Add([]byte("Authorization"), false)
	f.Fuzz(func(t *testing.T, message []byte, keys bool) {
		b := bytes.Clone(message)
		Redact(b, keys)
		if len(b) != len(message) || bytes.Count(b, []byte("\n")) != bytes.Count(message, []byte("\n")) {
			t.Errorf("the form has changed: %q", b)
		}
		for i := range b {
			if b[i] != message[i] && b[i] != redacted {
				t.Errorf("byte %d is %q", i, b[i])
			}
		}
		again := bytes.Clone(b)
		Redact(again, keys)
		if !bytes.Equal(again, b) {
			t.Errorf("a second time changes %q to %q", b, again)
		}
	})
}

// TestHiddenKeysKeepTheirLengths: a key is replaced by as many asterisks as it has
// characters, wherever it is.
func TestHiddenKeysKeepTheirLengths(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "",
		"no key":                            "no key",
		"inline:":                           "inline:",
		"inline:abc":                        "inline:***",
		"inline:ab+/=|2^20;inline:c-_\r\nx": "inline:*****|2^20;inline:***\r\nx",
		"inline:inline:ab":                  "inline:******:ab",
		"a=crypto:1 X Inline:abc":           "a=crypto:1 X Inline:***",
	} {
		got := []byte(in)
		if hideInline(got); string(got) != want {
			t.Errorf("%q becomes %q; want %q", in, got, want)
		}
	}
}

// FuzzHideInline checks that hiding keys keeps the length of a message, and leaves no key.
func FuzzHideInline(f *testing.F) {
	f.Add([]byte(redactable))
	f.Add([]byte("inline:inline:inline"))
	f.Fuzz(func(t *testing.T, message []byte) {
		b := bytes.Clone(message)
		hideInline(b)
		if len(b) != len(message) {
			t.Errorf("%q becomes %q", message, b)
		}
		for from := afterKeyMark(b); from >= 0; from = afterKeyMark(b) {
			if b = b[from:]; len(b) > 0 && isKeyText(rune(b[0])) {
				t.Errorf("%q is shown", b)
			}
		}
	})
}

func TestMaskKeys(t *testing.T) {
	k := siptest.SRTPKey(media.SuiteAEADAES256GCM, 200)
	for in, want := range map[string]string{
		"":         "",
		"no key":   "no key",
		"inline:":  "inline:***",
		"x inline": "x inline",
		"a:b:Inline:" + k + " c:INLINE:" + k + "|1 nline:x inlıne:x":                                                     "a:b:Inline:*** c:INLINE:***|1 nline:x inlıne:x",
		"a=crypto:1 AEAD_AES_256_GCM inline:" + k + "|2^20|1:4\r\na=crypto:2 X inline:" + k + ";inline:" + k + "\r\na=x": "a=crypto:1 AEAD_AES_256_GCM inline:***|2^20|1:4\r\na=crypto:2 X inline:***;inline:***\r\na=x",
	} {
		if got := string(MaskKeys([]byte(in))); got != want {
			t.Errorf("%q becomes %q; want %q", in, got, want)
		}
	}
}
