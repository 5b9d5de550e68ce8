package config

import (
	"net/url"
)

// webhook is one of `webhooks`.
type webhook struct {
	// The name in the log and in metrics, and of waiting records.
	Name string `key:"name" is:"webhook-name" required:"a name for the log, like crm"`
	// The address that records are posted to. Plain http is for loopback, private addresses and names without a dot.
	URL string `key:"url" is:"webhook-url" required:"the address that records are posted to, like https://crm.example.com/calls"`
	// The secret that requests are signed with.
	Secret Secret `key:"secret_file" required:"the file with the secret"`
}

func (w *webhook) check(s section) {
	u, err := url.Parse(w.URL)
	if at, ok := s.fields["url"]; ok && err == nil && u.Scheme == "http" && !nearby(u.Hostname()) {
		at.fail("would send records unencrypted", "write https, or send records through a proxy nearby")
	}
}

// parseWebhookURL parses a whole URL. Its path or query may contain a secret.
func parseWebhookURL(t string) (string, complaint) {
	const remedy = `write it like "https://crm.example.com/calls"`
	u, err := url.Parse(t)
	switch {
	case err != nil, u.Hostname() == "", u.Scheme != "https" && u.Scheme != "http":
		return "", refuse("is not an https URL", remedy)
	case u.User != nil, u.Fragment != "":
		return "", complaint{
			problem: "holds a password or a fragment, which are not sent",
			remedy:  remedy + "; requests are signed with the secret", hide: true,
		}
	}
	return t, complaint{}
}
