package node

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// What is in force is shown beside its file and what was before, with check's findings and without secrets. A file that
// is gone is no error. Reloads are among the events, which are on disk.
func TestConfigurationIsShown(t *testing.T) {
	s := newReloadStage(t)
	type answer struct {
		InForce string  `json:"in_force"`
		Before  *string `json:"before"`
		OnDisk  *string `json:"on_disk"`
		Check   *struct {
			Valid    bool
			Errors   []struct{ Line int }
			Warnings []struct{ Problem string }
		}
		NeedRestart []string `json:"need_restart"`
		Names       map[string][]string
	}
	shown := func() (a answer) {
		t.Helper()
		c, err := s.Configuration()
		must(t, err)
		text, err := json.Marshal(c)
		must(t, err)
		must(t, json.Unmarshal(text, &a))
		return a
	}
	first := shown()
	if first.Before != nil || *first.OnDisk != first.InForce || !first.Check.Valid || len(first.Check.Warnings) == 0 || strings.Join(first.Names["target"], " ") != "one two" || first.Names["route"][0] != "routes[0]" {
		t.Errorf("at the start: %+v", first)
	}
	must(t, os.WriteFile(s.file, []byte(first.InForce+"# token: abcd1234\nsipp: {}\n"), 0o600))
	if got := shown(); !strings.Contains(*got.OnDisk, "# token: ***") || got.Check.Valid || got.Check.Errors[0].Line != strings.Count(*got.OnDisk, "\n") || got.InForce != first.InForce {
		t.Errorf("with a bad file: %+v", got)
	}
	if _, err := s.Reload(t.Context()); err == nil {
		t.Error("it is reloaded")
	}
	s.write("5s", "https://other.test", "3s", "info")
	_, err := s.Reload(t.Context())
	must(t, err)
	if got := shown(); *got.Before != first.InForce || *got.OnDisk != got.InForce || strings.Join(got.NeedRestart, " ") != "sip" {
		t.Errorf("after a reload: %+v", got)
	}
	must(t, os.Remove(s.file))
	if got := shown(); got.OnDisk != nil || got.Check != nil {
		t.Errorf("without a file: %+v", got)
	}
	events := s.node.live.History(true).Events
	if len(events) != 3 || events[0].Kind != "start" || !strings.HasPrefix(events[1].Text, "a reload was refused") || events[2].Text != "the configuration was reloaded" {
		t.Errorf("events %+v", events)
	}
	waitFor(t, "the events are on disk", func() bool {
		s.node.saveDay()
		return strings.Contains(read(t, s.node.config().Store.Path+".day"), "the configuration was reloaded")
	})
	if m := s.node.live.Stats().Machine; time.Since(m.StartedAt.Time) > time.Hour {
		t.Errorf("the machine: %+v", m)
	}
	day := s.node.config().Store.Path + ".day"
	s.node.tending.Lock()
	defer s.node.tending.Unlock()
	must(t, os.Remove(day))
	must(t, os.MkdirAll(day+"/full", 0o700)) // no file can replace it
	for range 3 {
		s.node.live.Note("reload", "again")
		s.node.saveDay()
	}
	must(t, os.RemoveAll(day))
	s.node.saveDay()
	logged := read(t, s.log.Name())
	if n := strings.Count(logged, "the history of the last day"); n != 2 || !strings.Contains(read(t, day), "again") {
		t.Errorf("%d lines about the disk:\n%s", n, logged)
	}
}
