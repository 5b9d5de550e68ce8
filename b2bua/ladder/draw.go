package ladder

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The widths of a drawing, in characters.
const (
	timeWidth = 11
	laneMin   = 12
	laneBest  = 46
	// DefaultWidth is the width of a drawing if the terminal's width is unknown.
	DefaultWidth = 120
)

// Draw draws the ladder for a terminal with a width in characters; 0 means DefaultWidth.
// The lanes are side by side if there is room. Otherwise each line names its lanes.
func (l *Ladder) Draw(w io.Writer, width int) error {
	if width <= 0 {
		width = DefaultWidth
	}
	var b strings.Builder
	d := drawing{b: &b, l: l, order: l.order()}
	d.gap = min((width-timeWidth-1)/max(len(d.order)-1, 1), laneBest)
	d.header()
	for i := range l.Messages {
		d.message(&l.Messages[i], width)
	}
	if l.Dropped > 0 {
		fmt.Fprintf(&b, "%d messages are left out: the call had more than are kept\n", l.Dropped)
	}
	if l.Talk != nil {
		b.WriteByte('\n')
		_ = l.DrawTalk(&b, width) // writing to a builder never fails
	}
	if l.Live {
		b.WriteString("the call is live\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Texts writes the full text of each message.
func (l *Ladder) Texts(w io.Writer) error {
	var b strings.Builder
	for i := range l.Messages {
		m := &l.Messages[i]
		fmt.Fprintf(&b, "%10.1f  %s  %s → %s", m.MS, m.At, l.name(m.From), l.name(m.To))
		if m.Transport != "" {
			from, to := m.Local, m.Remote
			if m.From != laneSelf {
				from, to = to, from
			}
			fmt.Fprintf(&b, "  %s %s → %s", harmless(m.Transport, false), harmless(from, false), harmless(to, false))
		}
		b.WriteString("\n")
		text := harmless(strings.ReplaceAll(m.Text, "\r\n", "\n"), true)
		if m.Kind == Decision.String() {
			text = harmless(m.Summary, false)
		}
		for line := range strings.Lines(text) {
			b.WriteString("            " + strings.TrimSuffix(line, "\n") + "\n")
		}
		if m.Cut > 0 {
			fmt.Fprintf(&b, "            … %d bytes more\n", m.Cut)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// order returns the lanes from left to right: callers, ourselves, then the other lanes with messages.
func (l *Ladder) order() []int {
	said := map[int]bool{laneSelf: true}
	for i := range l.Messages {
		said[l.Messages[i].From], said[l.Messages[i].To] = true, true
	}
	var order []int
	for i := range l.Lanes {
		if said[i] || i == laneCaller {
			order = append(order, i)
		}
	}
	return order
}

func (l *Ladder) name(lane int) string {
	if lane < 0 || lane >= len(l.Lanes) {
		return "?"
	}
	return harmless(l.Lanes[lane].Name, false)
}

type drawing struct {
	b     *strings.Builder
	l     *Ladder
	order []int
	gap   int // between two lanes, in characters
}

// beside reports whether there is room for the lanes side by side.
func (d *drawing) beside() bool { return d.gap >= laneMin }

// place returns the column of a lane.
func (d *drawing) place(lane int) int { return max(0, slices.Index(d.order, lane)) }

func (d *drawing) header() {
	fmt.Fprintf(d.b, "%*s  ", timeWidth-2, "ms")
	if !d.beside() {
		d.b.WriteString("\n")
		return
	}
	for _, o := range d.order {
		d.b.WriteString(padded(d.l.name(o), d.gap))
	}
	d.b.WriteString("\n")
}

func (d *drawing) message(m *Message, width int) {
	fmt.Fprintf(d.b, "%*.1f  ", timeWidth-2, m.MS)
	text := harmless(m.Summary, false)
	if m.Kind == HTTP.String() && m.Status > 0 {
		text = "HTTP " + text
	}
	if m.Retransmission {
		text = "(again) " + text // in front, so that a narrow lane does not cut it off
	}
	switch from, to := d.place(m.From), d.place(m.To); {
	case m.Kind == Decision.String():
		d.decision(text, width)
	case !d.beside():
		fmt.Fprintf(d.b, "%s → %s  %s\n", d.l.name(m.From), d.l.name(m.To), text)
	case from == to:
		d.b.WriteString(text + "\n")
	default:
		d.arrow(text, from, to)
		if x := xei(m); x != "" {
			fmt.Fprintf(d.b, "%*s  %*s|   %s\n", timeWidth-2, "", min(from, to)*d.gap, "", x)
		}
	}
}

// xei returns the header of an INVITE that identifies the call to a platform, or "" if there is none.
func xei(m *Message) string {
	if m.Method != "INVITE" || m.Status != 0 {
		return ""
	}
	for line := range strings.Lines(m.Text) {
		if len(line) > 5 && strings.EqualFold(line[:5], "x-ei:") {
			return harmless(strings.TrimSpace(line), false)
		}
	}
	return ""
}

// decision writes a sentence over as many lines as it needs.
func (d *drawing) decision(text string, width int) {
	room := max(width-timeWidth-3, 20)
	for first := true; text != ""; first = false {
		line := text
		if utf8.RuneCountInString(line) > room {
			line = string([]rune(text)[:room])
			if i := strings.LastIndexByte(line, ' '); i > room/2 {
				line = line[:i]
			}
		}
		text = strings.TrimPrefix(text[len(line):], " ")
		if !first {
			fmt.Fprintf(d.b, "%*s  ", timeWidth-2, "")
		}
		d.b.WriteString("* " + line + "\n")
	}
}

// arrow draws a message between two columns.
func (d *drawing) arrow(text string, from, to int) {
	left, right := min(from, to), max(from, to)
	for i := range d.order {
		switch {
		case i == left:
			d.b.WriteString("|" + arrow(text, (right-left)*d.gap-1, to > from))
		case i > left && i < right:
		case i == len(d.order)-1:
			d.b.WriteString("|")
		default:
			d.b.WriteString("|" + strings.Repeat(" ", d.gap-1))
		}
	}
	d.b.WriteString("\n")
}

// arrow returns an arrow with a text on it, exactly width wide.
func arrow(text string, width int, right bool) string {
	room := width - 6
	runes := []rune(text)
	if len(runes) > room {
		runes = append(runes[:room-1], '…')
	}
	pad := strings.Repeat("-", room-len(runes))
	if right {
		return "- " + string(runes) + " " + pad + "-> "
	}
	return " <-" + pad + " " + string(runes) + " -"
}

// padded returns a name, exactly width wide.
func padded(name string, width int) string {
	runes := []rune(name)
	if len(runes) >= width {
		return string(runes[:width-2]) + "… "
	}
	return name + strings.Repeat(" ", width-len(runes))
}
