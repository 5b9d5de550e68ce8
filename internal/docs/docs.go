// Package docs has the documents of this version, which are embedded in the program. It searches them and renders
// them: as HTML for a browser, as plain text for a terminal.
package docs

import (
	"bytes"
	"html/template"
	"io/fs"
	"path"
	"regexp"
	"slices"
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

// Part is a whole document, a section between headings, or a row of a table, in Markdown.
type Part struct {
	Name          string // name of the document: docs/guides/nat.md
	Title, Anchor string
	Text          string
	Answer        bool                 // it explains the subject of the question; other parts only have the words
	Page          func() template.HTML // renders a whole document at the first call; nil for other parts

	parts  []Part // sections and rows, for a whole document
	lower  string // Text in lower case
	about  string // about the whole document
	points int
}

// Word returns the document's name in the help command: guides/nat.
func (p Part) Word() string { return strings.TrimSuffix(strings.TrimPrefix(p.Name, "docs/"), ".md") }

// isRow reports whether the part is the row of a table.
func (p Part) isRow() bool { return p.Text[0] == '|' }

// About returns the first sentence of the part.
func (p Part) About() string {
	if p.about != "" {
		return p.about
	}
	return strings.Trim(inline(sentence.FindStringSubmatch(p.Text)[1]), "| ")
}

var (
	// The first sentence after the first cell of a row, or after headings, heads of tables, and code.
	sentence = regexp.MustCompile("(?s)^(?:\\|[^\n]*\n\\|[^\n]*\n\\|[^|]*\\| |(?:\n|#[^\n]*\n|\\|[^\n]*\n\\|--[^\n]*\n|```.*?```\n)*)(.*?)(?:[.]\\s|\n\n|$)")
	// Code, a heading, or a row with its first cell.
	pieces  = regexp.MustCompile("(?ms)^```.*?^```|^#+ ([^\n]*)\n|^\\| `?([^|`[{]+)(?:{[^|`]*)?`? \\|[^\n]*\n")
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	// Code, or a link or an image with its text and address.
	link = regexp.MustCompile("(?s)```.*?```|`[^`]*`|!?\\[([^]]*)\\]\\(([^)\\s]*)\\)")
	// A block that Plain does not wrap, or a paragraph or list entry with the text before its words.
	block = regexp.MustCompile("(?m)^```(?s:.*?)^```|(?:^    .*\n)+|(?:^\\|.*\n)+|^#.*\n|^<.*\n|" +
		"^( *(?:- |\\d+\\. |> )?)(\\S.*\n(?: *(?:[^\\s|#`\\d>-]|`[^`]|-\\S|\\d+[^.\\d]).*\n)*)")
)

// explains lists the documents whose tables explain the words in their first column.
var explains = []string{"causes", "configuration", "glossary", "metrics", "runbook"}

// All returns the documents.
var All = sync.OnceValue(func() (all []Part) {
	_ = fs.WalkDir(flowbridge.Documents, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, read(name))
		}
		return err // can't happen: the documents are part of the program
	})
	return all
})

// First returns the documents to begin with: how to get started, and what to do about a symptom.
func First() (first [2]Part) {
	for _, p := range All() {
		switch p.Name {
		case "README.md":
			first[0] = p
		case "docs/symptoms.md":
			first[1] = p
		}
	}
	return first
}

// read splits a document into parts. A row about a configuration key also has a name that includes its section:
// sip.drain_timeout.
func read(name string) Part {
	source, _ := flowbridge.Documents.ReadFile(name)
	p := Part{Name: name, Text: strings.ReplaceAll(string(source), "](#", "]("+path.Base(name)+"#")}
	p.Page = sync.OnceValue(p.HTML)
	var rows []Part
	for _, at := range pieces.FindAllStringSubmatchIndex(p.Text, -1) {
		last, table := len(p.parts)-1, p.Text[strings.LastIndex(p.Text[:at[0]], "\n\n")+2:]
		switch {
		case at[2] >= 0: // a heading
			if last >= 0 {
				p.parts[last].Text = strings.TrimSuffix(p.parts[last].Text, p.Text[at[0]:])
			}
			title := inline(p.Text[at[2]:at[3]])
			p.parts = append(p.parts, Part{Name: name, Title: title, Anchor: anchor(title), Text: p.Text[at[0]:]})
		case at[4] >= 0 && len(table) > len(p.Text)-at[0] && slices.Contains(explains, p.Word()): // a row below the head
			row := Part{
				Name: name, Title: p.Text[at[4]:at[5]], Anchor: p.parts[last].Anchor,
				Text: strings.Join(strings.SplitAfterN(table, "\n", 3)[:2], "") + p.Text[at[0]:at[1]],
			}
			for section := range strings.SplitSeq(p.parts[last].Title, ", ") {
				if p.Word() == "configuration" && section == strings.ToLower(section) {
					row.Title = strings.ReplaceAll(section, "[]", "") + "." + p.Text[at[4]:at[5]]
				}
				rows = append(rows, row)
			}
		}
	}
	p.Title, p.parts, p.about = p.parts[0].Title, append(p.parts, rows...), p.About()
	for i := range p.parts {
		p.parts[i].lower = strings.ToLower(p.parts[i].Text)
	}
	return p
}

