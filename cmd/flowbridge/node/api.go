package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/cmd/flowbridge/compare"
	"flowbridge/config"
	"flowbridge/internal/httpd"
	"flowbridge/media"
	"flowbridge/media/recording"
	"flowbridge/platform/hooks"
	"flowbridge/store/record"
)

// api is the HTTP server of the admin API.
type api struct {
	log      zerolog.Logger
	server   *http.Server // nil until the API is served
	pause    *httpd.Pause
	handler  atomic.Pointer[http.Handler]
	listener net.Listener
}

// serve replaces the served handler. given is the old process's listener; it is nil if there is none.
func (a *api) serve(ctx context.Context, cfg *config.Admin, h http.Handler, given net.Listener) (err error) {
	h = a.pause.Handler(h, exempt)
	if a.handler.Store(&h); a.server != nil {
		a.pause.Go()
		return nil
	}
	at := admin.Address{Socket: cfg.Listen.Socket, Given: given, Pause: a.pause}
	if at.Socket == "" {
		at.TCP = cfg.Listen.String()
	}
	if a.listener, err = admin.Listen(ctx, at); err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	a.server = admin.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*a.handler.Load()).ServeHTTP(w, r)
	}), a.log)
	go func() {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error().Err(err).Msg("admin API ended")
		}
	}()
	return nil
}

// exempt reports whether a request of the admin API may continue during a pause: the upgrade itself, event streams,
// listeners, whose calls end them, and the liveness check.
func exempt(r *http.Request) bool {
	path := r.URL.Path
	return path == "/api/upgrade" || path == "/healthz" || admin.IsEvents(path) || admin.IsAudio(path)
}

// leave waits until the answers under way are sent. Only event streams remain.
func (a *api) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), requestPatience)
	defer cancel()
	_ = a.server.Shutdown(ctx)
}

// close stops the server. Requests under way still get their answers, including the request that ends
// the process.
func (a *api) close() error {
	if a.server == nil {
		return nil
	}
	a.leave()
	return a.server.Close()
}

// serveAPI serves the admin API of a node that takes calls.
func (n *Node) serveAPI(ctx context.Context) error {
	calls := control{n.server, n.hooks, &n.tests}
	options := admin.Options{
		Media: n.rtp.path, Calls: liveCalls{n.server}, Control: calls,
		Figures: n.live, Report: reportBy, Events: n.events, Ready: n.troubles.ready, Troubles: n.troubles.lines,
		Requests: &n.requests, Registrations: n.figures.registrations, Listen: calls.listen,
		Weights: n.splits.order, Browsers: &n.browsers,
	}
	if n.out != nil {
		options.Leveller = n.out
	}
	return n.answer(ctx, options)
}

// answer replaces the options that the admin API serves. It adds the options that a standby has, too.
func (n *Node) answer(ctx context.Context, options admin.Options) error {
	options.Records, options.Ladders, options.Metrics = n.store, &n.ladders, n.metrics.Handler(n.log)
	options.Status = func() admin.Status { return n.status(options.Ready) }
	options.Log, options.Operator, options.Eraser = n.log, n.operator, &n.eraser
	options.Access = func() admin.Access {
		now := &n.config().Admin
		return admin.Access{
			Tokens: tokensOf(now), Local: rightsOf(now.Local), LocalCalls: browserCalls(now.LocalCall, localCalls),
		}
	}
	if n.fleet != nil {
		options.Fleet, options.Nodes = n.fleet, otherNodes{n}
	}
	if n.seat != nil {
		options.Seats = seats{n.seat}
	}
	if n.archive != nil {
		options.Recordings = n.archive
	}
	if n.api.server == nil {
		n.add(part{close: n.api.close})
	}
	given, err := n.before.listener(partAdmin)
	if err != nil {
		return err
	}
	return n.api.serve(ctx, &n.config().Admin, admin.New(options), given)
}

