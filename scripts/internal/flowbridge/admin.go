package flowbridge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Admin is a client of the admin API.
type Admin struct{ client http.Client }

func newAdmin(socket string) *Admin {
	return &Admin{http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

// Get returns the response of the API for a path.
func (a *Admin) Get(path string) (string, error) { return a.ask(http.MethodGet, path, "") }

func (a *Admin) ask(method, path, body string) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://flowbridge"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, res.Status, b)
	}
	return string(b), err
}

// Read decodes the JSON at a path.
func (a *Admin) Read(path string, to any) error {
	text, err := a.Get(path)
	if err == nil {
		err = json.Unmarshal([]byte(text), to)
	}
	return err
}

// Number sets a variable of a live call, and reports whether that was confirmed.
func (a *Admin) Number(callID, number string) bool {
	_, err := a.ask(http.MethodPost, "/api/calls/"+url.PathEscape(callID)+"/variables",
		fmt.Sprintf(`{"variables": {"number": %q}}`, number))
	return err == nil
}

// Ready returns an error unless the process takes calls.
func (a *Admin) Ready() error {
	_, err := a.Get("/readyz")
	return err
}

// Live counts the live calls.
func (a *Admin) Live() (int, error) {
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	err := a.Read("/api/calls", &page)
	return len(page.Items), err
}

// Record holds the judged fields of a record.
type Record struct {
	ID          string `json:"id"`
	SIPCallID   string `json:"sip_call_id"`
	Cause       string `json:"cause"`
	Disposition string `json:"disposition"`
	Restored    int    `json:"restored"`
	Variables   struct{ Number string }
}

// Records returns the records of all finished calls.
func (a *Admin) Records() (all []Record, err error) {
	for cursor := ""; ; {
		var page struct {
			Items []Record `json:"items"`
			Next  string   `json:"next"`
		}
		if err := a.Read("/api/cdrs?limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return all, err
		}
		all = append(all, page.Items...)
		cursor = page.Next
		if cursor == "" {
			return all, nil
		}
	}
}

// Figures are the metrics: for each name, the sum of its samples.
type Figures map[string]float64

// Metrics returns the current metrics.
func (a *Admin) Metrics() (Figures, error) {
	text, err := a.Get("/metrics")
	f := Figures{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if at := strings.LastIndex(line, "} "); at > 0 {
			name, value, ok = line[:strings.Index(line, "{")], strings.TrimSpace(line[at+2:]), true
		}
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(name, "#") {
			f[name] += n
		}
	}
	return f, err
}
