package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"flowbridge/twilio"
)

func (s section) twilioHook() *TwilioHook {
	listen, on := s.on()
	if !on {
		return nil
	}
	h := &TwilioHook{
		Listen:          listen,
		Path:            s.hookPath("/redirect_call"),
		URL:             one(s, "url", "", parseBase),
		AuthToken:       s.shared("auth_token", listen, "have calls prepared"),
		Fallback:        s.sub("fallback", "reject", "dial", "redirect", "say").twilioFallback(),
		EncodeSemicolon: s.boolean("encode_semicolon", false),
		AnswerOnBridge:  s.boolean("answer_on_bridge", false),
		Follow:          s.boolean("follow", false),
	}
	switch {
	case h.Follow:
		s.require("url", `the public address that Twilio was given, up to the path, like "https://voice.example.com": with follow, Twilio is told to ask there how calls ended`)
	case h.AuthToken != "":
		s.require("url", `the public address that Twilio was given, up to the path, like "https://voice.example.com": the signature is over it`)
	}
	s.require("targets", "the names of the targets to dial, in order")
	s.notEmpty("targets")
	h.Targets = each(s, "targets", s.l.targetName)
	return h
}

// twilioTakes reports headers of targets that Twilio would not put into its INVITE.
func (s section) twilioTakes(cfg *Config) {
	if cfg.Hooks.Twilio == nil {
		return
	}
	v := s.fields["hooks"]
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if !slices.Contains(cfg.Hooks.Twilio.Targets, t.Name) {
			continue
		}
		if t.Auth != nil {
			s.l.fail(v.node.Line, "hooks.twilio.targets", "target "+t.Name+" has auth, and Twilio is told no password",
				"name a target without, or have the call come to us by SIP")
		}
		for _, h := range t.Headers {
			if err := twilio.CheckHeader(h.Name); err != nil {
				s.l.fail(v.node.Line, "hooks.twilio.targets", fmt.Sprintf("target %s has a header that Twilio does not send: %v", t.Name, err),
					"give the header another name, or name a target of its own here")
			}
		}
	}
}

// targetName takes the name of a target.
func (l *loader) targetName(t string) (string, complaint) {
	if !l.targets[t] {
		return "", refuse("is not the name of a target", "add it to targets, or correct the name")
	}
	return t, complaint{}
}

// parseBase takes the beginning of a public URL.
func parseBase(t string) (string, complaint) {
	if t == "" {
		return "", complaint{}
	}
	u, err := url.Parse(t)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", refuse("is not the beginning of an http(s) URL", `write scheme and host, like "https://voice.example.com"`)
	}
	return strings.TrimRight(t, "/"), complaint{}
}

func (s section) twilioFallback() twilio.Fallback {
	f := twilio.Fallback{Reject: s.text("reject"), Dial: s.text("dial"), Redirect: s.text("redirect"), Say: s.text("say")}
	if _, err := f.TwiML(twilio.DialOptions{}); err != nil {
		s.fail("can't be told Twilio: "+err.Error(), "write one of reject: busy, reject: rejected, dial, redirect and say")
	}
	if f == (twilio.Fallback{}) {
		f.Reject = "busy"
	}
	return f
}
