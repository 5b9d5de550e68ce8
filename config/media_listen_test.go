package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMediaListen(t *testing.T) {
	for text, want := range map[string]string{
		"[192.0.2.1, 192.0.2.2]":                     "[{192.0.2.1 invalid IP} {192.0.2.2 invalid IP}]",
		`["10.0.0.5=203.0.113.5", "::1"]`:            "[{10.0.0.5 203.0.113.5} {::1 invalid IP}]",
		`["::ffff:10.0.0.5 = 203.0.113.5", 0.0.0.0]`: "[{10.0.0.5 203.0.113.5} {0.0.0.0 invalid IP}]",
		`["fd00::5=2001:db8::5"]`:                    "[{fd00::5 2001:db8::5}]",
	} {
		cfg, err := Parse("f.yaml", []byte("media: {listen: "+text+"}"), testEnv)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := fmt.Sprint(cfg.Media.Listen); got != want {
			t.Errorf("%s: got %s; want %s", text, got, want)
		}
	}
}

// One address to advertise stands for one address: the others have their own.
func TestAdvertiseForOne(t *testing.T) {
	for text, valid := range map[string]bool{
		`listen: [10.0.0.5], advertise: 203.0.113.5`:                                     true,
		`listen: [10.0.0.5, "fd00::5"], advertise: 203.0.113.5`:                          true,
		`listen: [10.0.0.5, "10.0.0.6=203.0.113.6"], advertise: 203.0.113.5`:             true,
		`listen: [10.0.0.5, 10.0.0.6], advertise: 203.0.113.5`:                           false,
		`listen: [10.0.0.5, 10.0.0.6], advertise: auto`:                                  false,
		`listen: [10.0.0.5, "fd00::5"], advertise: auto`:                                 true,
		`listen: [10.0.0.5], advertise: "stun:stun.example.com"`:                         true,
		`listen: ["10.0.0.5=203.0.113.5", "fd00::5", "fd00::6"], advertise: 2001:db8::5`: false,
	} {
		_, err := Parse("f.yaml", []byte("media: {"+text+"}"), testEnv)
		if valid != (err == nil) || (err != nil && !strings.Contains(err.Error(), "more than one address of listen")) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// The address of a trunk is one of the file, and of the process that is to take
// the file.
func TestReloadKeepsToRunningAddresses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	text := `
media: {listen: [192.0.2.1, 192.0.2.2]}
trunks: [{name: a, sources: [198.51.100.1], media: {address: 192.0.2.2}}]
targets: [{name: t, kind: sip, uri: "sip:1@192.0.2.9"}]
routes: [{targets: [t]}]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	running, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := running.Trunks[0].Media.Address.String(); got != "192.0.2.2" {
		t.Errorf("got %s", got)
	}
	if _, err := Reload(file, running); err != nil {
		t.Error(err)
	}
	running.Media.Listen = running.Media.Listen[:1]
	if _, err := Reload(file, running); err == nil || !strings.Contains(err.Error(), "trunks[0].media.address") ||
		!strings.Contains(err.Error(), "restart it") {
		t.Errorf("got %v", err)
	}
}

// Ports go by pairs that begin with an even one.
func TestMediaCalls(t *testing.T) {
	for _, tt := range []struct {
		low, high uint16
		want      int
	}{
		{10000, 32767, 5692},
		{10000, 10003, 1},
		{10001, 10004, 0},
		{10001, 10005, 1},
		{10000, 10002, 0},
		{1024, 65535, 16128},
		{65535, 65535, 0},
	} {
		if got := (&Media{PortLow: tt.low, PortHigh: tt.high}).Calls(); got != tt.want {
			t.Errorf("%d-%d: %d calls; want %d", tt.low, tt.high, got, tt.want)
		}
	}
}
