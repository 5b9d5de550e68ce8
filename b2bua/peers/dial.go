package peers

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/config/template"
)

// Calls go both ways. A target that places a call, as platforms do for a warm transfer, is recognised, challenged and
// admitted like a trunk. A trunk that is called is dialled like a target. So a Trunk has a Caller and a Target has a
// Dial, and each of these can be made from a trunk or a target of the configuration.

// Peer is the configuration for a leg, whichever side calls.
type Peer struct {
	Name           string
	TLS            config.TargetTLS
	PassHeaders    []config.Pass
	Media          config.PeerMedia
	MediaSources   []netip.Prefix
	rel100         config.Rel100Mode
	sessionExpires time.Duration
	NAT            config.NATMode
	MaxCalls       int
	MaxCPS         int
}

// Dial is the configuration of calls to a target or trunk.
type Dial struct {
	Peer
	Policy
	Kind                 string
	URI                  *template.Template
	Transport            string
	Auth                 *config.Auth
	Headers              []config.Header
	Budget               config.Budget
	Overflow             string
	Prepare              *config.Prepare
	FirstResponseTimeout time.Duration
	RingTimeout          time.Duration
	Registered           bool   // calls go to the Contacts registered here for the trunk
	Proxy                string // host and port to send calls to, instead of the URI's; empty if none
	Circuit              config.Circuit
	Ping                 config.Ping
}

// PingAt returns the destination of OPTIONS to the target. ok is false if the target gets no OPTIONS, and only calls
// find out whether it answers. That is so for a target that registers here, because its registration shows that it
// lives, and for one with another host in each call, because there is no single destination.
func (d *Dial) PingAt() (uri sip.Uri, ok bool) {
	if d.Ping.Interval == 0 || d.Registered {
		return uri, false
	}
	host, constant := d.URI.ConstantHost()
	if !constant {
		return uri, false
	}
	uri = message.ParseURI("sip:" + host)
	return uri, uri.Host != ""
}

// Policy is a platform's configuration for its calls, whichever side it is on.
type Policy struct {
	Codecs          []string
	Reinvite        config.ReinviteMode
	DTMF            config.DTMFMode
	Transfer        config.TransferMode
	TransferNumbers []*config.Numbers
	TransferHosts   []string
}

func peerOfTrunk(t *config.Trunk) Peer {
	p := peerOfTarget(t.Callee())
	p.NAT = t.NAT
	return p
}

func peerOfTarget(t *config.Target) Peer {
	return Peer{
		Name: t.Name, TLS: t.TLS, PassHeaders: t.PassHeaders, Media: t.Media, MediaSources: t.MediaSources,
		rel100: t.Rel100, sessionExpires: t.SessionExpires, NAT: config.NATOff, MaxCalls: t.MaxCalls, MaxCPS: t.MaxCPS,
	}
}

// DialOf returns the configuration of calls to a target.
func DialOf(t *config.Target) *Dial {
	return &Dial{
		Peer: peerOfTarget(t),
		Policy: Policy{
			Codecs: t.Codecs, Reinvite: t.Reinvite, DTMF: t.DTMF,
			Transfer: t.Transfer, TransferNumbers: t.TransferNumbers, TransferHosts: t.TransferHosts,
		},
		Kind: t.Kind, URI: t.URI, Transport: t.Transport, Auth: t.Auth,
		Headers: t.Headers, Budget: t.Budget, Overflow: t.Overflow, Prepare: t.Prepare,
		FirstResponseTimeout: t.FirstResponseTimeout, RingTimeout: t.RingTimeout,
		Circuit: t.Circuit, Ping: t.Ping,
	}
}

// dialOfTrunk returns the configuration of calls to a trunk.
func dialOfTrunk(t *config.Trunk) *Dial {
	d := DialOf(t.Callee())
	d.NAT, d.Registered = t.NAT, t.Registrar != nil
	if t.Register != nil {
		d.Proxy = t.Register.OutboundProxy
	}
	return d
}

// NewReferred returns a target for a URI that the agent of another target has named. It has that target's codecs and
// time limits, and its calls count against no limit.
func NewReferred(name string, uri *template.Template, transport string, agent *Dial) *Target {
	referred := config.Referred(name, uri, transport, agent.Codecs, agent.FirstResponseTimeout, agent.RingTimeout)
	return &Target{usage: &usage{}, Dial: DialOf(referred)}
}

var errNoName = errors.New("a user part that is neither a number nor a name")

// ReferredURI returns the URI of a host that an agent may name, without parameters that redirect the call (maddr), or
// else the status of a refusal.
func ReferredURI(to message.Referral) (uri sip.Uri, code int, err error) {
	if to.Scheme == "sips" {
		return uri, 416, message.ErrReferScheme
	}
	uri = message.ParseURI(to.URI)
	if uri.User != "" && !callableUser(uri.User) {
		return uri, 403, errNoName
	}
	uri.UriParams = slices.DeleteFunc(uri.UriParams, func(p sip.HeaderKV) bool {
		return !slices.Contains([]string{"user", "transport", "lr"}, strings.ToLower(p.K))
	})
	return uri, 0, nil
}

// callableUser reports whether an agent may name a user part at a host: a number, or a
// name of letters, digits and - . _ ~. If it begins with +, it must be a number.
func callableUser(user string) bool {
	return config.IsDialString(user) || strings.Trim(strings.ToLower(user),
		"abcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
}

// Preparer asks a platform for a call's id before the INVITE.
type Preparer interface {
	// Prepare observes the target's time limit. Its error is a *PrepareError if the
	// platform, or the way to it, failed. Before it blocks, it calls coroutine.Park or
	// Leave.
	Prepare(ctx context.Context, req PrepareRequest) (Prepared, error)
}

// PrepareRequest is a request to a platform about a call.
type PrepareRequest struct {
	config.Ask
	CallID string // our id of the call; a retry has the same
}

// Variable is a name with its value for one call.
type Variable struct{ Name, Value string }

// Prepared is a platform's answer.
type Prepared struct {
	CallID string // the platform's id; empty if the target's answers have none
	Shared bool   // the platform gave the same id to other calls
	Body   []byte // the answer as JSON
	Status int    // HTTP
}
