// Package docs has the documents of this version, which are in the program: what they say on a question, for a browser
// as HTML, for a terminal as plain text.
package docs

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"flowbridge"
)

// Part is a part of a document, in Markdown: all of it, a section from a heading to the next one, or the row of a table.
type Part struct {
	Name          string // of the document: docs/guides/nat.md
	Title, Anchor string
	Text          string
	// Answer says that the part explains what is asked for. Other parts only have the words.
	Answer bool

	parts  []Part // of a whole document: its sections and rows
	points int
}

// Word is what a command calls the document: guides/nat.
func (p Part) Word() string { return strings.TrimSuffix(strings.TrimPrefix(p.Name, "docs/"), ".md") }

// About is the first sentence of the part.
func (p Part) About() string {
	_, text, _ := strings.Cut(p.Text, "\n")
	if p.Text[0] == '|' {
		text = p.Text[strings.LastIndex(strings.TrimSpace(p.Text), "\n")+1:]
	}
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n\n")
	text, _, _ = strings.Cut(strings.Trim(inline(text), "| ")+" ", ". ")
	return strings.TrimSpace(text)
}

// explains are the documents whose tables explain what is in their first column.
var explains = []string{"docs/causes.md", "docs/glossary.md", "docs/metrics.md", "docs/runbook.md"}

// The first cell of a row.
var wordCell = regexp.MustCompile("^\\| `?([^|`]+)`? \\|")

// All are the documents.
var All = sync.OnceValue(func() (all []Part) {
	_ = fs.WalkDir(flowbridge.Documents, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, read(name))
		}
		return err // none: they are part of the program
	})
	return all
})

// read takes a document apart.
func read(name string) Part {
	source, _ := flowbridge.Documents.ReadFile(name)
	p := Part{Name: name, Text: string(source)}
	var rows []Part
	at, begin, head, code := 0, 0, "", false
	for line := range strings.Lines(p.Text) {
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		switch {
		case !code && line[0] == '#':
			title := inline(strings.TrimLeft(line, "# "))
			p.parts = append(p.parts, Part{Name: name, Title: title, Anchor: anchor(title)})
			begin = at
		case line[0] != '|':
			head = ""
		case strings.Count(head, "\n") < 2:
			head += line
		case slices.Contains(explains, name) && wordCell.MatchString(line):
			rows = append(rows, Part{
				Name: name, Title: wordCell.FindStringSubmatch(line)[1], Anchor: p.parts[len(p.parts)-1].Anchor, Text: head + line,
			})
		}
		at += len(line)
		p.parts[len(p.parts)-1].Text = p.Text[begin:at]
	}
	p.Title, p.parts = p.parts[0].Title, append(p.parts, rows...)
	return p
}

// anchor is the part of a URL that a heading has at GitHub.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// fillers are words of a question that say nothing of what is asked for.
var fillers = strings.Fields("a about after an and are at be by can do does for from get how i in is it its mean means " +
	"my of on or that the this to was what when where which why with")

// wordsOf are the words of a question that say something, the first ones of many.
func wordsOf(question string) (words []string) {
	for w := range strings.FieldsSeq(question) {
		if w = strings.Trim(w, ".,:;!?\"`()"); w != "" && !slices.Contains(fillers, w) && len(words) < 16 {
			words = append(words, w)
		}
	}
	return words
}

// What a part gets for a word of the question, which is more than for how often and where it has it, and for being an
// answer: because its title is the question, because it explains a message that is in the question or has it in itself,
// because it explains the word that is asked for, and because it is the document that is named.
const (
	aWord = 1000 * (1 + iota*100)
	aTitle
	aMessage
	aRow
	aDocument
)

// Find gives the parts that fit a question, the best ones first: the answers of the best kind, and of the others those
// that have most of the words.
func Find(question string) (found []Part) {
	question = strings.ToLower(strings.Join(strings.Fields(question), " "))
	words := wordsOf(question)
	asked := strings.Join(words, " ")
	name := strings.TrimSuffix(strings.TrimPrefix(asked, "docs/"), ".md")
	best, most := aWord, 0
	for _, p := range All() {
		if asked != "" && strings.HasSuffix("/"+strings.ToLower(p.Word()), "/"+name) {
			p.points, best = aDocument, aDocument
			found = append(found, p)
		}
		for _, part := range p.parts {
			title, text := strings.ToLower(part.Title), strings.ToLower(part.Text)
			has := 0
			for _, w := range words {
				n := strings.Count(text, w)
				has += min(n, 1)
				part.points += min(n, 5)
				if strings.Contains(title, w) {
					part.points += 30
				} else if strings.Contains(p.Word(), w) {
					part.points += 10
				}
			}
			row, kind := text[0] == '|', 0
			switch {
			case row && (title == asked || title == question):
				kind = aRow
			case title == asked || title == question:
				kind = aTitle
			case row && strings.Contains(question, " ") && (strings.Contains(title, question) ||
				strings.Contains(title, " ") && strings.Contains(question, title)):
				kind = aMessage
			}
			best, most = max(best, kind), max(most, has)
			if part.points += kind + has*aWord; part.points > 0 {
				found = append(found, part)
			}
		}
	}
	for i := range found {
		found[i].Answer = found[i].points >= max(best, aTitle)
	}
	found = slices.DeleteFunc(found, func(p Part) bool {
		return !p.Answer && (p.points < most*aWord || 3*most < 2*len(words))
	})
	slices.SortStableFunc(found, func(x, y Part) int { return y.points - x.points })
	return found
}

// Words are what the documents are called, and the single words that they explain.
func Words() (words []string) {
	for _, p := range All() {
		words = append(words, p.Word(), path.Base(p.Word()))
		for _, part := range p.parts {
			if part.Text[0] == '|' && !strings.Contains(part.Title, " ") {
				words = append(words, part.Title)
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}
