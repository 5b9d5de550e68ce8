package node

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"

	"flowbridge/cmd/flowbridge/check"
	"flowbridge/config"
	"flowbridge/store/record"
)

// Configuration shows the configuration in force beside its file. Its texts have no secrets.
func (o *operator) Configuration() (any, error) {
	o.mu.Lock()
	n, idle := o.node, o.idle
	o.mu.Unlock()
	if n == nil {
		return nil, cmp.Or(idle, errStarting)
	}
	now, names := n.inForce.Load(), map[string][]string{"trunk": {}, "target": {}, "route": {}}
	c := map[string]any{
		"file": config.ShownName(o.file), "since": record.TimeOf(*n.figures.reloads.at.Load()),
		"in_force": config.Masked(string(now.cfg.Source)), "before": nil, "on_disk": nil, "check": nil,
		"need_restart": append([]string{}, now.needRestart...), "names": names,
	}
	if now.before != nil {
		c["before"] = config.Masked(string(now.before))
	}
	if text, err := os.ReadFile(o.file); err == nil { // standard input is no file
		c["on_disk"] = config.Masked(string(text))
		o.checks.Lock() // a check reads files and asks the machine
		defer o.checks.Unlock()
		var out bytes.Buffer
		command := check.Command()
		command.SetArgs([]string{"--config", o.file, "--json"})
		command.SilenceErrors, command.SilenceUsage = true, true
		command.SetOut(&out)
		_ = command.Execute() // the result says what is wrong
		var result map[string]any
		if json.Unmarshal(out.Bytes(), &result) == nil { // otherwise it stays null
			c["check"] = result
		}
		for _, kind := range []string{"errors", "warnings"} {
			flaws, _ := result[kind].([]any)
			for _, each := range flaws {
				flaw, _ := each.(map[string]any)
				for _, field := range []string{"problem", "remedy"} {
					said, _ := flaw[field].(string)
					flaw[field] = config.MaskedIn(string(text), said)
				}
			}
		}
	}
	for i := range now.cfg.Trunks {
		names["trunk"] = append(names["trunk"], now.cfg.Trunks[i].Name)
	}
	for i := range now.cfg.Targets {
		names["target"] = append(names["target"], now.cfg.Targets[i].Name)
	}
	for i := range now.cfg.Routes {
		names["route"] = append(names["route"], cmp.Or(now.cfg.Routes[i].Name, fmt.Sprintf("routes[%d]", i)))
	}
	return c, nil
}
