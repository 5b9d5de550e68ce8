package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// If only another node has some data of a call, this node requests it and passes the answer on. It uses the sender's
// own token, so a sender gets no more than its token allows. A forged address in the database must not receive
// tokens. So Nodes.Where returns only proven addresses.

// forwardedHeader marks a request that a node passes on, so that it is not passed on again.
const forwardedHeader = "Flowbridge-Forwarded"

// otherNodes sends requests to other nodes, without proxies or redirects.
var otherNodes = &http.Client{
	Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		ResponseHeaderTimeout: 10 * time.Second, DisableKeepAlives: true, DisableCompression: true,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// elsewhere answers a request for another node's data. It reports whether it did. If the node is this one, it does
// not.
func (a *api) elsewhere(w http.ResponseWriter, r *http.Request, node string) bool {
	if a.Nodes == nil {
		return false
	}
	has := "node " + quoted(node) + " has it"
	at, err := a.Nodes.Where(r.Context(), node)
	if err != nil {
		return a.fleetAway(w, r, &fleetError{err}, has+": ask it there")
	}
	to := urlAt(at.API, r.URL)
	switch {
	case at.Own:
		return false
	case !at.There:
		a.fail(w, http.StatusServiceUnavailable, has+", and it is not there",
			"start it again; flowbridge fleet lists the nodes")
	case r.Header.Get(forwardedHeader) != "":
		a.fail(w, http.StatusNotFound, has, "ask it there")
	case at.Unproven:
		a.fail(w, http.StatusNotFound, has+", and only the fleet's database says where its admin API is",
			"ask it there, or write its admin.listen into fleet.nodes")
	case to == "":
		a.fail(w, http.StatusNotFound, has+", and other machines don't reach its admin API",
			"ask it there, or give its admin.listen an address of its machine")
	case r.Header.Get("Authorization") == "":
		a.fail(w, http.StatusNotFound, has+", and it is asked only with a token", "send a token that is good on both nodes")
	default:
		a.forward(w, r, has, to)
	}
	return true
}

// urlAt returns the URL of a request at another node. It returns "" if the node has no address.
func urlAt(api string, path *url.URL) string {
	at, err := url.Parse(api)
	if err != nil || at.Host == "" || api != "http://"+at.Host {
		return ""
	}
	if path.RawQuery != "" {
		return api + path.EscapedPath() + "?" + path.RawQuery
	}
	return api + path.EscapedPath()
}

// The headers that are passed on.
var (
	askedHeaders    = []string{"Authorization", "Accept", "Range", "If-Range"}
	answeredHeaders = []string{
		"Content-Type", "Content-Length", "Content-Disposition", "Content-Range", "Accept-Ranges",
		"X-Accel-Buffering",
	}
)

// forward passes a request on, and the answer back.
func (a *api) forward(w http.ResponseWriter, r *http.Request, has, to string) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the server's deadline would end the request
	ctx, out := r.Context(), &paced{ResponseWriter: w, live: IsAudio(r.URL.Path)}
	if !out.live {
		out.until = time.Now().Add(downloadLimit)
		bounded, cancel := context.WithDeadline(ctx, out.until)
		defer cancel()
		ctx = bounded
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, to, nil)
	if err != nil {
		a.fail(w, http.StatusBadGateway, has+", and can't be asked", "ask it there")
		return
	}
	pass(req.Header, r.Header, askedHeaders)
	req.Header.Set(forwardedHeader, "1")
	req.Header.Set("Forwarded", "for=unknown") // so that the other node does not apply admin.local
	res, err := otherNodes.Do(req)
	if err != nil {
		if r.Context().Err() == nil { // otherwise the client is gone
			a.fail(w, http.StatusServiceUnavailable, has+", and does not answer: "+err.Error(), "try again, or ask it there")
		}
		return
	}
	defer func() { _ = res.Body.Close() }() // it was only used for reading
	switch res.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable,
		http.StatusConflict, http.StatusTooManyRequests:
	case http.StatusUnauthorized, http.StatusForbidden:
		a.fail(w, http.StatusForbidden, has+", and refuses the token", "use the same admin.tokens on all nodes")
		return
	default:
		a.fail(w, http.StatusBadGateway, has+", and answers "+res.Status, "ask it there, and see its log")
		return
	}
	pass(w.Header(), res.Header, answeredHeaders)
	w.WriteHeader(res.StatusCode)
	if _, err := io.Copy(out, res.Body); err != nil {
		a.cutOff(w, r, err)
	}
}

func pass(to, from http.Header, names []string) {
	for _, name := range names {
		if text := from.Get(name); text != "" {
			to.Set(name, text)
		}
	}
}
