package config

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is a token or password. However it is printed or marshalled, it shows as "[redacted]".
type Secret string

var (
	_ fmt.Formatter  = Secret("")
	_ fmt.GoStringer = Secret("")
)

// Reveal returns the secret itself, for code that sends or compares it.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return redacted }

// Format hides the secret from every verb, %x and %q included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText hides the secret from JSON, YAML and logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
