package provision

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
)

// step is what a command does about one thing of an account. create, show, update and delete have one step, setup has
// two.
type step struct {
	*resource
	things
	shower
	want   rest.Object // body of the request; nil for show and delete
	again  bool        // create another thing of this name
	choose string      // what to do if several things have the name

	id string // empty if it is not known, or if there is no such thing

	// Set by look.
	have  rest.Object     // nil if there is no such thing
	known map[string]bool // ids of the existing things
}

// look finds the thing by its id or name. It changes nothing.
func (s *step) look(ctx context.Context) error {
	if s.id == "" {
		hits, err := s.find(ctx)
		switch {
		case err != nil:
			return err
		case s.again || len(hits) == 0:
			return nil
		case len(hits) > 1:
			var ids []string
			for _, o := range hits {
				ids = append(ids, text(o, s.key))
			}
			return fmt.Errorf("there are %d %s: %s; %s", len(hits), fmt.Sprintf(s.many, text(s.want, s.name)),
				strings.Join(ids, ", "), s.choose)
		}
		s.have, s.id = hits[0], text(hits[0], s.key)
		if !s.sparse {
			return nil
		}
	}
	var err error
	s.have, err = s.Get(ctx, s.id)
	return err
}

// find returns the things with the wanted name. Synthflow's numbers are found without a list.
func (s *step) find(ctx context.Context) (hits []rest.Object, err error) {
	if t, ok := s.things.(interface {
		Find(ctx context.Context, want rest.Object) (rest.Object, error)
	}); ok {
		have, err := t.Find(ctx, s.want)
		if have == nil {
			return nil, err
		}
		return []rest.Object{have}, err
	}
	all, err := s.List(ctx)
	s.known = map[string]bool{}
	for _, o := range all {
		s.known[text(o, s.key)] = true
		a, b := text(o, s.name), text(s.want, s.name)
		if a == b || s.same != nil && s.same(a, b) {
			hits = append(hits, o)
		}
	}
	return hits, err
}

// ensure creates the thing if there is none. If there is one, ensure reports how it differs from the wanted one.
func (s *step) ensure(c *cobra.Command) error {
	if s.have != nil {
		return s.reportExisting(c)
	}
	made, err := s.Create(c.Context(), s.want, s.known)
	if err != nil {
		return err
	}
	if s.note != nil {
		if note := s.note(s.want, made); note != "" {
			fmt.Fprintln(c.ErrOrStderr(), "note:", note)
		}
	}
	s.id = text(made, s.key)
	what := s.describe(made)
	if s.sparse {
		made = nil
	}
	return s.did(wasCreated, what, s.id, made)
}

// describe returns a thing's name and id for people.
func (s *step) describe(o rest.Object) string {
	return fmt.Sprintf(s.title, text(o, s.name), text(o, s.key))
}

// reportExisting prints how the existing thing differs from the wanted one, and returns an error if it does.
func (s *step) reportExisting(c *cobra.Command) error {
	what := s.describe(s.have)
	if strings.Contains(what, ", ") {
		what += ","
	}
	o := outcome{Outcome: wasFound, ID: s.id, Differences: []difference{}, NotCompared: []string{}}
	for _, d := range s.compare(s.have, s.want) {
		if d.NotShown {
			o.NotCompared = append(o.NotCompared, d.Path)
			continue
		}
		o.Outcome = wasDifferent
		o.Differences = append(o.Differences, difference{d.Path, s.value(d.Path, d.Have), s.value(d.Path, d.Want)})
	}
	if s.asJSON {
		if err := cli.PrintJSON(s.out, o); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.out, "%s is there already\n", what)
		s.compared(o)
		if len(o.Differences) > 0 {
			fmt.Fprintf(s.out, "change it on the platform's page of the %s, leave out what is not to be compared, or delete it, and create it again:\n"+
				"  flowbridge %s %s delete %s --yes%s\n", s.noun, s.kind, s.use, cli.ShellWord(s.id), s.hide(s.connection.args(c)))
		}
	}
	if o.Outcome == wasDifferent {
		return fmt.Errorf("%s is there already, and not as it was asked for", what)
	}
	return nil
}

// print prints the thing.
func (s *step) print(c *cobra.Command) error {
	if err := s.look(c.Context()); err != nil {
		return err
	}
	return s.one(s.have)
}

// update changes the thing.
func (s *step) update(c *cobra.Command) error {
	o, err := s.things.(interface {
		Update(ctx context.Context, id string, body rest.Object) (rest.Object, error)
	}).Update(c.Context(), s.id, s.want)
	if err != nil {
		return err
	}
	return s.did(wasUpdated, s.noun+" "+s.id, s.id, o)
}

// remove deletes the thing and prints what it was.
func (s *step) remove(c *cobra.Command) error {
	if !s.dryRun {
		if err := s.look(c.Context()); err != nil {
			return err
		}
	}
	if err := s.Delete(c.Context(), s.id); err != nil {
		return err
	}
	if err := s.did(wasDeleted, s.noun+" "+s.id, s.id, s.have); err != nil || s.asJSON {
		return err
	}
	return s.one(s.have)
}
