// Package yamledit adds an element to a list of a YAML file that people edit by hand. The rest of the file, comments
// included, stays byte for byte the same.
package yamledit

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrForm means that the file's form does not allow adding an element as text. For example, the file is in flow style,
// or has aliases or several documents. The element must then be added by hand.
var ErrForm = errors.New("the file's form does not let an element be added as text")

// Prepend returns text with an element added as the first element of the list under the top-level key. If the key is
// missing, it is added at the end of the file. element is only the element's YAML, without dash and indentation. The
// result is parsed again. The error is ErrForm if the result is not the old content plus the element, or if text or
// element is not YAML.
func Prepend(text []byte, key, element string) ([]byte, error) {
	root, ok := document(text)
	added, fine := document([]byte(element))
	if !ok || !fine || added == nil || root != nil && root.Kind != yaml.MappingNode {
		return nil, ErrForm
	}
	out, err := insert(text, root, key, element)
	if err != nil {
		return nil, err
	}
	again, ok := document(out)
	if !ok || !equal(again, expected(root, key, added)) {
		return nil, ErrForm
	}
	return out, nil
}

// document parses the single document of a file. The node is nil if the document is missing or null. ok is false if it
// can't be parsed.
func document(text []byte) (root *yaml.Node, ok bool) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, true
	} else if err != nil {
		return nil, false
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) || len(doc.Content) != 1 {
		return nil, false
	}
	if isNull(doc.Content[0]) {
		return nil, true
	}
	return doc.Content[0], true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// insert returns the new text.
func insert(text []byte, root *yaml.Node, key, element string) ([]byte, error) {
	newline := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		newline = "\r\n"
	}
	if root != nil {
		for i := 0; i+1 < len(root.Content); i += 2 {
			if name, list := root.Content[i], root.Content[i+1]; name.Value == key {
				return insertBelow(text, name, list, element, newline)
			}
		}
	}
	out := slices.Clone(text)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, newline...)
	}
	return append(out, key+":"+newline+dashed(element, 2, newline)...), nil
}

// insertBelow puts the element below the key's line.
func insertBelow(text []byte, name, list *yaml.Node, element, newline string) ([]byte, error) {
	at := 0
	for range name.Line {
		end := bytes.IndexByte(text[at:], '\n')
		if end < 0 { // the key is on the last line, which has no newline
			text = append(slices.Clone(text), newline...)
			at = len(text)
			break
		}
		at += end + 1
	}
	indent := 2
	switch {
	case list.Kind == yaml.SequenceNode && list.Style&yaml.FlowStyle == 0 && len(list.Content) > 0:
		indent = dashColumn(text[at:])
		if indent < 0 {
			return nil, ErrForm
		}
	case isNull(list) && list.Value == "":
	case list.Kind == yaml.SequenceNode && len(list.Content) == 0 && list.Line == name.Line:
		return slices.Concat(withoutEmpty(text[:at]), []byte(dashed(element, indent, newline)), text[at:]), nil
	default:
		return nil, ErrForm
	}
	return slices.Concat(text[:at], []byte(dashed(element, indent, newline)), text[at:]), nil
}

// emptyList matches a list in brackets without elements, at the end of a line or before its comment.
var emptyList = regexp.MustCompile(`[ \t]*\[[ \t]*\]([ \t]*(#[^\n]*)?\r?\n)$`)

// withoutEmpty removes the brackets of an empty list from the last line.
func withoutEmpty(text []byte) []byte { return emptyList.ReplaceAll(text, []byte("$1")) }

// dashColumn returns the indentation of the next dash, or -1.
func dashColumn(text []byte) int {
	for line := range bytes.Lines(text) {
		content := bytes.TrimLeft(line, " ")
		switch {
		case len(bytes.TrimSpace(content)) == 0 || content[0] == '#':
			continue
		case content[0] == '-':
			return len(line) - len(content)
		}
		break
	}
	return -1
}

// dashed returns an element in the form that it has in a list.
func dashed(element string, indent int, newline string) string {
	var b strings.Builder
	first := true
	for line := range strings.SplitSeq(strings.TrimRight(element, "\n"), "\n") {
		lead := strings.Repeat(" ", indent) + "  "
		if first {
			lead = strings.Repeat(" ", indent) + "- "
		}
		first = false
		b.WriteString(strings.TrimRight(lead+line, " ") + newline)
	}
	return b.String()
}

// expected returns the content that the new text must have.
func expected(root *yaml.Node, key string, added *yaml.Node) *yaml.Node {
	want := &yaml.Node{Kind: yaml.MappingNode}
	if root != nil {
		clone := *root
		want = &clone
		want.Content = slices.Clone(root.Content)
	}
	for i := 0; i+1 < len(want.Content); i += 2 {
		if want.Content[i].Value == key {
			list := *want.Content[i+1]
			list.Kind, list.Tag, list.Value = yaml.SequenceNode, "!!seq", ""
			list.Content = append([]*yaml.Node{added}, list.Content...)
			want.Content[i+1] = &list
			return want
		}
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
	want.Content = append(want.Content, name, &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{added}})
	return want
}

// equal reports whether two nodes have the same content, apart from comments and line numbers.
func equal(a, b *yaml.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) ||
		a.Kind != yaml.SequenceNode && a.Value != b.Value || a.Kind == yaml.ScalarNode && a.ShortTag() != b.ShortTag() {
		return false
	}
	return slices.EqualFunc(a.Content, b.Content, equal)
}