// anchor returns the URL fragment that GitHub gives a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// fillers are words of a question that say nothing about its subject.
var fillers = strings.Fields("a about after an and are at be by can do does for from get how i in is it its mean means " +
	"my of on or that the this to was what when where which why with")

// kinds are words of a question that add nothing to the name of its subject.
var kinds = strings.Fields("alert cause error message metric setting status")

// The scores of a part: for having a word of the question, and for being an answer. A part is an answer if its title
// or address is the question, if it explains a message that contains the question or is contained in it, if it
// explains the word in the question, or if it is the document.
const (
	aWord = 1000 * (1 + 100*iota)
	aTitle
	aMessage
	aRow
	aDocument
)

// question is a question in lower case.
type question struct {
	text, asked string // the question as written, and without fillers
	words       []string
	path        string // set if the question is an address: /guides/nat#media
}

func questionOf(text string) (q question) {
	q.text = strings.ReplaceAll(strings.ToLower(strings.Join(strings.Fields(text), " ")), "[]", "")
	for w := range strings.SplitSeq(q.text, " ") {
		w = strings.Trim(w, ".,:;!?\"`()")
		if w != "" && !slices.Contains(fillers, w) && len(q.words) < 16 {
			q.words = append(q.words, w)
		}
	}
	isKind := func(w string) bool { return slices.Contains(kinds, w) }
	if names := slices.DeleteFunc(slices.Clone(q.words), isKind); len(names) > 0 {
		q.words = names
	}
	q.asked = strings.Join(q.words, " ")
	q.path = "/" + strings.Replace(strings.TrimPrefix(strings.TrimLeft(q.asked, "./"), "docs/"), ".md", "", 1)
	return q
}

// kind says how the part answers the question, with a score like aTitle. It returns 0 if the part is no answer.
func (q question) kind(p Part) int {
	title, isRow := strings.ToLower(p.Title), p.isRow()
	switch same := title == q.asked || title == q.text; {
	case isRow && (same || strings.Contains(title, ".") && strings.HasSuffix(title, "."+q.asked)):
		return aRow
	case same || strings.HasSuffix("/"+strings.ToLower(p.Word())+"#"+p.Anchor, q.path):
		return aTitle
	case isRow && strings.Contains(q.text, " ") && (strings.Contains(title, q.text) ||
		strings.Contains(title, " ") && strings.Contains(q.text, title)):
		return aMessage
	}
	return 0
}

// Find returns the parts that fit a question, best first. First come the answers of the best kind, with the sections
// that their rows name. Then come the other parts that have the most words of the question.
func Find(text string) (found []Part) {
	q, best, most := questionOf(text), aTitle, 1
	for _, p := range All() {
		word := "/" + strings.ToLower(p.Word())
		if q.asked != "" && strings.HasSuffix(word, q.path) {
			p.points, best = aDocument, aDocument
			found = append(found, p)
		}
		for _, part := range p.parts {
			title, has := strings.ToLower(part.Title), 0
			for _, w := range q.words {
				n := strings.Count(part.lower, w)
				has += min(n, 1)
				part.points += min(n, 5) + min(n, 1)*aWord + 10*strings.Count(word, w) + 30*strings.Count(title, w)
			}
			kind := q.kind(part)
			part.points += kind
			if part.points >= aWord {
				found, best, most = append(found, part), max(best, kind), max(most, has)
			}
		}
	}
	var rows strings.Builder
	for i, p := range found {
		found[i].Answer = p.points >= best
		if p.points >= best && p.isRow() {
			rows.WriteString(p.Text)
		}
	}
	for i, p := range found {
		if !p.isRow() && strings.Contains(rows.String(), "[more]("+path.Base(p.Name)+"#"+p.Anchor+")") {
			found[i].Answer, found[i].points = true, p.points%aTitle+aTitle
		}
	}
	found = slices.DeleteFunc(found, func(p Part) bool {
		return !p.Answer && (p.points < most*aWord || 3*most < 2*len(q.words))
	})
	slices.SortStableFunc(found, func(x, y Part) int { return y.points - x.points })
	return found
}

