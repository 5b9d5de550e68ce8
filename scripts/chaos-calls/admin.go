package main

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

// admin asks Flowbridge's admin API.
type admin struct{ client http.Client }

func newAdmin(socket string) *admin {
	return &admin{http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

func (a *admin) get(path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://flowbridge"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, res.Status, b)
	}
	return b, err
}

func (a *admin) awaitReady(limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		_, err := a.get("/readyz")
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// record is what is judged of a record.
type record struct {
	ID          string `json:"id"`
	SIPCallID   string `json:"sip_call_id"`
	Cause       string `json:"cause"`
	Disposition string `json:"disposition"`
	AnsweredAt  string `json:"answered_at"`
	Restored    int    `json:"restored"`
	Attempts    []struct {
		Cause string `json:"cause"`
	} `json:"attempts"`
}

// records are those of all finished calls.
func (a *admin) records() (all []record, err error) {
	for cursor := ""; ; {
		b, err := a.get("/api/cdrs?limit=1000&cursor=" + url.QueryEscape(cursor))
		if err != nil {
			return all, err
		}
		var page struct {
			Items []record `json:"items"`
			Next  string   `json:"next"`
		}
		if err := json.Unmarshal(b, &page); err != nil {
			return all, err
		}
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// figures are the metrics: of a name, the sum of its samples.
type figures map[string]float64

func (a *admin) metrics() (figures, error) {
	b, err := a.get("/metrics")
	f := figures{}
	for line := range strings.Lines(string(b)) {
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

// live counts the calls that the API has.
func (a *admin) live() (int, error) {
	b, err := a.get("/api/calls")
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	if err == nil {
		err = json.Unmarshal(b, &page)
	}
	return len(page.Items), err
}
