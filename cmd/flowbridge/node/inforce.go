package node

import (
	"net/http"
	"reflect"

	"flowbridge/b2bua"
	"flowbridge/config"
)

// inForce is the configuration that new calls use, with the clients that it
// describes. Nothing in it changes: a reload replaces it as a whole.
type inForce struct {
	cfg       *config.Config
	preparers map[string]b2bua.Preparer // by target
}

// newInForce makes the clients of a configuration. before is what it replaces.
func newInForce(cfg *config.Config, before *inForce, transport http.RoundTripper) (*inForce, error) {
	clients, err := newPreparers(cfg, before.preparers, transport)
	return &inForce{cfg, clients}, err
}

// targetNamed is a target, or nil.
func (f *inForce) targetNamed(name string) *config.Target {
	for i := range f.cfg.Targets {
		if f.cfg.Targets[i].Name == name {
			return &f.cfg.Targets[i]
		}
	}
	return nil
}

// running is a configuration that was read, but with the sections that a
// process has for life as they are. Those that differ are named.
func running(old, read *config.Config) (next *config.Config, needRestart []string) {
	merged := *read
	for _, s := range []struct {
		name       string
		is, wanted any
	}{
		{"sip", old.SIP, read.SIP},
		{"media", old.Media, read.Media},
		{"recording", old.Recording, read.Recording},
		{"store", old.Store, read.Store},
		{"admin", old.Admin, read.Admin},
		{"hooks", old.Hooks, read.Hooks},
	} {
		if !reflect.DeepEqual(s.is, s.wanted) {
			needRestart = append(needRestart, s.name)
		}
	}
	merged.SIP, merged.Media, merged.Store, merged.Admin = old.SIP, old.Media, old.Store, old.Admin
	merged.Recording, merged.Hooks = old.Recording, old.Hooks
	return &merged, needRestart
}