// Words returns the names of the documents, and the single words that the documents explain.
func Words() (words []string) {
	for _, p := range All() {
		words = append(words, p.Word(), path.Base(p.Word()))
		for _, part := range p.parts {
			if part.isRow() && !strings.Contains(part.Title, " ") {
				words = append(words, part.Title)
			}
		}
	}
	return words
}

// markdown aligns table cells with an attribute, because the page's policy makes browsers refuse styles.
var markdown = sync.OnceValue(func() goldmark.Markdown {
	return goldmark.New(goldmark.WithParserOptions(parser.WithAutoHeadingID()), goldmark.WithExtensions(
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))))
})

// anchors gives headings their anchors.
type anchors struct{}

func (anchors) Generate(title []byte, _ ast.NodeKind) []byte {
	return []byte(anchor(inline(string(title))))
}
func (anchors) Put([]byte) {}

// HTML renders the part for a browser that shows its document, or a document beside it. Links lead to the same
// documents as in the repository. Images, and links to other places, become text. Raw HTML is left out.
func (p Part) HTML() template.HTML {
	source := relink(p.Text, func(whole, text, to string) string {
		file, _, _ := strings.Cut(to, "#")
		_, err := fs.Stat(flowbridge.Documents, path.Join(path.Dir(p.Name), file))
		if whole[0] != '!' && (strings.Contains(to, "://") || err == nil && path.Ext(file) == ".md") {
			return whole
		}
		return text
	})
	var out bytes.Buffer
	_ = markdown().Convert([]byte(source), &out, parser.WithContext(parser.NewContext(parser.WithIDs(anchors{}))))
	return template.HTML(out.String()) //nolint:gosec // the program's own, without raw HTML
}

// relink replaces the links and images of a text.
func relink(s string, by func(whole, text, to string) string) string {
	return link.ReplaceAllStringFunc(s, func(s string) string {
		if m := link.FindStringSubmatch(s); s[0] != '`' {
			return by(s, m[1], m[2])
		}
		return s
	})
}

// inline returns a text in one line, without its markup.
func inline(s string) string {
	s = relink(strings.Join(strings.Fields(s), " "), func(_, text, _ string) string { return text })
	return strings.NewReplacer("`", "", "**", "", `\|`, "|").Replace(s)
}

// Plain lays out the part for a terminal. width is in characters. After a link it adds the name of the linked
// document in help.
func (p Part) Plain(width int) string {
	text := relink(p.Text, func(_, text, to string) string {
		if strings.Contains(to, text) {
			return text
		}
		return text + " (" + to + ")"
	})
	return block.ReplaceAllStringFunc(text, func(s string) string {
		m := block.FindStringSubmatch(s)
		switch {
		case s[0] == '|':
			return table(s, width)
		case m[2] != "":
			return wrap(m[1], inline(m[2]), width)
		}
		return s
	})
}

// wrap wraps words into lines. The first line starts with the mark, and the others are indented by its width.
func wrap(mark, words string, width int) string {
	text, used := mark, len(mark)
	for word := range strings.FieldsSeq(words) {
		n := utf8.RuneCountInString(word) + 1
		if used+n > width+1 && used > len(mark) {
			text, used = text[:len(text)-1]+"\n"+strings.Repeat(" ", len(mark)), len(mark)
		}
		text, used = text+word+" ", used+n
	}
	return text[:len(text)-1] + "\n"
}

// table lays out a table in columns, or row by row if the columns don't fit.
func table(s string, width int) string {
	var columns, rows strings.Builder
	t := tabwriter.NewWriter(&columns, 0, 0, 2, ' ', 0)
	var labels []string
	for line := range strings.Lines(strings.ReplaceAll(s, `\|`, "\x00")) {
		if strings.Trim(line, "|-:\n") == "" {
			continue // the line between the head and the rows
		}
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		for i, cell := range cells {
			cells[i] = strings.ReplaceAll(inline(cell), "\x00", "|")
			if cells[i] != "" && labels != nil {
				rows.WriteString(wrap(strings.Repeat("    ", min(i, 1)), labels[min(i, len(labels)-1)]+cells[i], width))
			}
		}
		_, _ = t.Write([]byte(strings.Join(cells, "\t") + "\n")) // writing to a Builder never fails
		for i := 0; i < len(cells) && len(labels) == i; i++ {
			labels = append(labels, strings.TrimPrefix(cells[i]+": ", ": "))
		}
		labels[0] = ""
	}
	_ = t.Flush()
	for line := range strings.Lines(columns.String()) {
		if utf8.RuneCountInString(line) > width+1 { // 1 for its newline
			return rows.String()
		}
	}
	return columns.String()
}
