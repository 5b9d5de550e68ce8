package node

import (
	"cmp"
	"fmt"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/check"
	"flowbridge/config"
	"flowbridge/store/record"
)

// Configuration shows the configuration in force beside its file.
func (o *operator) Configuration() (c admin.Configuration, err error) {
	o.mu.Lock()
	n, idle := o.node, o.idle
	o.mu.Unlock()
	if n == nil {
		return c, cmp.Or(idle, errStarting)
	}
	now := n.inForce.Load()
	c = admin.Configuration{
		File: config.ShownName(o.file), Since: record.TimeOf(now.at), InForce: config.Masked(string(now.cfg.Source)),
		NeedRestart: append([]string{}, now.needRestart...), Findings: []admin.Finding{}, Names: namesOf(now.cfg),
	}
	if now.before != nil {
		c.Before = new(config.Masked(string(now.before)))
	}
	text, err := config.ReadText(o.file)
	if err != nil {
		c.Findings = append(c.Findings, admin.Finding{Error: true, Problem: err.Error()})
		return c, nil //nolint:nilerr // the answer says it
	}
	c.OnDisk = new(config.Masked(text))
	valid, found := check.Find(o.file, now.cfg)
	for _, f := range found {
		c.Findings = append(c.Findings, admin.Finding{
			File: f.File, Line: f.Line, Key: f.Key, Problem: config.Masked(f.Problem), Remedy: f.Remedy, Error: !valid,
		})
	}
	return c, nil
}

// namesOf returns the names in a configuration, as records have them.
func namesOf(cfg *config.Config) admin.Names {
	all := admin.Names{Trunks: []string{}, Targets: []string{}, Routes: []string{}}
	for i := range cfg.Trunks {
		all.Trunks = append(all.Trunks, cfg.Trunks[i].Name)
	}
	for i := range cfg.Targets {
		all.Targets = append(all.Targets, cfg.Targets[i].Name)
	}
	for i := range cfg.Routes {
		all.Routes = append(all.Routes, cmp.Or(cfg.Routes[i].Name, fmt.Sprintf("routes[%d]", i)))
	}
	return all
}
