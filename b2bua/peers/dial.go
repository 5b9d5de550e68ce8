package peers

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/config/template"
)

// This file holds the configuration of both directions of calls. A target that places a call, as platforms do for a
// warm transfer, is recognised, challenged and admitted like a trunk. A trunk that is called is dialled like a
// target. So a Trunk has a Caller and a Target has a Dial, and each of these can be made from a trunk or a target of
// the configuration.

// Peer is the configuration of a leg, whichever side calls.
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

// Dial is the configuration for calls to a target or trunk.
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
	Registered           bool   // calls go to the Contacts that the trunk's phones have registered with us
	Proxy                string // host and port that calls are sent to instead of the URI's; empty means the URI's
	Circuit              config.Circuit
	Ping                 config.Ping
}

// PingAt returns the URI that OPTIONS to the target are sent to. ok is false if OPTIONS are not sent, so that only
// calls find out whether the target answers. That is the case if OPTIONS are off, if the target registers with us,
// which shows that it works, and if its host differs from call to call.
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

// Policy is the configuration of a platform's calls, whichever side the platform is on.
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

// DialOf returns the configuration for calls to a target.
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

// dialOfTrunk returns the configuration for calls to a trunk.
func dialOfTrunk(t *config.Trunk) *Dial {
	d := DialOf(t.Callee())
	d.NAT, d.Registered = t.NAT, t.Registrar != nil
	if t.Register != nil {
		d.Proxy = t.Register.OutboundProxy
	}
	return d
}

// NewReferred returns a target for a URI that an agent has named in a REFER. It has the codecs and time limits of the
// agent's target, and its calls count against no limit.
func NewReferred(name string, uri *template.Template, transport string, agent *Dial) *Target {
	referred := config.Referred(name, uri, transport, agent.Codecs, agent.FirstResponseTimeout, agent.RingTimeout)
	return &Target{usage: &usage{}, Dial: DialOf(referred)}
}

var errNoName = errors.New("a user part that is neither a number nor a name")

// MayRefer reports whether a list of hosts has a referral's host with its port. An entry without a port stands for
// SIP's own ports, because any other would let an agent reach whatever else the host serves.
func MayRefer(hosts []string, to message.Referral) bool {
	uri := message.ParseURI(to.URI)
	return to.Scheme != "tel" && slices.ContainsFunc(hosts, func(entry string) bool {
		if host, port, err := net.SplitHostPort(entry); err == nil {
			return SameHost(host, to.Host) && port == strconv.Itoa(uri.Port)
		}
		return SameHost(entry, to.Host) && (uri.Port == 0 || uri.Port == 5060 || uri.Port == 5061)
	})
}

// ReferredURI returns the URI for a host that an agent has named in a REFER, without parameters that redirect the
// call (maddr). If the URI is not allowed, it returns an error and the status for the refusal.
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

// callableUser reports whether an agent may name this user part at a host: a number, or a name of letters, digits and
// the characters -._~ only. If it begins with +, it must be a number.
func callableUser(user string) bool {
	return config.IsDialString(user) || strings.Trim(strings.ToLower(user),
		"abcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
}

// Preparer asks a platform for a call's id before the INVITE.
type Preparer interface {
	// Prepare asks for the id of a call, within the target's time limit. Its error is a *PrepareError if the platform,
	// or the connection to it, failed. Before it blocks, it calls coroutine.Park or Leave.
	Prepare(ctx context.Context, req PrepareRequest) (Prepared, error)
}

// PrepareRequest is a request to a platform for the id of a call.
type PrepareRequest struct {
	config.Ask
	CallID string // our id of the call; the same in a retry
}

// Variable is a name and its value for one call.
type Variable struct{ Name, Value string }

// Prepared is a platform's response to a PrepareRequest.
type Prepared struct {
	CallID string // the platform's id of the call; empty if its responses have none
	Shared bool   // the platform has given the same id to other calls
	Body   []byte // the response as JSON
	Status int    // HTTP status of the response
}
