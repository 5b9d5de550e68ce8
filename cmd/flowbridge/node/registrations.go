package node

import (
	"context"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/b2bua/registration"
	"flowbridge/store"
	"flowbridge/store/record"
	"flowbridge/telemetry"
)

// bindingsPatience bounds how long a start waits for the registrations at the old process.
const bindingsPatience = 2 * time.Second

// bindings reads the registrations at the old process.
type bindings struct {
	log   zerolog.Logger
	later func(context.Context) (map[string][]record.Binding, error) // reads them once that is possible; nil after that
}

// read returns the bindings, if they can be read now.
func (b *bindings) read(ctx context.Context, s *store.Store) map[string][]record.Binding {
	bounded, cancel := context.WithTimeout(ctx, bindingsPatience)
	defer cancel()
	all, err := s.Bindings(bounded)
	if err != nil {
		b.log.Error().Err(err).
			Msg("registrations not read: a trunk that registers here is called again after its next REGISTER")
		b.later = s.LaterBindings()
	}
	return all
}

// takeUp adopts bindings that could not be read at the start. It ends with ctx.
func (b *bindings) takeUp(ctx context.Context, by *b2bua.Server) {
	all, err := b.later(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		b.log.Error().Err(err).
			Msg("registrations not read: a trunk that registers here is called again after its next REGISTER")
	default:
		by.Registrar().Restore(time.Now(), all)
		b.log.Info().Msg("read the earlier registrations")
	}
}

// registrations returns, for the admin API, the registrations of trunks elsewhere and of peers here.
func (f *figures) registrations() admin.Registrations {
	all := admin.Registrations{Outgoing: []admin.Outgoing{}, Incoming: []admin.Incoming{}}
	for _, r := range f.node.server.Registrations() {
		all.Outgoing = append(all.Outgoing, admin.Outgoing{
			Trunk: r.Trunk, State: string(r.State), Registrar: r.Registrar, Contact: r.Contact, Since: record.TimeOf(r.Since),
			ExpiresAt: record.TimeOf(r.Until), NextAt: record.TimeOf(r.Next), Failures: r.Failures, SIPStatus: r.Code,
			Reason: r.Reason,
		})
	}
	for _, h := range f.node.server.Registrar().All(time.Now()) {
		all.Incoming = append(all.Incoming, incoming(h.Name, h.Bindings)...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), bindingsPatience)
	defer cancel()
	for _, holder := range f.holders() {
		left, _ := f.node.server.Registrar().Elsewhere(ctx, holder) // without the database, only local ones are shown
		all.Incoming = append(all.Incoming, incoming(holder, left)...)
	}
	return all
}

// incoming returns the Contacts of a holder for the admin API.
func incoming(holder string, bindings []record.Binding) (all []admin.Incoming) {
	trunk, target := holderOf(holder)
	for _, b := range bindings {
		path := b.Path
		if path == nil {
			path = []string{}
		}
		all = append(all, admin.Incoming{
			Trunk: trunk, Target: target, Contact: b.Contact, Q: float64(b.Q) / 1000, Address: b.Received.String(),
			Transport: b.Transport, Path: path, UserAgent: b.Agent, Node: b.Node,
			RegisteredAt: record.TimeOf(b.Registered), ExpiresAt: record.TimeOf(b.Expires),
		})
	}
	return all
}

// holders returns the trunks and targets that may register here.
func (f *figures) holders() (all []string) {
	cfg := f.node.config()
	for i := range cfg.Trunks {
		if cfg.Trunks[i].Registrar != nil {
			all = append(all, "trunk "+cfg.Trunks[i].Name)
		}
	}
	for i := range cfg.Targets {
		if cfg.Targets[i].Registrar != nil {
			all = append(all, "target "+cfg.Targets[i].Name)
		}
	}
	return all
}

// holderOf splits the server's name for a trunk or target.
func holderOf(kindAndName string) (trunk, target string) {
	if name, ok := strings.CutPrefix(kindAndName, "target "); ok {
		return "", name
	}
	return strings.TrimPrefix(kindAndName, "trunk "), ""
}

// registrationGauges adds the figures of registrations.
func (f *figures) registrationGauges(add telemetry.Add) {
	for _, r := range f.node.server.Registrations() {
		add("registration_up", "1: the trunk is registered where it should be.",
			telemetry.OneIf(r.State == registration.Registered), "trunk", r.Trunk)
		add("registration_failures", "Rounds over all registrars of a trunk that have failed in a row.", float64(r.Failures),
			"trunk", r.Trunk)
	}
	bound := map[string]int{}
	for _, h := range f.node.server.Registrar().All(time.Now()) {
		bound[h.Name] = len(h.Bindings)
	}
	for _, holder := range f.holders() {
		kind, name, _ := strings.Cut(holder, " ")
		add("registrar_contacts", "Contacts that have registered here.", float64(bound[holder]), "kind", kind, "name", name)
	}
}
