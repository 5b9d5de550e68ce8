package provision

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
)

// difference is a member that is not as wanted.
type difference struct {
	Key  string `json:"key"`
	Have any    `json:"have"`
	Want any    `json:"want"`
}

// outcome is the result of a command as JSON.
type outcome struct {
	Outcome     string       `json:"outcome"` // created, found, different, updated, deleted
	ID          string       `json:"id"`
	Differences []difference `json:"differences"`
	NotCompared []string     `json:"not_compared"`
	Object      any          `json:"object,omitempty"`
}

// The values of outcome.Outcome.
const (
	wasCreated   = "created"
	wasFound     = "found"
	wasDifferent = "different"
	wasUpdated   = "updated"
	wasDeleted   = "deleted"
)

// found is an existing thing compared with the wanted one.
type found struct {
	what        string // "number +15551230000"
	id          string
	differences []difference
	notCompared []string
	update      string // the command that makes it as it was asked for
}

// compared makes the result of a comparison.
func compared(what, id string, all []rest.Difference) found {
	x := found{what: what, id: id}
	for _, d := range all {
		if d.NotShown {
			x.notCompared = append(x.notCompared, d.Path)
			continue
		}
		x.differences = append(x.differences, difference{Key: d.Path, Have: d.Have, Want: d.Want})
	}
	return x
}

// report prints the comparison. Differences are an error.
func (x found) report(s shower) error {
	result := wasFound
	if len(x.differences) > 0 {
		result = wasDifferent
	}
	if s.asJSON {
		o := outcome{Outcome: result, ID: x.id, Differences: []difference{}, NotCompared: append([]string{}, x.notCompared...)}
		for _, d := range x.differences {
			d.Have, d.Want = s.value(d.Key, d.Have), s.value(d.Key, d.Want)
			o.Differences = append(o.Differences, d)
		}
		if err := cli.PrintJSON(s.out, o); err != nil {
			return err
		}
	} else {
		x.print(s)
	}
	if result == wasDifferent {
		return fmt.Errorf("%s is there already, and not as it was asked for", x.what)
	}
	return nil
}

func (x found) print(s shower) {
	fmt.Fprintf(s.out, "%s is there already\n", x.what)
	for _, d := range x.differences {
		fmt.Fprintf(s.out, "  %s: is %s, wanted %s\n", cli.Shown(d.Key), plainValue(s.value(d.Key, d.Have), 200), plainValue(s.value(d.Key, d.Want), 200))
	}
	if len(x.notCompared) > 0 {
		fmt.Fprintf(s.out, "  not compared, because the API does not give it back: %s\n", strings.Join(x.notCompared, ", "))
	}
	if len(x.differences) > 0 {
		fmt.Fprintf(s.out, "to change it:\n  %s\n", s.hide(x.update))
	}
}

func (s shower) value(key string, v any) any {
	return s.clean(rest.Object{key: v})[key]
}

// did prints that something was done.
func (s shower) did(result, what, id string, o rest.Object) error {
	if !s.asJSON {
		_, err := fmt.Fprintf(s.out, "%s %s\n", result, cli.Shown(what))
		return err
	}
	out := outcome{Outcome: result, ID: id, Differences: []difference{}, NotCompared: []string{}}
	if o != nil {
		out.Object = s.clean(o)
	}
	return cli.PrintJSON(s.out, out)
}

// updateCommand is the command for the differences. Members without a flag and secrets go into a file for --body.
func (b *bodyFlags) updateCommand(c *cobra.Command, r *resource, id string, changed []difference) string {
	words := []string{"flowbridge", r.kind, r.use, "update", shellQuote(id)}
	var inFile []string
	for _, d := range changed {
		flag := b.flagOf(d.Key)
		if flag == "" || hasSecret(d.Want) {
			inFile = append(inFile, d.Key)
			continue
		}
		words = append(words, "--"+flag+"="+shellQuote(plainText(d.Want)))
	}
	if len(inFile) > 0 {
		words = append(words, "--body FILE")
	}
	line := strings.Join(words, " ") + r.connection.args(c)
	if len(inFile) > 0 {
		line += "   # with " + strings.Join(inFile, ", ") + " in FILE"
	}
	return line
}

// hasSecret says whether a value holds a secret, which a command line must not show.
func hasSecret(v any) bool { return len(rest.Secrets(v)) > 0 }

// flagOf is the flag of a member, or "".
func (b *bodyFlags) flagOf(path string) string {
	for _, x := range b.fields {
		if x.path == path && x.kind != fieldFile && x.kind != fieldSecret {
			return x.flag
		}
	}
	return ""
}

// plainText is a value in the form that a flag takes.
func plainText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	data, err := rest.Object{"v": v}.Marshal()
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(data), `{"v":`), "}")
}

func newShower(w io.Writer, hide func(string) string, asJSON bool) shower {
	return shower{out: w, hide: hide, asJSON: asJSON}
}
