package config

import (
	"io"
	"strings"
	"time"

	"filippo.io/age"
)

// Recording is the section `recording`.
type Recording struct {
	// The directory of the recordings. Only one process at a time may use it.
	Path string `key:"path" is:"directory" required:"the directory that recordings go to, like /var/lib/flowbridge/recordings"`
	// How long recordings are kept.
	Keep time.Duration `key:"keep" default:"30d"`
	// The files of each recording: wav (PCMU, PCMA; caller left, called right), pcapng (SIP, RTP, RTCP), or both.
	Formats []string `key:"format" is:"format" default:"wav" filled:""`
	// How often both sides hear a beep while they are recorded, from 1s to 1h. The first beep is at the start. 0: never.
	Beep time.Duration `key:"beep" is:"beep" default:"0"`
	// Public keys of age. Recordings are encrypted to them, and the server can't read them. Without a
	// key, recordings are not encrypted.
	Recipients []age.Recipient `key:"recipients" is:"recipient"`
}

func (r *Recording) wanted(s section) bool { return !s.absent }

func (r *Recording) check(s section) {
	if len(r.Recipients) == 0 {
		return
	}
	if _, err := age.Encrypt(io.Discard, r.Recipients...); err != nil {
		s.fields["recipients"].fail("cannot be used together: "+err.Error(),
			"write either keys that begin with age1pq1, or other ones")
	}
}

// parseRecipient parses a public key of age.
func parseRecipient(t string) (age.Recipient, complaint) {
	if strings.HasPrefix(strings.ToUpper(t), "AGE-SECRET-KEY-") {
		c := refuse("is a secret key",
			"write its public key, which age-keygen -y prints, and keep the secret one away from this server")
		c.hide = true
		return nil, c
	}
	all, err := age.ParseRecipients(strings.NewReader(t))
	if err != nil || len(all) != 1 {
		return nil, refuse("is no public key of age", "write the line that age-keygen prints, like age1…")
	}
	return all[0], complaint{}
}
