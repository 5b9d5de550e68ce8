package main

import (
	"strings"
	"testing"
)

func TestSimulateWhatsappBadUsage(t *testing.T) {
	good := []string{"--server", "127.0.0.1:1", "--called", demoCalled}
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"nothing":      {nil, "--server is needed"},
		"no called":    {good[:2], "--called is needed"},
		"server":       {append(good, "--server", "sip.example.com:x"), "host and port"},
		"send to":      {append(good, "--send-to", "127.0.0.1:x"), "--send-to"},
		"called":       {append(good, "--called", "5075785607"), "write it like +15075785607"},
		"from":         {append(good, "--from", "anna"), "write it like +15550100001"},
		"media":        {append(good, "--media", "zrtp"), "ice or sdes"},
		"seconds":      {append(good, "--seconds", "0"), "1 to 3600"},
		"header":       {append(good, "--header", "X"), "Name: value"},
		"no password":  {append(good, "--password-file", "/none"), "--password-file"},
		"no authority": {append(good, "--ca", "/none"), "--ca"},
		"listen":       {append(good, "--listen", "x"), "--listen"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := run(t, append([]string{"simulate", "whatsapp"}, tt.args...)...); code != 2 || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d; want 2 and %q:\n%s", code, tt.says, out)
			}
		})
	}
}
