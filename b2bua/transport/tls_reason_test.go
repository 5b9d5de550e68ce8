package transport

import (
	"errors"
	"fmt"
	"testing"
)

// crypto/tls has no exported type for these.
func TestTLSReason(t *testing.T) {
	for text, want := range map[string]string{
		"tls: server selected unsupported protocol version 302":  "it speaks only TLS 1.1",
		"tls: server selected unsupported protocol version 301":  "it speaks only TLS 1.0",
		"tls: server selected unsupported protocol version 7f1c": "it speaks an unknown version of TLS: 7f1c",
		"remote error: tls: protocol version not supported":      "it speaks neither TLS 1.2 nor TLS 1.3",
		"remote error: tls: certificate required":                "it wants a certificate of ours that it trusts: tls.cert and tls.key of the target",
		"EOF": "EOF",
	} {
		if got := TLSReason(fmt.Errorf("connect to tls://192.0.2.1:5061: %w: %w", errTLS, errors.New(text))); got != want {
			t.Errorf("%s: %q; want %q", text, got, want)
		}
	}
	if got := TLSReason(nil); got != "" {
		t.Errorf("no error: %q", got)
	}
}
