package admin

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDocsAreServed: the documents and their search need no token and run no scripts. A question stays text.
func TestDocsAreServed(t *testing.T) {
	opts, _ := staffed()
	h := New(opts)
	for _, tt := range []struct {
		path   string
		status int
		says   string
	}{
		{"/docs/", 200, `<a href="../docs/guides/nat.md">NAT and addresses</a>`},
		{"/docs/", 200, "<dl><dt><a href=\"../README.md\">Getting started</a>"},
		{"/docs/", 200, `<dt><a href="../docs/symptoms.md">By symptom</a>`},
		{"/docs/guides/nat.md", 200, `<h1 id="nat-and-addresses">`},
		{"/docs/causes.md", 200, `<form class="find" role="search" action="../docs/">`},
		{"/README.md", 200, `<link rel="stylesheet" href="web/`},
		{"/docs/?q=no_route", 200, `<td><code>no_route</code></td>`},
		{"/docs/?q=can%27t+write+records", 200, `href="runbook.md#flowbridgerecordsnotwritten"`},
		{"/docs/?q=one-way+audio+after+a+hold", 200, `<td><code>one-way audio</code></td>`},
		{"/docs/?q=xyzzy", 200, "Nothing found"},
		{"/docs/nothing.md", 404, `<a href="../docs/">all pages</a>`},
		{"/docs/../docs.go", 307, ""},
		{"/docs/..%2Fdocs.go", 404, "no such page"},
		{"/docs/%00", 404, "no such page"},
		{"/docs/" + strings.Repeat("a/", 2000), 404, "no such page"},
		{"/docs/?q=" + strings.Repeat("x", 10_000), 400, "too long"},
		{"/docs/?q=%00%ff", 200, "Nothing found"},
		{"/docs/?q=%22%3E%3Cscript%3E", 200, `value="&#34;&gt;&lt;script&gt;"`},
	} {
		res, body := do(t, h, "GET", tt.path)
		if res.StatusCode != tt.status || !strings.Contains(body, tt.says) || len(body) > 200_000 {
			t.Errorf("%.60s: %d, %d bytes; want %d, %s\n%.600s", tt.path, res.StatusCode, len(body), tt.status, tt.says, body)
		}
		if tt.status == 307 {
			continue
		}
		if policy := res.Header.Get("Content-Security-Policy"); policy != docsPolicy || strings.Contains(policy, "script") || res.Header.Get("Connection") != "close" {
			t.Errorf("%.60s: %v", tt.path, res.Header)
		}
		if m := regexp.MustCompile(`<script|<style| style=|<img`).FindString(body); m != "" {
			t.Errorf("%.60s has %s", tt.path, m)
		}
	}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for method, want := range map[string]int{http.MethodHead: 200, http.MethodPost: 405} {
		if res, _ := do(t, h, method, "/docs/runbook.md"); res.StatusCode != want {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
	if res, _ := do(t, h, "GET", "/docs/runbook.md", link...); res.StatusCode != 200 {
		t.Errorf("by a link of an alert: %d", res.StatusCode)
	}
}

// TestSearchesAreBounded: strangers who search take no more than a small part of a processor.
func TestSearchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, _ := staffed()
		h := New(opts)
		for i := range 21 {
			res, _ := do(t, h, "GET", "/docs/?q=no_route")
			if refused := i == 20; (res.StatusCode == 503) != refused || (res.Header.Get("Retry-After") == "1") != refused {
				t.Errorf("search %d: %d, %v", i+1, res.StatusCode, res.Header)
			}
		}
		time.Sleep(time.Second)
		if res, _ := do(t, h, "GET", "/docs/?q=no_route"); res.StatusCode != 200 {
			t.Errorf("a second later: %d", res.StatusCode)
		}
	})
}
