package check

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"flowbridge/cmd/flowbridge/profiles"
	"flowbridge/config"
)

// fromEnvironment matches a value from the environment.
var fromEnvironment = regexp.MustCompile(`\$\{[^}]*\}`)

// placeholders returns the values of targets that were pasted from a profile and not replaced. The file must be
// valid.
func placeholders(file string) []flaw {
	if file == config.Stdin { // it can't be read again
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var root struct{ Targets yaml.Node }
	if yaml.Unmarshal(data, &root) != nil {
		return nil
	}
	return placeholdersIn(&root.Targets, "targets", nil)
}

func placeholdersIn(n *yaml.Node, key string, all []flaw) []flaw {
	switch n.Kind {
	case yaml.SequenceNode:
		for i, c := range n.Content {
			all = placeholdersIn(c, fmt.Sprintf("%s[%d]", key, i), all)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			// these are names, not values
			if name := n.Content[i].Value; name != "example" && !strings.HasSuffix(name, "_env") &&
				!strings.HasSuffix(name, "_file") {
				all = placeholdersIn(n.Content[i+1], key+"."+name, all)
			}
		}
	case yaml.ScalarNode:
		for _, found := range profiles.Placeholder.FindAllString(fromEnvironment.ReplaceAllString(n.Value, ""), -1) {
			all = append(all, flaw{
				Line: n.Line, Key: key,
				Problem: "has the profile's " + found + ", which stands for a value of your account", Remedy: "write that value",
			})
		}
	case yaml.DocumentNode, yaml.AliasNode: // an alias repeats its anchor
	}
	return all
}
