package admin

import (
	"encoding/json"
	"flag"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"flowbridge/store/record"
)

var update = flag.Bool("update", false, "write the page's files that are made of others")

// The page has the addresses that profiles of platforms know of their own page of a call, by the host that the target's uri names.
// With -update, web/platforms.json is rewritten.
func TestPageKnowsEveryPlatform(t *testing.T) {
	files, err := filepath.Glob("../cmd/flowbridge/profiles/*.yaml")
	must(t, err)
	pages := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		page := regexp.MustCompile(`(?m)^# Call page: (https://.*\{id\}.*)$`).FindStringSubmatch(string(text))
		if page == nil {
			continue
		}
		for _, uri := range regexp.MustCompile(`(?m)^    uri: "sip:[^@]*@([a-z0-9.-]+)`).FindAllStringSubmatch(string(text), -1) {
			pages[uri[1]] = page[1]
		}
	}
	want, err := json.MarshalIndent(pages, "", " ")
	must(t, err)
	want = append(want, '\n')
	if *update {
		must(t, os.WriteFile("web/platforms.json", want, 0o644))
	}
	if got, _ := os.ReadFile("web/platforms.json"); string(got) != string(want) || len(pages) < 2 {
		t.Errorf("web/platforms.json differs from the profiles of %d platforms: go test ./admin -run TestPageKnowsEveryPlatform -update", len(pages))
	}
}

// The page has a sentence for each side that a cause is looked for at. TestGenerated of the root holds causes.json.
func TestPageKnowsEveryCause(t *testing.T) {
	words, err := os.ReadFile("web/words.js")
	must(t, err)
	text, err := os.ReadFile("web/causes.json")
	must(t, err)
	var causes map[string]struct{ Side string }
	must(t, json.Unmarshal(text, &causes))
	for cause, at := range causes {
		if !strings.Contains(string(words), "\n  "+at.Side+": ") {
			t.Errorf("words.js has no sentence for the side %q of %s", at.Side, cause)
		}
	}
}

// The page and the description have the words for problems that records have.
func TestPageKnowsEveryProblem(t *testing.T) {
	words := record.Problems()
	for file, list := range map[string]string{
		"web/finished.js": "const problems = ['" + strings.Join(words, "', '") + "'];",
		"openapi.yaml":    "      enum: [" + strings.Join(words, ", ") + "]\n",
	} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), list) {
			t.Errorf("%s does not have %s: %v", file, list, err)
		}
	}
}

// The page comes to anyone, with a policy that runs no other script than its own; what it asks for is there.
func TestPageIsServed(t *testing.T) {
	opts, _ := staffed()
	h := New(opts)
	res, body := do(t, h, "GET", "/")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Connection") != "close" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	policy := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'; script-src 'self';") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if regexp.MustCompile(`(?i)<script>|<style|style=|\son\w+=|https?://`).MatchString(body) {
		t.Error("index.html has something inline, or from elsewhere")
	}
	if res, body := do(t, h, "GET", "/", "If-None-Match", res.Header.Get("ETag")); res.StatusCode != 304 || body != "" {
		t.Errorf("with its ETag: %d %q", res.StatusCode, body)
	}
	if res, _ := do(t, h, "GET", "/", "Authorization", "Bearer bbb"); res.Header.Get("Connection") != "" {
		t.Error("the connection of a known sender ends")
	}
	if res, _ := do(t, h, "POST", "/"); res.StatusCode != 405 {
		t.Errorf("POST: %d", res.StatusCode)
	}
	assets := regexp.MustCompile(`(?:src|href)="(web/[^"]+)"`).FindAllStringSubmatch(body, -1)
	loaded := map[string]bool{"index.html": true, "docs.html": true, "causes.json": true, "platforms.json": true}
	for _, m := range assets {
		res, text := do(t, h, "GET", "/"+m[1])
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != pageTypes[path.Ext(m[1])] || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", m[1], res.StatusCode, res.Header)
		}
		loaded[path.Base(m[1])] = true
		for _, i := range regexp.MustCompile(`from '([^']+)'`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(body, path.Join(path.Dir(m[1]), i[1])) {
				t.Errorf("%s imports %s, which index.html does not load ahead", m[1], i[1])
			}
		}
		if regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`).MatchString(text) {
			t.Errorf("%s makes markup or code of text", m[1])
		}
	}
	files, _ := pageFiles()
	for name := range files {
		if !loaded[name] {
			t.Errorf("web/%s is not used", name)
		}
	}
}

// A link on another site may open the page, and nothing else.
func TestPageOpensByALink(t *testing.T) {
	opts, _ := fixture()
	h := New(opts)
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for path, want := range map[string]int{"/": 200, "/api/calls": 403, "/api/events": 403, "/healthz": 403} {
		if res, _ := do(t, h, "GET", path, link...); res.StatusCode != want {
			t.Errorf("%s: %d; want %d", path, res.StatusCode, want)
		}
	}
	if res, _ := do(t, h, "GET", "/", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"); res.StatusCode != 403 {
		t.Errorf("in a frame: %d", res.StatusCode)
	}
	if res, _ := do(t, h, "POST", "/", link...); res.StatusCode != 403 {
		t.Errorf("POST: %d", res.StatusCode)
	}
}