// tokensOf returns the tokens of the configuration. The token in token_file has all rights.
func tokensOf(cfg *config.Admin) (all []admin.Token) {
	if cfg.Token != "" {
		all = append(all, admin.Token{Name: "token_file", Secret: cfg.Token.Reveal(), Rights: admin.RightsOperate})
	}
	for _, t := range cfg.Tokens {
		all = append(all, admin.Token{
			Name: t.Name, Secret: t.Token.Reveal(), Rights: rightsOf(t.Rights), Listen: t.Listen,
			Calls: browserCalls(t.Call, t.MaxCalls),
		})
	}
	return all
}

// localCalls is how many calls by browsers there may be without a token, in a demo.
const localCalls = 1

// browserCalls returns how many calls by browsers there may be.
func browserCalls(may bool, most int) int {
	if !may {
		return 0
	}
	return most
}

func rightsOf(word string) admin.Rights {
	switch word {
	case config.RightsOperate:
		return admin.RightsOperate
	case config.RightsRead:
		return admin.RightsRead
	default:
		return admin.RightsNone
	}
}

// liveCalls provides the calls for the admin API.
type liveCalls struct{ server *b2bua.Server }

func (l liveCalls) Live(ctx context.Context) []admin.Call {
	live := l.server.Live(ctx)
	calls := make([]admin.Call, 0, len(live))
	for _, c := range live {
		calls = append(calls, callOf(c))
	}
	return calls
}

func (l liveCalls) Find(ctx context.Context, id string) (admin.Call, bool) {
	c, ok := l.server.Find(ctx, id)
	return callOf(c), ok
}

func callOf(c registry.LiveCall) admin.Call {
	call := admin.Call{
		Record: c.Record, Phase: c.Phase, Position: c.Position, Recording: cmp.Or(c.Recording, bridge.RecordingOff),
		Masked: c.Masked, OnHold: c.OnHold, Transfer: c.Transfer, Transcodes: c.Transcodes,
	}
	for side, name := range []string{"a", "b"} {
		if c.Held[side] {
			call.Held = append(call.Held, name)
		}
		if c.Hears[side] != "" {
			if call.Hears == nil {
				call.Hears = map[string]string{}
			}
			call.Hears[name] = c.Hears[side]
		}
	}
	for party, name := range []string{"caller", "agent"} {
		if c.Speaks[party] {
			call.Speaks = append(call.Speaks, name)
		}
	}
	return call
}

// reportBy starts a comparison of finished calls by one of compare.By.
func reportBy(by string) (admin.Report, error) {
	if !slices.Contains(compare.By(), by) {
		return nil, fmt.Errorf("use one of %s", strings.Join(compare.By(), ", "))
	}
	return report{compare.New(by)}, nil
}

// report is a comparison in the admin API's form.
type report struct{ groups *compare.Groups }

func (r report) Add(of *record.Record) { r.groups.Add(of) }
func (r report) Groups() any           { return r.groups.All() }

// control passes orders of the admin API to the server.
type control struct {
	*b2bua.Server
	hooks *callHooks
	tests *testCaller
}

func (c control) Order(ctx context.Context, id string, o admin.Order) (admin.Call, error) {
	return answered(c.Server.Order(ctx, id, bridge.Order(o)))
}

func (c control) Play(ctx context.Context, id string, p admin.PlayRequest) (admin.Call, error) {
	return answered(c.Server.Play(ctx, id, bridge.PlayRequest{Side: sideOf(p.Side), Sound: p.Sound, Loop: p.Loop}))
}

func (c control) Press(ctx context.Context, id string, d admin.DigitsRequest) (admin.Call, error) {
	return answered(c.Server.Press(ctx, id, bridge.DigitsRequest{
		Side: sideOf(d.Side), Digits: d.Digits, Duration: time.Duration(d.MS) * time.Millisecond,
	}))
}

