package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"flowbridge/config/template"
	"flowbridge/media/audio"
)

// key is one key of a section. The tag of a struct field declares it, and the field's comment describes it. The reader,
// the defaults and the schema are all derived from these declarations.
type key struct {
	field     reflect.StructField
	name      string   // tag key; a Secret with the tag env has two keys, name_file and name_env
	def       string   // tag default: the default in the form of the file; elements of a list are separated by ", "
	is        string   // tag is: name of the value's kind, if the field's type does not determine it
	enum      []string // tag enum: the allowed values
	low, high int      // tags min and max of an integer
	use       string   // tag use: which values a template may refer to
	required  string   // tag required: for a mandatory key, an example of its value
	filled    bool     // tag filled: the list must not be empty
	knob      bool     // tag knob: hardly anybody sets it, so the reference has it apart
	later     bool     // tag later: the section's check reads the key, because the key depends on others
}

// typeConfig is the section that contains all others.
var typeConfig = reflect.TypeFor[Config]()

func isList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8
}

// elementType returns the type of a list's elements, or the type itself.
func elementType(t reflect.Type) reflect.Type {
	if isList(t) {
		return t.Elem()
	}
	return t
}

// keysOf returns the keys of a section, in the order of its struct.
func keysOf(t reflect.Type) []key {
	var all []key
	for f := range t.Fields() {
		name, ok := f.Tag.Lookup("key")
		if !ok {
			continue
		}
		k := key{
			field: f, name: name, def: f.Tag.Get("default"), is: f.Tag.Get("is"), enum: strings.Fields(f.Tag.Get("enum")),
			use: f.Tag.Get("use"), required: f.Tag.Get("required"),
		}
		k.low, _ = strconv.Atoi(f.Tag.Get("min"))
		k.high, _ = strconv.Atoi(f.Tag.Get("max"))
		_, k.filled = f.Tag.Lookup("filled")
		_, k.knob = f.Tag.Lookup("knob")
		_, k.later = f.Tag.Lookup("later")
		all = append(all, k)
	}
	return all
}

// names returns the key's names in the file.
func (k key) names() []string {
	if _, ok := k.field.Tag.Lookup("env"); ok {
		return []string{k.name + "_file", k.name + "_env"}
	}
	return []string{k.name}
}

// sectionType returns the struct that declares the keys of a section; ok is false if t is not a section.
func sectionType(t reflect.Type) (declared reflect.Type, ok bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct && len(keysOf(t)) > 0
}

// kind returns the kind of the key's value, or of each element of its list.
func (k key) kind() kind {
	t := elementType(k.field.Type)
	switch {
	case k.is != "":
		return kinds[k.is]
	case len(k.enum) > 0:
		return words(false, "is not known here", "", k.enum...)
	case t.Kind() == reflect.Int || t.Kind() == reflect.Uint16:
		return integer(k.low, k.high)
	}
	return kinds[t.String()]
}

// read fills the struct dst from the section's keys and their defaults. Then dst checks rules about more than one key.
func (s section) read(dst reflect.Value) {
	for _, k := range s.keys {
		if k.required != "" && len(k.names()) == 1 {
			s.require(k.name, k.required)
		}
		if at := dst.FieldByIndex(k.field.Index); !k.later && k.field.IsExported() {
			s.fill(k, at)
		} else if !k.later {
			s.fill(k, reflect.New(at.Type()).Elem())
		}
	}
	if c, ok := reflect.TypeAssert[interface{ check(s section) }](dst.Addr()); ok && !s.broken {
		c.check(s)
	}
}

// fill reads the value of one key.
func (s section) fill(k key, dst reflect.Value) {
	switch p := dst.Addr().Interface().(type) {
	case *Secret:
		if len(k.names()) > 1 {
			*p = s.secret(k.name)
		} else {
			*p = s.secretFile(k.name)
		}
	case *json.RawMessage:
		*p = s.json(k.name)
	case **jsonBody:
		*p = s.body(k)
	case *[]Member:
		*p = s.members(k.name)
	case *map[string]*audio.Sound:
		*p = s.sounds(k.name)
	case **Table:
		*p = s.table(k.name)
	case **template.Template:
		*p = s.template(k)
	case *[]*template.Template:
		*p = s.templates(k)
	case *[]variable:
		*p = s.variables(k)
	case *[]Expectation:
		*p = s.expectations(k.name)
	case *[]Pass:
		*p = s.passes(k)
	case *Unaccepted:
		*p = s.unaccepted(k)
	default:
		s.fillPlain(k, dst)
	}
}

func (s section) fillPlain(k key, dst reflect.Value) {
	t, list := elementType(dst.Type()), isList(dst.Type())
	declared, nested := sectionType(t)
	switch {
	case nested && list:
		if k.filled {
			s.notEmpty(k.name)
		}
		for _, v := range s.list(k.name) {
			at := reflect.New(declared).Elem()
			v.section(declared).read(at)
			dst.Set(reflect.Append(dst, at))
		}
	case nested:
		sub, at := s.sub(k, declared), reflect.New(declared)
		w, choosy := reflect.TypeAssert[interface{ wanted(s section) bool }](at)
		if sub.absent && t.Kind() == reflect.Pointer || choosy && !w.wanted(sub) {
			return
		}
		sub.read(at.Elem())
		if t.Kind() != reflect.Pointer {
			at = at.Elem()
		}
		dst.Set(at.Convert(t))
	case list:
		for _, got := range s.elementsOf(k) {
			dst.Set(reflect.Append(dst, reflect.ValueOf(got).Convert(t)))
		}
	default:
		if got := reflect.ValueOf(one(s, k.name, k.kind().parse(s))); got.IsValid() {
			dst.Set(got.Convert(t))
		}
	}
}

// elementsOf reads a list of single values, or its default.
func (s section) elementsOf(k key) (all []any) {
	parse := k.kind().parse(s)
	if s.has(k.name) {
		if k.filled {
			s.notEmpty(k.name)
		}
		return each(s, k.name, parse)
	}
	for text := range strings.SplitSeq(k.def, ", ") {
		if got, c := parse(text); k.def != "" && c.none() {
			all = append(all, got)
		}
	}
	return all
}
