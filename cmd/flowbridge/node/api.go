package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/cmd/flowbridge/compare"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/platform/hooks"
	"flowbridge/store/record"
)

// answer serves the admin API, in place of what was served before.
func (n *Node) answer(ctx context.Context, api http.Handler) error {
	api = n.pause.Handler(api, exempt)
	if n.handler.Store(&api); n.api != nil {
		n.pause.Go()
		return nil
	}
	cfg := &n.config().Admin
	at := admin.Address{Socket: cfg.Listen.Socket}
	if at.Socket == "" {
		at.TCP = cfg.Listen.String()
	}
	given, err := n.before.listener(partAdmin)
	if err != nil {
		return err
	}
	at.Given, at.Pause = given, &n.pause
	listener, err := admin.Listen(ctx, at)
	if err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	n.apiListener = listener
	n.apiAt = listener.Addr()
	n.api = admin.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*n.handler.Load()).ServeHTTP(w, r)
	}), n.log)
	n.add(part{close: n.closeAPI})
	go func() {
		if err := n.api.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error().Err(err).Msg("admin API ended")
		}
	}()
	return nil
}

func (n *Node) serveAPI(ctx context.Context, o Options) error {
	options := admin.Options{
		Media: n.mediaPath,
		Calls: liveCalls{n.server}, Records: n.store, Log: n.log, Operator: o.operator, Control: control{n},
		Figures: n.live, Report: reportBy, Metrics: n.metrics.Handler(n.log),
		Events: n.events, Ladders: apiLadders{n},
		Access: n.access,
		Ready: func() error {
			if n.server.Draining() {
				return errors.New("draining")
			}
			if state := n.memory.scarce(); state != "" {
				return errors.New(state)
			}
			return n.store.Err()
		},
		Troubles: n.troubles, Requests: &n.requests, Registrations: n.figures.registrations,
	}
	if n.out != nil {
		options.Leveller = n.out
	}
	n.showOthers(&options)
	if n.seat != nil {
		options.Seats = seats{n}
	}
	if n.archive != nil {
		options.Recordings = n.archive
	}
	return n.answer(ctx, admin.New(options))
}

// closeAPI ends the admin API. A request under way gets its answer: the one that ends the process is among them.
func (n *Node) closeAPI() error {
	ctx, cancel := context.WithTimeout(context.Background(), requestPatience)
	defer cancel()
	_ = n.api.Shutdown(ctx) // what is left are streams of events
	return n.api.Close()
}

// tokensOf are the tokens of the configuration; token_file is good for everything.
func tokensOf(cfg *config.Admin) (all []admin.Token) {
	if cfg.Token != "" {
		all = append(all, admin.Token{Name: "token_file", Secret: cfg.Token.Reveal(), Rights: admin.RightsOperate})
	}
	for _, t := range cfg.Tokens {
		all = append(all, admin.Token{Name: t.Name, Secret: t.Token.Reveal(), Rights: rightsOf(t.Rights)})
	}
	return all
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

// liveCalls are the calls for the admin API.
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
		Record: c.Record, Phase: c.Phase, Position: c.Position, Recording: c.Recording, Masked: c.Masked, OnHold: c.OnHold,
		Transfer: c.Transfer,
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

// report is the admin API's form of a comparison.
type report struct{ groups *compare.Groups }

func (r report) Add(of *record.Record) { r.groups.Add(of) }
func (r report) Groups() any           { return r.groups.All() }

// control passes the admin API's orders to the server.
type control struct{ *Node }

func (c control) Order(ctx context.Context, id string, o admin.Order) (admin.Call, error) {
	return answered(c.server.Order(ctx, id, bridge.Order(o)))
}

func (c control) Called(id string) (string, error) { return c.server.Called(id) }

func (c control) Play(ctx context.Context, id string, p admin.PlayRequest) (admin.Call, error) {
	return answered(c.server.Play(ctx, id, bridge.PlayRequest{Side: sideOf(p.Side), Sound: p.Sound, Loop: p.Loop}))
}

func (c control) Press(ctx context.Context, id string, d admin.DigitsRequest) (admin.Call, error) {
	return answered(c.server.Press(ctx, id, bridge.DigitsRequest{
		Side: sideOf(d.Side), Digits: d.Digits, Duration: time.Duration(d.MS) * time.Millisecond,
	}))
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
	return answered(c.server.Transfer(ctx, id, r))
}

func (c control) Variables(ctx context.Context, id string) (any, error) {
	ours, err := c.Called(id)
	if err != nil {
		_, err = answered(registry.LiveCall{}, err)
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
	return answered(c.server.SetVariables(ctx, id, by, all))
}

func (c control) Originate(ctx context.Context, o admin.Origination) (admin.Call, error) {
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
	live, err := c.server.Originate(ctx, &call)
	if not, is := errors.AsType[*outbound.PlaceError](err); is {
		return admin.Call{}, &admin.RefusedError{Status: not.Status, Problem: not.Problem, Remedy: not.Remedy}
	}
	return answered(live, err)
}

// answered is the admin API's form of an answer to an order.
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

// troubles are what is wrong with a process that goes on.
func (n *Node) troubles() (all []string) {
	if err := n.store.Err(); err != nil {
		all = append(all, "records wait in memory: "+err.Error())
	}
	if file := n.store.SetAside(); file != "" {
		all = append(all, "the database was damaged, and is set aside: "+file)
	}
	if state := n.memory.scarce(); state != "" {
		all = append(all, state)
	}
	return append(all, n.stalls.troubles()...)
}
