package docs

import (
	"bytes"
	"html/template"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"

	"flowbridge"
)

// markdown aligns cells by an attribute, because the browser is told to refuse styles in the page.
var markdown = sync.OnceValue(func() goldmark.Markdown {
	return goldmark.New(goldmark.WithParserOptions(parser.WithAutoHeadingID()), goldmark.WithExtensions(
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))))
})

// anchors gives headings their anchors.
type anchors struct{}

func (anchors) Generate(heading []byte, _ ast.NodeKind) []byte { return []byte(anchor(inline(string(heading)))) }
func (anchors) Put([]byte)                                     {}

// A link or an image, its text and where it leads; or code, which may look like one.
var link = regexp.MustCompile("(?s)```.*?```|`[^`]*`|(!?)\\[([^]]*)\\]\\(([^)\\s]*)\\)")

// HTML renders the part. Its links lead where they lead in the repository; of one that leads to no document, and of an
// image, the text stays. Raw HTML is left out.
func (p Part) HTML() template.HTML {
	source := link.ReplaceAllStringFunc(p.Text, func(s string) string {
		m := link.FindStringSubmatch(s)
		file, _, _ := strings.Cut(m[3], "#")
		_, err := fs.Stat(flowbridge.Documents, path.Join(path.Dir(p.Name), file))
		if m[1] == "" && (file == "" || strings.Contains(file, "://") || err == nil && path.Ext(file) == ".md") {
			return s
		}
		return m[2]
	})
	var out bytes.Buffer
	_ = markdown().Convert([]byte(source), &out, parser.WithContext(parser.NewContext(parser.WithIDs(anchors{}))))
	return template.HTML(out.String()) //nolint:gosec // it is the program's own, without raw HTML
}

// inline is a text in one line, without its marks.
func inline(s string) string {
	s = link.ReplaceAllStringFunc(strings.Join(strings.Fields(s), " "), func(s string) string {
		if s[0] == '`' {
			return s
		}
		return link.FindStringSubmatch(s)[2]
	})
	return strings.NewReplacer("`", "", "**", "", `\|`, "|").Replace(s)
}

// mark is what a paragraph, or an entry of a list, begins with.
var mark = regexp.MustCompile(`^ *(?:- |\d+\. |> )?`)

// Plain lays the part out for a terminal that is so many characters wide.
func (p Part) Plain(width int) string {
	var out strings.Builder
	var table [][]string
	first, words, code := "", "", false
	flush := func() {
		wrap(&out, first, inline(words), width)
		writeTable(&out, table, width)
		first, words, table = "", "", nil
	}
	for line := range strings.Lines(p.Text) {
		line = strings.TrimRight(line, "\n")
		begin := mark.FindString(line)
		switch {
		case strings.HasPrefix(strings.TrimLeft(line, " "), "```"):
			flush()
			code = !code
		case code || words == "" && strings.HasPrefix(line, "    "):
			out.WriteString("    " + strings.TrimPrefix(line, "    ") + "\n")
		case strings.HasPrefix(line, "|"):
			if strings.Trim(line, "|-: ") != "" {
				line = strings.ReplaceAll(line, `\|`, "\x00")
				table = append(table, strings.Split(strings.Trim(line, "| "), "|"))
			}
		case line == "" || line[0] == '#':
			flush()
			out.WriteString(line + "\n")
		case words == "" || strings.TrimSpace(begin) != "":
			flush()
			first, words = begin, line[len(begin):]
		default:
			words += " " + line
		}
	}
	flush()
	return out.String()
}

// wrap writes words in lines, the first one after a mark, the others as far to the right.
func wrap(out *strings.Builder, first, words string, width int) {
	line := first
	for word := range strings.FieldsSeq(words) {
		if len(line) > len(first) && utf8.RuneCountInString(line+word) > width {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line = strings.Repeat(" ", len(first))
		}
		line += word + " "
	}
	if words != "" {
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// writeTable writes a table in columns, or row by row where they don't fit.
func writeTable(out *strings.Builder, rows [][]string, width int) {
	var columns strings.Builder
	t := tabwriter.NewWriter(&columns, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		for i := range cells {
			cells[i] = strings.ReplaceAll(inline(cells[i]), "\x00", "|")
		}
		_, _ = t.Write([]byte(strings.Join(cells, "\t") + "\n")) // a Builder takes everything
	}
	_ = t.Flush()
	fits := true
	for line := range strings.Lines(columns.String()) {
		fits = fits && utf8.RuneCountInString(line) <= width+1
	}
	if fits {
		out.WriteString(columns.String())
		return
	}
	for _, cells := range rows[1:] {
		wrap(out, "", cells[0], width)
		for i, cell := range cells[1:] {
			if head := rows[0][min(i+1, len(rows[0])-1)]; head != "" && cell != "" {
				cell = head + ": " + cell
			}
			wrap(out, "    ", cell, width)
		}
	}
}
