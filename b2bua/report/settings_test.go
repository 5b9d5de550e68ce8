package report

import (
	"reflect"
	"slices"
	"testing"

	"flowbridge/config"
)

// TestSettings: each setting is one of a route, by the same name in Go, in the file and in JSON, and is shown if it does
// not have its default.
func TestSettings(t *testing.T) {
	route, all := reflect.TypeFor[config.Route](), reflect.TypeFor[Settings]()
	for f := range all.Fields() {
		of, ok := route.FieldByName(f.Name)
		if key := of.Tag.Get("key"); !ok || key != f.Tag.Get("json") || of.Tag.Get("default") == "" {
			t.Errorf("%s: a route has %q, with the key %q", f.Name, of.Name, key)
		}
	}
	s := settingsOf(&config.Route{Ringback: "eu", Hold: config.HoldNone, Record: config.WantedAlways, MaskDTMF: config.WantedOff})
	if want := (Settings{"eu", "none", "always", "off"}); s != want {
		t.Errorf("%+v; want %+v", s, want)
	}
	var shown []string
	s.Unusual(func(key, value string) { shown = append(shown, key+": "+value) })
	if want := []string{"ringback: eu", "record: always"}; !slices.Equal(shown, want) {
		t.Errorf("shows %q; want %q", shown, want)
	}
}
