package outbound

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config/template"
)

// Diversion returns the number that the call was diverted from, from the topmost
// Diversion (RFC 5806), or else from History-Info. It returns "" if the number is unknown
// or private.
func Diversion(invite *sip.Request, country string) string {
	all := message.Values(invite, "diversion")
	if len(all) == 0 {
		return diverted(message.Values(invite, "history-info"), country)
	}
	p, _, ok := message.ParseParty(all[0], country)
	if !ok || message.NamesNobody(p) {
		return ""
	}
	return p.Number
}

// historyEntry is one hi-entry of History-Info (RFC 7044 section 5).
type historyEntry struct {
	party template.Party
	index string
	// from is the entry that this entry was made from: with mp that entry named another user (a
	// diversion), with rc and np the same user.
	from     string
	sameUser bool
}

// maxHistory bounds the entries that are read: the first entry is the party that was called first,
// and the last one is this server.
const maxHistory = 64

// diverted returns the number that was called before the present number. It walks from the last
// entry up the index tree until the number changes.
func diverted(history []string, country string) string {
	if len(history) > maxHistory {
		return ""
	}
	var entries []historyEntry
	for _, v := range history {
		e, ok := parseHistoryEntry(v, country)
		if !ok {
			return "" // an entry of the tree is missing
		}
		entries = append(entries, e)
	}
	at := len(entries) - 1
	if at < 0 {
		return ""
	}
	number := entries[at].party.Number
	for range entries {
		up := parentOf(entries, at)
		if up < 0 {
			return ""
		}
		switch p := entries[up].party; {
		case entries[at].sameUser:
			number = p.Number
		case p.Number != number && message.NamesNobody(p):
			return ""
		case p.Number != number:
			return p.Number
		}
		at = up
	}
	return ""
}

// parseHistoryEntry reads a hi-entry. The headers within its URI, such as Reason and
// Privacy, do not belong to the party.
func parseHistoryEntry(value, country string) (historyEntry, bool) {
	p, params, ok := message.ParseParty(withoutEmbedded(value), country)
	if !ok {
		return historyEntry{}, false
	}
	e := historyEntry{party: p, index: message.ParamOf(params, "index")}
	for _, name := range []string{"mp", "rc", "np"} {
		if from := message.ParamOf(params, name); from != "" {
			e.from, e.sameUser = from, name != "mp"
			break
		}
	}
	return e, true
}

// withoutEmbedded removes the headers from the URI of a name-addr. The user part may
// contain a ?, too.
func withoutEmbedded(value string) string {
	before, uri, after := cutURI(value)
	host := strings.IndexByte(uri, '@') + 1
	if i := strings.IndexByte(uri[host:], '?'); i >= 0 {
		uri = uri[:host+i]
	}
	return before + uri + after
}

// embedded returns the headers within the URI of a name-addr, as they came.
func embedded(value string) string {
	_, uri, _ := cutURI(value)
	host := strings.IndexByte(uri, '@') + 1
	_, headers, _ := strings.Cut(uri[host:], "?")
	return headers
}

// entryWithheld reports whether the party in a hi-entry is private (RFC 7044 section 10.1.2).
func entryWithheld(value string) bool {
	for h := range strings.SplitSeq(embedded(value), "&") {
		name, asked, _ := strings.Cut(h, "=")
		if strings.EqualFold(message.Unescape(name), "Privacy") && !strings.EqualFold(message.Unescape(asked), "none") {
			return true
		}
	}
	return false
}

// cutURI splits a name-addr around the URI in its brackets. Without brackets there are
// no embedded headers (RFC 3261 section 20).
func cutURI(value string) (before, uri, after string) {
	begin := 0
	if v := strings.TrimLeft(value, " \t"); strings.HasPrefix(v, `"`) {
		_, after, _ := message.CutQuoted(v)
		begin = len(value) - len(after)
	}
	open := strings.IndexByte(value[begin:], '<')
	if open < 0 {
		return value, "", ""
	}
	open += begin + 1
	end := strings.IndexByte(value[open:], '>')
	if end < 0 {
		return value, "", ""
	}
	return value[:open], value[open : open+end], value[open+end:]
}

// parentOf returns the index of the entry that an entry was made from: the entry that it names, or
// else the entry one level up in its index, or else the entry before it. It returns -1 if there is
// none.
func parentOf(entries []historyEntry, at int) int {
	want := entries[at].from
	if want == "" {
		if i := strings.LastIndexByte(entries[at].index, '.'); i > 0 {
			want = entries[at].index[:i]
		}
	}
	for i, e := range entries {
		if i != at && want != "" && e.index == want {
			return i
		}
	}
	return at - 1
}