// listen lets somebody hear a live call.
func (c control) listen(ctx context.Context, id string, q admin.ListenRequest) (admin.Audio, error) {
	l := recording.NewListener(sidesOf(q.Sides)...)
	err := c.Listen(ctx, id, bridge.ListenRequest{Audio: l, By: q.By, Sound: q.Sound})
	if err != nil {
		l.End(err) // the call may still take it
		_, err = answered(registry.LiveCall{}, err)
		return nil, err
	}
	return l, nil
}

// sidesOf returns the sides of a text like "ab".
func sidesOf(names string) (all []media.Side) {
	for _, name := range names {
		all = append(all, sideOf(string(name)))
	}
	return all
}

func sideOf(name string) media.Side {
	if name == "b" {
		return media.SideB
	}
	return media.SideA
}

func (c control) Transfer(ctx context.Context, id, by string, t admin.TransferRequest) (admin.Call, error) {
	r := bridge.TransferRequest{
		Order:    outbound.Order{To: t.To, Named: true, Trunk: t.Trunk},
		Announce: bridge.Announce{Sound: t.Announce, Accept: t.Accept, Within: time.Duration(t.WithinMS) * time.Millisecond},
		By:       by,
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		r.Headers = append(r.Headers, outbound.HeaderLine{Name: name, Value: t.Headers[name]})
	}
	return answered(c.Server.Transfer(ctx, id, r))
}

func (c control) Called(id string) (ours string, err error) {
	if ours, err = c.Server.Called(id); err != nil {
		_, err = answered(registry.LiveCall{}, err)
	}
	return ours, err
}

func (c control) Variables(ctx context.Context, id string) (any, error) {
	ours, err := c.Called(id)
	if err != nil {
		return nil, err
	}
	all, err := c.hooks.variablesOf(ctx, ours)
	switch {
	case errors.Is(err, hooks.ErrUnknown):
		return nil, admin.ErrNoCall
	case errors.Is(err, hooks.ErrSeveral):
		return nil, &admin.RefusedError{Problem: err.Error(), Remedy: "take Flowbridge's own id"}
	}
	return all, err
}

func (c control) SetVariables(ctx context.Context, id, by string, all map[string]string) (admin.Call, error) {
	return answered(c.Server.SetVariables(ctx, id, by, all))
}

func (c control) Originate(ctx context.Context, o admin.Origination) (admin.Call, error) {
	if o.Trunk == admin.TestTrunk {
		if err := c.tests.begin(ctx); err != nil {
			return admin.Call{}, err
		}
	}
	call := outbound.Origination{
		ID: o.ID, By: o.By, To: o.To, From: o.From, Trunk: o.Trunk, Target: o.Target,
		AnswerWithin: time.Duration(o.AnswerWithin) * time.Second,
	}
	for name, value := range o.Headers {
		call.Headers = append(call.Headers, peers.Variable{Name: name, Value: value})
	}
	for name, value := range o.Variables {
		call.Headers = append(call.Headers, peers.Variable{Name: "x-" + name, Value: value})
	}
	slices.SortFunc(call.Headers, func(a, b peers.Variable) int { return strings.Compare(a.Name, b.Name) })
	live, err := c.Server.Originate(ctx, &call)
	if not, is := errors.AsType[*outbound.PlaceError](err); is {
		return admin.Call{}, &admin.RefusedError{Status: not.Status, Problem: not.Problem, Remedy: not.Remedy}
	}
	return answered(live, err)
}

// answered returns the result of an order in the admin API's form.
func answered(live registry.LiveCall, err error) (admin.Call, error) {
	var refused *bridge.OrderError
	switch {
	case errors.As(err, &refused):
		return admin.Call{}, &admin.RefusedError{Problem: refused.Problem, Remedy: refused.Remedy, Status: refused.Code}
	case errors.Is(err, b2bua.ErrNoCall):
		return admin.Call{}, admin.ErrNoCall
	case err != nil:
		return admin.Call{}, err
	}
	return callOf(live), nil
}
