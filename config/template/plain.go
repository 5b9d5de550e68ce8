package template

import (
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// plainPart is either a text or a plain field, in a template that has only these.
type plainPart struct {
	text  string
	field string // path of the field, like "To.Number"; empty for text
}

// plainParts compiles a template that has only text and plain fields. It returns nil for any other template.
func plainParts(root *parse.ListNode) []plainPart {
	parts := make([]plainPart, 0, len(root.Nodes))
	sample := SampleVars(true)
	for _, n := range root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			parts = append(parts, plainPart{text: string(n.Text)})
		case *parse.ActionNode:
			path := fieldPath(n.Pipe)
			if _, ok := sample.field(path); !ok {
				return nil
			}
			parts = append(parts, plainPart{field: path})
		default:
			return nil
		}
	}
	return parts
}

// fieldPath returns the path of a pipe that is just one field of the call. It returns "" for any other pipe.
func fieldPath(p *parse.PipeNode) string {
	if len(p.Decl) > 0 || len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return ""
	}
	if n, ok := p.Cmds[0].Args[0].(*parse.FieldNode); ok {
		return strings.Join(n.Ident, ".")
	}
	return ""
}

// field returns the value of a plain field, which is a field whose value is text. ok is false for all other fields,
// and if there is no prepare answer.
func (v *Vars) field(path string) (value string, ok bool) {
	switch name, part, _ := strings.Cut(path, "."); name {
	case "To":
		return v.To.field(part)
	case "From":
		return v.From.field(part)
	case "Lead":
		return v.lead().field(part)
	case "Row":
		return v.Row[part], true
	case "Agent":
		return v.agent().field(part)
	case "Rescue", "Queue", "Identity", "Prepare":
		return v.stageField(path)
	}
	switch path {
	case "CallID":
		return v.CallID, true
	case "SIPCallID":
		return v.SIPCallID, true
	case "Trunk":
		return v.Trunk, true
	case "Target":
		return v.Target, true
	case "Direction":
		return v.Direction, true
	case "Route":
		return v.Route, true
	case "Attempt":
		return strconv.Itoa(v.Attempt), true
	case "Diversion":
		return v.Diversion, true
	}
	return "", false
}

// stageField returns the value of a plain field that is set only for some calls, or only at some stage.
func (v *Vars) stageField(path string) (value string, ok bool) {
	switch path {
	case "Rescue.Cause":
		return v.Rescue.Cause, true
	case "Rescue.Seconds":
		return v.Rescue.Seconds, true
	case "Rescue.Target":
		return v.Rescue.Target, true
	case "Queue.Seconds":
		return v.Queue.Seconds, true
	case "Told":
		return v.Told, true
	case "Identity.Verstat":
		return v.Identity().Verstat, true
	case "Identity.Attest":
		return v.Identity().Attest, true
	case "Identity.OrigID":
		return v.Identity().OrigID, true
	case "Prepare.CallID":
		if v.Prepare != nil {
			return v.Prepare.CallID, true
		}
	}
	return "", false
}

func (p *Party) field(name string) (value string, ok bool) {
	switch name {
	case "Number":
		return p.Number, true
	case "User":
		return p.User, true
	case "Name":
		return p.Name, true
	case "Host":
		return p.Host, true
	case "URI":
		return p.URI, true
	}
	return "", false
}

// renderPlain returns the result of a template of text and plain fields. ok is false if text/template would also fail.
func renderPlain(parts []plainPart, v *Vars) (s string, ok bool) {
	var room [8]string
	values, size := slices.Grow(room[:0], len(parts)), 0
	for i := range parts {
		value := parts[i].text
		if path := parts[i].field; path != "" {
			if value, ok = v.field(path); !ok {
				return "", false
			}
		}
		values, size = append(values, value), size+len(value)
	}
	if size > maxRendered {
		return "", false
	}
	return strings.Join(values, ""), true
}
