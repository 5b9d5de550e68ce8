package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	defaultVapiKey = "sim-key"
	// requestLimit is how long Vapi waits for the answer to its
	// assistant-request, from the sending to the last byte. It is fixed (Vapi's
	// page "Server events").
	requestLimit = 7500 * time.Millisecond
)

// VapiOptions say where the stand-in listens and how it behaves.
type VapiOptions struct {
	HTTPListen string        // "127.0.0.1:0" if empty
	SIPListen  string        // UDP; "127.0.0.1:0" if empty
	MediaAddr  netip.Addr    // address of RTP; the SIP listener's if zero
	Key        string        // private key that the API requires; "sim-key" if empty
	Region     string        // "us" (if empty) or "eu": whose SIP host a sipUri may have
	Host       string        // a further name that the stand-in goes by; may be empty
	EchoDelay  time.Duration // 600ms if zero
	RingFor    time.Duration // between 180 and 200; 200ms if zero, none if negative
	Limit      time.Duration // for an answer to an assistant-request; the platform's 7.5s if zero
	Fault      Fault
	Log        zerolog.Logger
}

// Vapi is the stand-in for Vapi: its HTTP API for assistants, phone numbers
// and calls, and its SIP agent, which asks a server for the assistant of a
// call where the number has none.
type Vapi struct {
	*agent
	opts    VapiOptions
	api     *web
	account *vapiAccount
	given   givenIDs
	client  *http.Client
	closed  atomic.Bool
}

// vapiHosts are the SIP hosts of Vapi's regions (its page "SIP introduction").
var vapiHosts = map[string]string{"us": "sip.vapi.ai", "eu": "sip.eu.vapi.ai"}

// StartVapi listens on both addresses and serves until Close. Cancelling ctx
// ends the calls, but not the listeners.
func StartVapi(ctx context.Context, o VapiOptions) (*Vapi, error) {
	o = o.withDefaults()
	err := o.Validate()
	if err != nil {
		return nil, err
	}
	v := &Vapi{opts: o, client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	v.agent = newAgent(v, manner{o.MediaAddr, o.EchoDelay, o.RingFor}, o.Log)
	v.SetFault(o.Fault)
	if v.sip, err = openEndpoint(ctx, o.SIPListen, "vapi-sim", o.Log, v.drops); err != nil {
		return nil, err
	}
	if v.api, err = openWeb(ctx, o.HTTPListen); err != nil {
		_ = v.sip.sock.Close()
		v.sip.cancel()
		return nil, fmt.Errorf("vapi-sim: %w", err)
	}
	v.account = newVapiAccount(sipNames{region: vapiHosts[o.Region], own: v.sip.local, extra: o.Host})
	v.clock = startClock()
	v.route()
	v.sip.serve()
	v.api.serve(v.handler())
	return v, nil
}

// Validate says what is wrong with the region or the fault.
func (o VapiOptions) Validate() error {
	if o.Region != "" && vapiHosts[o.Region] == "" {
		return fmt.Errorf("region %q: want us or eu", o.Region)
	}
	if o.Fault.Kind == FaultFailed {
		return errors.New("fault failed is one of Synthflow's: Vapi prepares no calls")
	}
	return nil
}

func (o VapiOptions) withDefaults() VapiOptions {
	if o.HTTPListen == "" {
		o.HTTPListen = "127.0.0.1:0"
	}
	if o.SIPListen == "" {
		o.SIPListen = "127.0.0.1:0"
	}
	if o.Key == "" {
		o.Key = defaultVapiKey
	}
	if o.Region == "" {
		o.Region = "us"
	}
	if o.EchoDelay == 0 {
		o.EchoDelay = defaultEchoDelay
	}
	if o.RingFor == 0 {
		o.RingFor = defaultRingFor
	}
	if o.Limit == 0 {
		o.Limit = requestLimit
	}
	return o
}

// APIURL is the base URL of the HTTP API.
func (v *Vapi) APIURL() string { return v.api.url() }

// SIPAddr is where INVITEs go.
func (v *Vapi) SIPAddr() netip.AddrPort { return v.sip.local }

// Key is the private key that the API requires.
func (v *Vapi) Key() string { return v.opts.Key }

// Close hangs up, stops listening and waits until nothing of it runs.
func (v *Vapi) Close() error {
	if v.closed.Swap(true) {
		return nil
	}
	sipErr := v.sip.close() // ends what asks a server, and API requests that hang, too
	apiErr := v.api.close()
	v.client.CloseIdleConnections()
	v.clock.close()
	return errors.Join(sipErr, apiErr)
}

// Calls returns every INVITE so far that was not dropped or challenged, refused
// ones included, oldest first; of very many only the latest.
func (v *Vapi) Calls() []VapiCall {
	list := v.calls()
	out := make([]VapiCall, 0, len(list))
	for _, c := range list {
		out = append(out, vapiSnapshot(c))
	}
	return out
}
