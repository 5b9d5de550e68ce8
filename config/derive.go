package config

import (
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"

	"flowbridge/config/template"
)

// defaults returns the section with all keys at their defaults. It drops the reader's complaints.
func defaults[T any]() (dst T) {
	v := value{l: newLoader("", nil, nil), node: &yaml.Node{Kind: yaml.MappingNode}}
	v.section(reflect.TypeFor[T]()).read(reflect.ValueOf(&dst).Elem())
	return dst
}

// Callee returns the trunk as a target, which says how calls placed to it are sent.
func (t *Trunk) Callee() *Target {
	c := defaults[Target]()
	c.Name, c.Kind, c.URI, c.Transport, c.TLS, c.Auth = t.Name, KindSIP, t.URI, t.Transport, t.TLS, t.DialAuth
	c.PassHeaders, c.Budget, c.Codecs = t.PassHeaders, trunkBudget(), t.Codecs
	c.FirstResponseTimeout, c.RingTimeout = t.FirstResponseTimeout, t.RingTimeout
	c.MaxCalls, c.MaxCPS, c.MediaSources, c.Media = t.MaxCalls, t.MaxCPS, t.MediaSources, t.Media
	c.Rel100, c.SessionExpires = t.Rel100, t.SessionExpires
	c.Circuit, c.Ping = t.Circuit, t.Ping
	return &c
}

// Caller returns the target as a trunk, which says how calls that it places are received. Its caller identity is
// trusted, because otherwise the number of its own agent would be hidden. Its calls have the default caps of a trunk,
// and the caps of the called trunk.
func (t *Target) Caller() *Trunk {
	c := defaults[Trunk]()
	c.Name, c.Sources, c.Auth, c.TLS, c.Registrar = t.Name, t.Sources, t.CallAuth, t.TLS, t.Registrar
	c.MediaSources, c.Media, c.PassHeaders = t.MediaSources, t.Media, t.PassHeaders
	c.Rel100, c.SessionExpires = t.Rel100, t.SessionExpires
	return &c
}

// Referred returns a host that an agent has named, as a target: it is called by uri, with these codecs and timeouts.
func Referred(host string, uri *template.Template, transport string, codecs []string, firstResponse,
	ring time.Duration,
) *Target {
	c := defaults[Target]()
	c.Name, c.Kind, c.URI, c.Transport = host, KindSIP, uri, transport
	c.Budget, c.Overflow, c.Codecs = trunkBudget(), OverflowTCP, codecs
	c.FirstResponseTimeout, c.RingTimeout = firstResponse, ring
	return &c
}
