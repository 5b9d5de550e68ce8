package peers

import (
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/config"
)

// filled sets every field of a struct to a value other than zero.
func filled(v reflect.Value) {
	for _, f := range v.Fields() {
		switch f.Interface().(type) {
		case []netip.Prefix:
			f.Set(reflect.ValueOf([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}))
		case []*regexp.Regexp:
			f.Set(reflect.ValueOf([]*regexp.Regexp{regexp.MustCompile("x")}))
		case netip.Addr:
			f.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.1")))
		default:
			switch f.Kind() { //nolint:exhaustive // the kinds of the configuration
			case reflect.String:
				f.SetString("x")
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Int, reflect.Int64:
				f.SetInt(7)
			case reflect.Uint16:
				f.SetUint(7)
			case reflect.Map:
				f.Set(reflect.MakeMap(f.Type()))
			case reflect.Slice:
				f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			case reflect.Pointer:
				f.Set(reflect.New(f.Type().Elem()))
			case reflect.Struct:
				filled(f)
			}
		}
	}
}

// fields returns the names of a struct's fields, including those of embedded structs, and
// the names of the fields that are zero.
func fields(v reflect.Value) (all, zero []string) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Anonymous {
			continue
		}
		all = append(all, f.Name)
		if v.FieldByIndex(f.Index).IsZero() {
			zero = append(zero, f.Name)
		}
	}
	return all, zero
}

// Every key of the configuration must reach the calls, or be listed here with a reason. So
// no new key can be forgotten.
func TestEveryKeyReachesCalls(t *testing.T) {
	var trunk config.Trunk
	var target config.Target
	filled(reflect.ValueOf(&trunk).Elem())
	filled(reflect.ValueOf(&target).Elem())
	bot := []string{"URL", "Parameters", "Token", "HasToken", "Twilio"} // the gateway of bots has them: a target's Preparer
	for _, tt := range []struct {
		name string
		from any
		made []any
		// other lists keys that calls do not need or that have another name there; browser is there as certificates
		other []string
	}{
		{"a trunk", trunk, []any{*callerOfTrunk(&trunk), *dialOfTrunk(&trunk)}, []string{"DialAuth", "Browser"}},
		{"a target", target, []any{*callerOfTrunk(target.Caller()), *DialOf(&target)}, append(bot, "CallAuth", "Region", "Account", "Sample")},
	} {
		want, zero := fields(reflect.ValueOf(tt.from))
		if len(zero) > 0 {
			t.Fatalf("%s is not filled: %v", tt.name, zero)
		}
		var set []string
		for _, m := range tt.made {
			all, zero := fields(reflect.ValueOf(m))
			set = append(set, slices.DeleteFunc(all, func(n string) bool { return slices.Contains(zero, n) })...)
		}
		for _, name := range want {
			has := slices.ContainsFunc(set, func(n string) bool { return strings.EqualFold(n, name) })
			if !has && !slices.Contains(tt.other, name) {
				t.Errorf("%s: its %s reaches no call", tt.name, name)
			}
		}
	}
}

// For a target that calls, and for a trunk that is called, some settings keep their defaults.
// All other settings come from the party's own section.
func TestOtherRoleKeepsDefaults(t *testing.T) {
	var trunk config.Trunk
	var target config.Target
	filled(reflect.ValueOf(&trunk).Elem())
	filled(reflect.ValueOf(&target).Elem())
	for name, tt := range map[string]struct {
		made any
		want []string
	}{
		"a target that calls":     {*callerOfTrunk(target.Caller()), []string{"Certificates", "Match", "Country", "Limits", "Originate", "Register", "Identity"}},
		"a trunk that is called":  {*dialOfTrunk(&trunk), []string{"TransferNumbers", "TransferHosts", "Headers", "Prepare", "Proxy"}}, // no proxy is filled in
		"a trunk that calls":      {*callerOfTrunk(&trunk), nil},
		"a target that is called": {*DialOf(&target), []string{"Registered", "Proxy"}},
	} {
		if _, zero := fields(reflect.ValueOf(tt.made)); !slices.Equal(zero, tt.want) {
			t.Errorf("%s: %v are not set; want %v", name, zero, tt.want)
		}
	}
	if c := callerOfTrunk(target.Caller()); !c.Trusted || c.MaxCalls != 5000 || c.MaxCPS != 2000 || c.MaxDuration != 4*time.Hour || c.NAT != config.NATAuto || c.auth != target.CallAuth {
		t.Errorf("a target that calls: %+v", c)
	}
	if d := dialOfTrunk(&trunk); d.Kind != config.KindSIP || d.Transfer != config.TransferRefuse || d.Auth != trunk.DialAuth || d.Overflow != config.OverflowTrim {
		t.Errorf("a trunk that is called: %+v", d)
	}
}
