package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// web holds the files of the page, which need no build step.
//
//go:embed web
var web embed.FS

// pagePolicy is the page's Content-Security-Policy. It allows only the page's own scripts and styles, and requests to
// this API. Scripts can't turn text into markup.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// pageTypes are the types of the page's files.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json; charset=utf-8", ".svg": "image/svg+xml",
}

// servePage serves the page to anyone: it contains no data, and asks the API with the operator's token. The files
// beside index.html have a hash of all files in their path, so browsers keep them until they change.
func (a *api) servePage(mux *router) {
	files, version := pageFiles()
	index := bytes.ReplaceAll(files["index.html"], []byte("@VERSION@"), []byte(version))
	a.serveDocs(mux, string(files["docs.html"]), version)
	delete(files, "index.html")
	delete(files, "docs.html")
	mux.HandleFunc("/{$}", a.open(func(w http.ResponseWriter, r *http.Request) {
		// Talk needs the microphone.
		w.Header().Set("Permissions-Policy", strings.Replace(permissions, "microphone=()", "microphone=(self)", 1))
		a.asset(w, r, http.StatusOK, "index.html", index, "no-cache", pagePolicy)
	}))
	for name, body := range files {
		mux.HandleFunc("/web/"+version+"/"+name, a.open(func(w http.ResponseWriter, r *http.Request) {
			a.asset(w, r, http.StatusOK, name, body, "public, max-age=31536000, immutable", pagePolicy)
		}))
	}
}

// pageFiles returns the page's files, and a hash of all of them.
func pageFiles() (files map[string][]byte, version string) {
	files, all := map[string][]byte{}, sha256.New()
	names, err := fs.Glob(web, "web/*")
	for _, name := range names { // sorted
		body, readErr := web.ReadFile(name)
		if err = readErr; err != nil {
			break
		}
		files[path.Base(name)] = body
		_, _ = all.Write(append([]byte(name+"\x00"), body...)) // never fails
	}
	if err != nil {
		return map[string][]byte{}, "" // can't happen: the files are part of the program
	}
	return files, hex.EncodeToString(all.Sum(nil)[:8])
}

// open serves GET to anyone. An unknown sender's connection is closed after the answer.
func (a *api) open(next http.HandlerFunc) http.HandlerFunc {
	return a.reads(func(w http.ResponseWriter, r *http.Request) {
		if _, known := a.identify(r); !known {
			w.Header().Set("Connection", "close")
		}
		next(w, r)
	})
}

// asset sends a file of the page, or 304.
func (a *api) asset(
	w http.ResponseWriter, r *http.Request, status int, name string, body []byte, caching, policy string,
) {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", caching)
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) { // a proxy may have turned it into a weak tag
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", pageTypes[path.Ext(name)])
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// opensPage reports whether a browser opens the page or a document by a link from elsewhere, for example in an alert.
// Both are the same for all users.
func opensPage(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/docs/")) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
