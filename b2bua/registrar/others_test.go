package registrar

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/store/record"
)

// node is one node of a fleet of two. Each node finds the bindings of the other.
type node struct {
	*Registrar

	name  string
	kept  []record.Binding // this node's bindings, as the other node finds them
	other *node
	err   error
}

func (n *node) KeepBindings(_ string, all []record.Binding) { n.kept = all }

func (n *node) Bindings(context.Context, string) (all []record.Binding, err error) {
	for _, b := range n.other.kept {
		b.Node = n.other.name
		all = append(all, b)
	}
	return all, n.err
}

// found returns the Contacts that this node finds at the other one.
func (n *node) found(t *testing.T) string {
	t.Helper()
	all, err := n.Elsewhere(t.Context(), "trunk phone")
	if err != nil {
		t.Error(err)
	}
	var found []string
	for _, b := range all {
		if b.Node != n.other.name {
			t.Errorf("%s finds %+v", n.name, b)
		}
		found = append(found, b.Contact)
	}
	return strings.Join(found, " ")
}

// If a device registers at two nodes in turn, its last REGISTER counts at both, even if it removes a binding that the
// other node accepted. CSeq shows which is the last, because a user agent numbers its REGISTERs (RFC 3261 section
// 10.3).
func TestElsewhere(t *testing.T) {
	const a, again = "Contact: <sip:a@10.0.0.5>\n", "Contact: <sip:A@10.0.0.5>\n"
	const device, moved = "Contact: <sip:d@10.0.0.5>;+sip.instance=\"<urn:uuid:1>\"\n", "Contact: <sip:d@10.0.0.6>;+sip.instance=\"<urn:uuid:1>\"\n"
	type step struct {
		at, callID string
		seq        int
		lines      string
	}
	for name, tt := range map[string]struct {
		steps      []step
		one, other string // bindings that each node finds at the other
	}{
		"one":                   {[]step{{"one", "x", 1, a}}, "", "sip:a@10.0.0.5"},
		"moved":                 {[]step{{"one", "x", 1, a}, {"other", "x", 2, a}}, "sip:a@10.0.0.5", ""},
		"moved, and back":       {[]step{{"one", "x", 1, a}, {"other", "x", 2, a}, {"one", "x", 3, a}}, "", "sip:a@10.0.0.5"},
		"an old one comes late": {[]step{{"one", "x", 2, a}, {"other", "x", 1, a}}, "", "sip:a@10.0.0.5"},
		"after its start":       {[]step{{"one", "x", 9, a}, {"other", "y", 1, a}}, "sip:a@10.0.0.5", ""},
		"device":                {[]step{{"one", "x", 1, device}, {"other", "y", 1, moved}}, "sip:d@10.0.0.6", ""},
		"two":                   {[]step{{"one", "x", 1, a}, {"other", "y", 1, device}}, "sip:d@10.0.0.5", "sip:a@10.0.0.5"},
		"others stay":           {[]step{{"one", "x", 1, "Contact: <sip:a@10.0.0.5>, <sip:b@10.0.0.5>;q=0.5\n"}, {"other", "x", 2, a}}, "sip:a@10.0.0.5", "sip:b@10.0.0.5"},
		"removed elsewhere":     {[]step{{"one", "x", 1, a}, {"other", "x", 2, a + "Expires: 0\n"}}, "", ""},
		"all removed":           {[]step{{"one", "x", 1, a}, {"one", "y", 1, device}, {"other", "z", 1, "Contact: *\nExpires: 0\n"}}, "", ""},
		"removed, and again":    {[]step{{"one", "x", 1, a}, {"other", "x", 2, a + "Expires: 0\n"}, {"one", "x", 3, a}}, "", "sip:a@10.0.0.5"},
		"removed before":        {[]step{{"other", "x", 1, "Contact: *\nExpires: 0\n"}, {"one", "x", 2, a}}, "", "sip:a@10.0.0.5"},
		"another user":          {[]step{{"one", "x", 1, a}, {"other", "x", 2, again}}, "sip:A@10.0.0.5", "sip:a@10.0.0.5"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := map[string]*node{"one": {name: "one"}, "other": {name: "other"}}
				nodes["one"].other, nodes["other"].other = nodes["other"], nodes["one"]
				for _, n := range nodes {
					n.Registrar = New(nil, nil, n)
				}
				for _, s := range tt.steps {
					if got := nodes[s.at].Register(time.Now(), register(t, s.callID, s.seq, s.lines)); got.Code != 200 && got.Code != 0 {
						t.Fatalf("%+v is answered by %+v", s, got)
					}
					time.Sleep(time.Second)
				}
				if one, other := nodes["one"].found(t), nodes["other"].found(t); one != tt.one || other != tt.other {
					t.Errorf("they find %q and %q; want %q and %q", one, other, tt.one, tt.other)
				}
				time.Sleep(maxExpires)
				for _, n := range nodes {
					if got := n.found(t); got != "" {
						t.Errorf("%s finds %q after its end", n.name, got)
					}
				}
			})
		})
	}
}

// The number of bindings from other nodes is bounded, and so is the number of stored removals.
func TestElsewhereIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{name: "one", other: &node{name: "other"}}
		n.Registrar = New(nil, nil, n)
		for range 5 * maxMerged {
			n.Register(time.Now(), register(t, "x", 1, "Contact: *\nExpires: 0\n"))
			time.Sleep(time.Second / 50)
		}
		if len(n.kept) != mostContacts {
			t.Errorf("%d that were removed are kept", len(n.kept))
		}
		n.other.kept = make([]record.Binding, 10_000)
		for i := range n.other.kept {
			n.other.kept[i] = record.Binding{Contact: "sip:" + string(rune('a'+i)) + "@h", Expires: time.Now().Add(time.Hour)}
		}
		if all, _ := n.Elsewhere(t.Context(), "trunk phone"); len(all) > maxMerged {
			t.Errorf("%d found", len(all))
		}
		time.Sleep(maxExpires)
		n.Register(time.Now(), register(t, "y", 1, "Contact: <sip:a@10.0.0.5>\n"))
		if len(n.kept) != 1 || len(n.recentlyRemoved) != 0 {
			t.Errorf("kept is %+v", n.kept)
		}
		if all, err := New(nil, nil, nil).Elsewhere(t.Context(), "trunk phone"); len(all) > 0 || err != nil {
			t.Errorf("without a fleet: %+v, %v", all, err)
		}
	})
}
