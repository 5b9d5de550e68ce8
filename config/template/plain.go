package template

import (
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// plainPart is a part of a template of nothing but text and plain fields: one of the two.
type plainPart struct {
	text  string
	field string // its path, "To.Number"; empty: text
}

// plainParts compiles a template of nothing but text and plain fields; nil: it has something else.
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

// fieldPath gives the path of a pipe that is one field of the call, "" for any other.
func fieldPath(p *parse.PipeNode) string {
	if len(p.Decl) > 0 || len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return ""
	}
	if n, ok := p.Cmds[0].Args[0].(*parse.FieldNode); ok {
		return strings.Join(n.Ident, ".")
	}
	return ""
}

// field gives the value of a plain field, whose text is its value. ok is false for all others, and where there is no
// prepare answer.
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

// stageField gives the value of a plain field that only some calls have at some time.
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

// renderPlain gives the result of a template of text and plain fields. ok is false where text/template would not give
// it either.
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
