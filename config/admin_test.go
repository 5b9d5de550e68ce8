package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Requests without a token may do everything while there is none, and nothing once there is one, unless the file says so.
func TestAdminTokens(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	anna, bob := write("anna", "aaa"), write("bob", "bbb")
	tokens := fmt.Sprintf("tokens: [{name: anna, file: %q, rights: operate}, {name: bob, file: %q, rights: read}]", anna, bob)
	for _, tt := range []struct{ admin, want string }{
		{"{}", "127.0.0.1:8080 0 operate"},
		{"{local: read}", "127.0.0.1:8080 0 read"},
		{fmt.Sprintf("{token_file: %q}", anna), "127.0.0.1:8080 0 none"},
		{"{" + tokens + "}", "127.0.0.1:8080 2 none"},
		{"{local: operate, " + tokens + "}", "127.0.0.1:8080 2 operate"},
		{`{listen: "0.0.0.0:8080", ` + tokens + "}", "0.0.0.0:8080 2 none"},
		{"{listen: unix:///run/flowbridge/admin.sock}", "unix:///run/flowbridge/admin.sock 0 operate"},
	} {
		c, err := Parse("f.yaml", []byte("admin: "+tt.admin), testEnv)
		if err != nil {
			t.Errorf("%s: %v", tt.admin, err)
			continue
		}
		if got := fmt.Sprintf("%v %d %s", c.Admin.Listen, len(c.Admin.Tokens), c.Admin.Local); got != tt.want {
			t.Errorf("%s: got %s; want %s", tt.admin, got, tt.want)
		}
	}
	c, err := Parse("f.yaml", []byte("admin: {"+tokens+"}"), testEnv)
	if err != nil || c.Admin.Tokens[0].Name != "anna" || c.Admin.Tokens[0].Token.Reveal() != "aaa" || c.Admin.Tokens[1].Rights != RightsRead {
		t.Errorf("%v: %+v", err, c)
	}
	if _, err := Parse("f.yaml", fmt.Appendf(nil, "admin: {token_file: %q, %s}", bob, tokens), testEnv); err == nil {
		t.Error("two names of one token are not told apart, and nobody says so")
	}
}
