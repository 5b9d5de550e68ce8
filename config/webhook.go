package config

import (
	"net/url"
	"time"
)

// Webhook is one of `webhooks`.
type Webhook struct {
	// The name in the log and in metrics. Records that wait for the receiver are kept under it.
	Name string `key:"name" is:"webhook-name" required:"a name for the log, like crm"`
	// The address that records are posted to. Redirects are not followed. Plain http is for loopback, private addresses and
	// names without a dot, unless insecure says otherwise.
	URL string `key:"url" is:"webhook-url" required:"the address that records are posted to, like https://crm.example.com/calls"`
	// The secret that requests are signed with. Required.
	Secret Secret `key:"secret"`
	// What is told: call.ended when a call is over, recording.finished when its recordings are complete, call.reported when
	// the platform's report has come.
	Events []string `key:"events" is:"webhook-event" default:"call.ended, recording.finished, call.reported" filled:""`
	// The trunks whose calls are told. Without it: all.
	Trunks []string `key:"trunks" is:"trunk" filled:""`
	// The targets whose calls are told. Without it: all.
	Targets []string `key:"targets" is:"target" filled:""`
	// How long a request may take, from 1s to 1m.
	Timeout time.Duration `key:"timeout" is:"webhook-timeout" default:"10s"`
	// How long a record is tried, at most store.keep. Then it is given up, with a line in the log.
	GiveUpAfter time.Duration `key:"give_up_after" default:"3d"`
	// How many requests are under way at a time.
	Concurrent int `key:"concurrent" min:"1" max:"32" default:"4"`
	// Allows plain http to any address: records travel where others can read them.
	Insecure bool `key:"insecure" default:"false"`
}

func (w *Webhook) check(s section) {
	u, err := url.Parse(w.URL)
	if at, ok := s.fields["url"]; ok && err == nil && u.Scheme == "http" && !w.Insecure && !nearby(u.Hostname()) {
		at.fail("would send records unencrypted", "write https; plain http to other networks needs insecure: true")
	}
	if at, ok := s.fields["give_up_after"]; ok && w.GiveUpAfter > s.l.cfg.Store.Keep {
		at.fail("is longer than store.keep", "write a shorter time, or keep records longer")
	}
}

// parseWebhookURL takes a whole URL. What is in its path or query may be secret.
func parseWebhookURL(t string) (string, complaint) {
	const remedy = `write it like "https://crm.example.com/calls"`
	u, err := url.Parse(t)
	switch {
	case err != nil, u.Hostname() == "", u.Scheme != "https" && u.Scheme != "http":
		return "", refuse("is not an https URL", remedy)
	case u.User != nil, u.Fragment != "":
		return "", complaint{problem: "holds a password or a fragment, which are not sent", remedy: remedy + "; requests are signed with the secret", hide: true}
	}
	return t, complaint{}
}

func parseWebhookTimeout(t string) (time.Duration, complaint) {
	d, c := parseDuration(t)
	if c.none() && (d < time.Second || d > time.Minute) {
		return 0, refuse("is shorter than 1s or longer than 1m", "write a duration like 10s")
	}
	return d, c
}
