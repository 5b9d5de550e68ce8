package provision

import (
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
)

// fieldKind says how a flag's text becomes JSON.
type fieldKind int

const (
	fieldText   fieldKind = iota
	fieldFile             // the content of a file
	fieldSecret           // two flags: NAME-file and NAME-env
)

// field is a member of a request's body that has a flag.
type field struct {
	flag  string
	path  string // "agent.prompt"
	kind  fieldKind
	usage string
}

// bodyFlags are the flags for the body of a request.
type bodyFlags struct {
	fields []field
	flag   string // "body"
	file   string
}

// newBodyFlags adds a flag for each field, and --body. A command with several bodies uses another name than
// body.
func newBodyFlags(c *cobra.Command, name string, fields []field) *bodyFlags {
	b := &bodyFlags{fields: fields, flag: name}
	f := c.Flags()
	f.StringVar(&b.file, name, "", "file with the whole body as a JSON object, or - for standard input; flags go on top")
	for _, x := range fields {
		if x.kind == fieldSecret {
			f.String(x.flag+"-file", "", "file with "+x.usage+", chmod 600")
			f.String(x.flag+"-env", "", "environment variable with "+x.usage)
			continue
		}
		f.String(x.flag, "", x.usage)
	}
	return b
}

// read builds the body and lists its secrets.
func (b *bodyFlags) read(c *cobra.Command) (body rest.Object, secrets []string, err error) {
	body = rest.Object{}
	if b.file != "" {
		data, err := cli.ReadText(c, b.file)
		if err != nil {
			return nil, nil, cli.Usage("--%s: %w", b.flag, err)
		}
		if body, err = rest.ParseObject(data); err != nil {
			return nil, nil, cli.Usage("--%s %s: %w", b.flag, b.file, err)
		}
	}
	for _, x := range b.fields {
		v, given, err := x.value(c)
		switch {
		case err != nil:
			return nil, nil, cli.Usage("--%s: %w", x.flag, err)
		case !given:
			continue
		}
		if err := place(body, x.path, v); err != nil {
			return nil, nil, cli.Usage("--%s: %w", x.flag, err)
		}
	}
	return body, rest.Secrets(map[string]any(body)), nil
}

// value returns the value of the flag. given is false if the flag was not used.
func (x field) value(c *cobra.Command) (v any, given bool, err error) {
	f := c.Flags()
	if x.kind == fieldSecret {
		return x.secret(c)
	}
	if !f.Changed(x.flag) {
		return nil, false, nil
	}
	text := f.Lookup(x.flag).Value.String()
	if x.kind == fieldFile {
		data, err := cli.ReadText(c, text)
		return strings.TrimRight(string(data), "\n"), true, err
	}
	return text, true, nil
}

func (x field) secret(c *cobra.Command) (v any, given bool, err error) {
	file, _ := c.Flags().GetString(x.flag + "-file")
	env, _ := c.Flags().GetString(x.flag + "-env")
	var secret config.Secret
	switch {
	case file == "" && env == "":
		return nil, false, nil
	case file != "" && env != "":
		return nil, true, fmt.Errorf("write --%s-file or --%s-env, not both", x.flag, x.flag)
	case file != "":
		secret, err = config.ReadSecret(file)
	default:
		secret, err = config.SecretFromEnv(env, os.LookupEnv)
	}
	return secret.Reveal(), true, err
}

// place puts a value into a body and creates the missing objects on the way.
func place(body rest.Object, path string, v any) error {
	at := map[string]any(body)
	for {
		name, rest, deeper := strings.Cut(path, ".")
		if !deeper {
			at[name] = v
			return nil
		}
		switch in := at[name].(type) {
		case nil:
			next := map[string]any{}
			at[name], at = next, next
		case map[string]any:
			next := maps.Clone(in)
			at[name], at = next, next
		default:
			return fmt.Errorf("the body's %s is no object", name)
		}
		path = rest
	}
}
