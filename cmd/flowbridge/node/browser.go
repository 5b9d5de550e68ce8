package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"flowbridge/admin"
	"flowbridge/config"
	"flowbridge/gateway/browser"
)

// browsers is the gateway of browsers. It exists if the process was started with a trunk of browsers.
type browsers struct {
	node    *Node
	gateway *browser.Gateway // nil if there is none; constant once the node runs
	listen  net.Listener
	proof   string // what the gateway's connections show to their listener; another process can't know it; constant
}

// partBrowser is the name of the gateway's listener in a hand-over.
const partBrowser = "browser"

// addTo adds the listener for the gateway, and its proof, to a configuration with a trunk of browsers.
func (b *browsers) addTo(cfg *config.Config) {
	if cfg.BrowserTrunk() == nil {
		return
	}
	server, _ := browser.Addresses(b.node.key)
	cfg.SIP.Listen = append(slices.Clone(cfg.SIP.Listen), config.Listener{
		Transport: config.TransportTCP, AddrPort: server, Proof: b.proof,
	})
	cfg.RequireBrowserProof(b.proof)
}

// open opens the gateway, if the configuration has a trunk of browsers.
func (b *browsers) open(ctx context.Context, cfg *config.Config) (err error) {
	if cfg.BrowserTrunk() == nil {
		return nil
	}
	server, at := browser.Addresses(b.node.key)
	if b.listen, err = b.node.before.listener(partBrowser); err == nil && b.listen == nil {
		b.listen, err = (&net.ListenConfig{}).Listen(ctx, "tcp4", at.String())
	}
	if err != nil {
		return fmt.Errorf("the gateway of browsers: %w; another process may have the port, see ss -ltnp", err)
	}
	b.gateway, err = browser.Open(browser.Options{
		Key: b.node.key, Listener: b.listen, Server: server, Proof: b.proof,
	})
	if err != nil {
		return fmt.Errorf("the gateway of browsers: %w", errors.Join(err, b.listen.Close()))
	}
	return nil
}

// give adds the listener to the files of a hand-over.
func (b *browsers) give(files map[string]any) {
	if b.listen != nil {
		files[partBrowser] = b.listen
	}
}

// freeze cancels the calls whose requests have no answer yet: the answer could not reach the browser any more.
func (b *browsers) freeze() {
	if b.gateway != nil {
		b.gateway.CancelUnanswered()
	}
}

// close closes the gateway. Its calls must have ended, or belong to another process.
func (b *browsers) close() error {
	if b.gateway == nil {
		return nil
	}
	return b.gateway.Close()
}

// Trunk returns the name of the trunk of browsers.
func (b *browsers) Trunk() string {
	if t := b.node.config().BrowserTrunk(); t != nil {
		return t.Name
	}
	return ""
}

// Call places a call. Its error is a *admin.RefusedError.
func (b *browsers) Call(ctx context.Context, c admin.BrowserCall) (admin.BrowserAnswer, error) {
	switch {
	case b.Trunk() == "":
		return admin.BrowserAnswer{}, &admin.RefusedError{
			Status: http.StatusNotFound, Problem: "no trunk is for browsers",
			Remedy: "write a trunk with browser: true, and a route for it",
		}
	case b.gateway == nil:
		return admin.BrowserAnswer{}, &admin.RefusedError{
			Status: http.StatusServiceUnavailable, Problem: "the process started without a browser trunk",
			Remedy: "flowbridge upgrade, which ends no call, or a restart",
		}
	}
	answer, err := b.gateway.Call(ctx, browser.Call{ID: c.ID, To: c.To, By: c.By, Offer: c.Offer})
	if err != nil {
		return admin.BrowserAnswer{}, refusedBrowser(err)
	}
	return admin.BrowserAnswer(answer), nil
}

// meaning is what a SIP response means to a browser. RFC 9725 leaves the statuses to us.
type meaning struct {
	codes           []int
	status          int
	problem, remedy string
}

// meanings lists the SIP responses that tell a browser more than that its call failed.
func meanings() []meaning {
	return []meaning{
		{[]int{403}, http.StatusForbidden, "the number may not be called now", "see limits of the trunk for browsers"},
		{
			[]int{404, 410, 484, 604},
			http.StatusNotFound, "no route takes the number, or the agent does not know it",
			"compare it with the routes of the trunk for browsers",
		},
		{
			[]int{413, 513},
			http.StatusRequestEntityTooLarge, "the offer is too long",
			"offer one audio, without video and candidates",
		},
		{
			[]int{415, 488, 606},
			http.StatusUnprocessableEntity, "the offer can't be used",
			"offer audio with DTLS-SRTP, in Opus or G.711",
		},
		{[]int{408, 480, 487}, http.StatusGatewayTimeout, "the agent did not answer", "try again"},
		{[]int{486, 600, 603}, http.StatusConflict, "the agent is busy, or declined", "try again later"},
		{[]int{503}, http.StatusServiceUnavailable, "there is no room, or no agent, at the moment", "try again"},
	}
}

// refusedBrowser returns the error for a browser.
func refusedBrowser(err error) error {
	var not *browser.RefusedError
	if !errors.As(err, &not) {
		return &admin.RefusedError{
			Status: http.StatusServiceUnavailable, Problem: "the call did not come through: " + err.Error(), Remedy: "try again",
		}
	}
	for _, m := range meanings() {
		if slices.Contains(m.codes, not.Code) {
			return &admin.RefusedError{
				Status: m.status, Problem: m.problem + ": " + not.Error(), Remedy: m.remedy, RetryAfter: not.RetryAfter,
			}
		}
	}
	return &admin.RefusedError{
		Status: http.StatusBadGateway, Problem: "the call ended with " + not.Error(), Remedy: "look for it in /api/cdrs",
	}
}

// Hangup ends the call at a location.
func (b *browsers) Hangup(ctx context.Context, location string) error {
	return b.gateway.Hangup(ctx, location)
}

// Read returns a call's Call-ID, and the name of its token.
func (b *browsers) Read(location string) (callID, by string, err error) {
	if b.gateway == nil {
		return "", "", admin.ErrNoCall
	}
	if callID, by, err = b.gateway.Read(location); err != nil {
		return "", "", admin.ErrNoCall
	}
	return callID, by, nil
}
