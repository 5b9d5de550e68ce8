package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"flowbridge/config/twiml"
)

// TwilioHook is the section `hooks.twilio`.
type TwilioHook struct {
	// The public URL given to Twilio, up to the path. Required with auth_token and follow.
	URL string `key:"url" is:"base-url"`
	// The account's auth token, for X-Twilio-Signature. Required unless listen is a loopback address.
	AuthToken Secret `key:"auth_token_file"`
	// The targets to dial, in this order: the first whose API returns an id is dialled. Required without rules.
	Targets []string `key:"targets" is:"target" filled:""`
	// Other targets for some numbers. The first rule that matches is used, or targets if none does.
	Rules []TwilioRule `key:"rules" filled:""`
	// The TwiML if no target can be dialled, like "<Response><Say>Please call again later.</Say></Response>". Empty:
	// rejected as busy.
	Fallback string `key:"fallback" is:"twiml"`
	// Keeps the caller's leg unanswered until the target answers.
	AnswerOnBridge bool `key:"answer_on_bridge" default:"false" knob:""`
	// Makes Twilio report how a call ended: the call gets a record, and another target if one does not take it. It needs
	// url.
	Follow bool `key:"follow" default:"false"`

	open bool // requests are accepted without a signature
}

func (h *TwilioHook) check(s section) {
	if len(h.Rules) == 0 {
		s.require("targets", "the names of the targets to dial, in order, or rules")
	}
	s.twilioTakes(h.Targets)
	h.open = !s.has("auth_token_file")
	switch {
	case h.Follow:
		s.require("url", `the public address that Twilio was given, up to the path, like "https://voice.example.com": with follow, Twilio is told to ask there how calls ended`)
	case h.AuthToken != "":
		s.require("url", `the public address that Twilio was given, up to the path, like "https://voice.example.com": the signature is over it`)
	}
}

// TwilioRule is one entry of hooks.twilio.rules.
type TwilioRule struct {
	// A regular expression over the called number, as in routes.
	To *Numbers `key:"to"`
	// The same for the calling number.
	From *Numbers `key:"from"`
	// The targets to dial, in this order.
	Targets []string `key:"targets" is:"target" required:"the names of the targets to dial, in order" filled:""`
}

func (r *TwilioRule) check(s section) { s.twilioTakes(r.Targets) }

// FollowPath returns the path to which Twilio reports how a call ended.
func (h *TwilioHook) FollowPath() string { return TwilioPath + "/ended" }

// ReferPath returns the path where Twilio asks where to send a target's REFER.
func (h *TwilioHook) ReferPath() string { return TwilioPath + "/transfer" }

// ReferURL returns the URL of ReferPath for Twilio. If url is not set, it is only the path.
func (h *TwilioHook) ReferURL() string {
	return strings.TrimSuffix(h.URL, TwilioPath) + h.ReferPath()
}

// FollowURL returns the URL of FollowPath for Twilio. The URL may already end in the path of the Voice
// URL.
func (h *TwilioHook) FollowURL() string {
	return strings.TrimSuffix(h.URL, TwilioPath) + h.FollowPath()
}

// parseTwiML parses a document to be sent to Twilio.
func parseTwiML(t string) (string, complaint) {
	if _, err := twiml.Document(t); err != nil {
		return "", refuse("cannot be sent to Twilio: "+err.Error(), `write TwiML like "<Response><Say>Please call again.</Say></Response>"`)
	}
	return parseText(t)
}

// twilioTakes reports targets that Twilio can't dial: targets with credentials, or with headers that Twilio does not
// put into its INVITE.
func (s section) twilioTakes(names []string) {
	for i := range s.l.cfg.Targets {
		t := &s.l.cfg.Targets[i]
		if !slices.Contains(names, t.Name) {
			continue
		}
		if t.Auth != nil {
			s.fields["targets"].fail("target "+t.Name+" has auth, and Twilio is told no password",
				"name a target without, or let the trunk send the call by SIP")
		}
		for _, h := range t.Headers {
			if err := twiml.CheckHeader(h.Name); err != nil {
				s.fields["targets"].fail(fmt.Sprintf("target %s has a header that Twilio does not send: %v", t.Name, err),
					"give the header another name, or name a target of its own here")
			}
		}
	}
}

// parseBase parses the start of a public URL.
func parseBase(t string) (string, complaint) {
	u, err := url.Parse(t)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		return "", refuse("is not the beginning of an http(s) URL", `write scheme and host, like "https://voice.example.com"`)
	}
	return strings.TrimRight(t, "/"), complaint{}
}
