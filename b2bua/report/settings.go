package report

import (
	"fmt"
	"reflect"

	"flowbridge/config"
)

// Settings are settings of the route: those fields of config.Route that have the same names, as text. A field here is
// all that explain needs to show a setting whose text is a word, as its default is.
type Settings struct {
	Ringback string `json:"ringback"` // tone or sound
	Hold     string `json:"hold"`     // tone or sound, or none
	Record   string `json:"record"`   // off, always, on_demand
	MaskDTMF string `json:"mask_dtmf"`
}

// settingsOf returns the settings of a route.
func settingsOf(r *config.Route) (s Settings) {
	of, all := reflect.ValueOf(r).Elem(), reflect.ValueOf(&s).Elem()
	for i := range all.NumField() {
		all.Field(i).SetString(fmt.Sprint(of.FieldByName(all.Type().Field(i).Name)))
	}
	return s
}

// Unusual calls show with the key and the value of each setting that does not have its default.
func (s *Settings) Unusual(show func(key, value string)) {
	route, all := reflect.TypeFor[config.Route](), reflect.ValueOf(s).Elem()
	for i := range all.NumField() {
		f, _ := route.FieldByName(all.Type().Field(i).Name)
		if value := all.Field(i).String(); value != f.Tag.Get("default") {
			show(f.Tag.Get("key"), value)
		}
	}
}
