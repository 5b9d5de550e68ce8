package b2bua

import (
	"github.com/rs/zerolog"

	"flowbridge/b2bua/call"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/report"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/store/record"
)

// Explain reports what a call would do, using the functions that handle real calls. It opens no
// socket, sends nothing and looks up no name. preparers stand in for the platforms' APIs, and
// return made-up ids or none.
func Explain(cfg *config.Config, preparers map[string]peers.Preparer, q report.Question) (report.Explanation, error) {
	s, err := newServer(Options{Config: cfg, Preparers: preparers, Log: zerolog.Nop()}, transport.Unplugged)
	if err != nil {
		return report.Explanation{}, err
	}
	defer s.Close()
	var out report.Explanation
	req, t, err := q.Foresee(cfg, s.admission, s.stack, &out)
	if err != nil {
		return report.Explanation{}, err
	}
	if t == nil {
		return out, nil
	}
	c := call.New(&s.host, record.NewID(), out.At, req, s.admission.Peers.Load(), t, message.ParseSource(req.Source()))
	return out, c.Explain(&out)
}
