package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
)

// TLSReason says in words why a TLS handshake with a target failed, with the target as subject: "it speaks only
// TLS 1.1". err is the error of the handshake, or wraps it. For nil it returns "".
func TLSReason(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		noTLS   tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &unknown):
		return "its certificate is signed by an authority that is not trusted"
	case errors.As(err, &name):
		return "its certificate is for another name: " + name.Error()
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate is not valid now: " + invalid.Detail
	case errors.As(err, &noTLS):
		return "it does not speak TLS at this port"
	case errors.As(err, &alert):
		return "it refused the handshake: " + alert.Error()
	}
	text := err.Error()
	if _, version, ok := strings.Cut(text, "server selected unsupported protocol version "); ok {
		if older, known := olderTLS[version]; known {
			return "it speaks only " + older
		}
		return "it speaks an unknown version of TLS: " + version
	}
	switch { // crypto/tls gives the alerts of a peer no exported type
	case strings.Contains(text, "protocol version not supported"):
		return "it speaks neither TLS 1.2 nor TLS 1.3"
	case strings.Contains(text, "remote error: tls: bad certificate"),
		strings.Contains(text, "remote error: tls: certificate required"):
		return "it wants a certificate of ours that it trusts: tls.cert and tls.key of the target"
	}
	if _, inner, ok := strings.Cut(text, errTLS.Error()+": "); ok {
		text = inner
	}
	return text
}

// olderTLS has the versions before TLS 1.2 as crypto/tls prints them.
var olderTLS = map[string]string{"300": "SSL 3.0", "301": "TLS 1.0", "302": "TLS 1.1"}
