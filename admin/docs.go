package admin

import (
	"bytes"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/time/rate"

	"flowbridge/internal/docs"
)

// docsPolicy is the policy for pages without scripts, with a form that sends its question to this server.
const docsPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// The limits of a question's length, in bytes, and of the number of parts shown.
const maxQuestion, maxFound = 200, 30

// serveDocs serves the documents and their search, in the same way as servePage serves the page. Each document has
// its repository path, so that links between documents work.
func (a *api) serveDocs(mux *router, frame, version string) {
	page := template.Must(template.New("").Parse(frame))
	searches := rate.NewLimiter(10, 20) // a search takes some ms of a processor, which calls need more
	show := a.open(func(w http.ResponseWriter, r *http.Request) {
		question, problem, status := r.URL.Query().Get("q"), "", http.StatusOK
		all, found, title := docs.All(), []docs.Part(nil), "Docs"
		i := slices.IndexFunc(all, func(p docs.Part) bool { return "/"+p.Name == r.URL.Path })
		switch {
		case i >= 0:
			found, title, question = all[i:i+1], all[i].Title, ""
		case r.URL.Path != "/docs/":
			problem, status = "There is no such page", http.StatusNotFound
		case len(question) > maxQuestion:
			problem, status, question = "The question is too long", http.StatusBadRequest, ""
		case question != "":
			if !searches.Allow() {
				w.Header().Set("Retry-After", "1")
				problem, status = "Too many searches at once. Search again", http.StatusServiceUnavailable
			} else if found = docs.Find(question); len(found) == 0 {
				problem = "Nothing found"
			}
		}
		var out bytes.Buffer
		if err := page.Execute(&out, map[string]any{
			"Up": strings.Repeat("../", min(strings.Count(r.URL.Path, "/"), 9)-1), "Version": version, "Title": title,
			"Question": question, "Problem": problem, "Found": found[:min(len(found), maxFound)],
			"First": docs.First(), "All": all, "Page": i >= 0,
		}); err != nil {
			a.Log.Error().Err(err).Msg("answer not encoded")
		}
		a.asset(w, r, status, "docs.html", out.Bytes(), "no-cache", docsPolicy)
	})
	for _, path := range []string{"/docs/", "/README.md", "/ARCHITECTURE.md", "/SECURITY.md"} {
		mux.HandleFunc(path, show)
	}
}
