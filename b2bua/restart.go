package b2bua

import (
	"bytes"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/call"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file restarts calls. When a process is replaced, the calls that it was setting up restart from the caller's
// INVITE. The new process gets that INVITE among the messages that the old process had read.

// keepToRestart stores a call, with its media, until its INVITE is read here. The call is also journalled, in case
// this process is killed before that.
func (su *successor) keepToRestart(k *snapshot.Call, l *record.Saved, sockets *media.Sockets) (err error) {
	if len(k.Legs) == 0 {
		return call.ErrNoLeg
	}
	tag := k.Legs[0].State.Dialog.LocalTag
	r := &call.Left{State: k, Record: l.Record}
	if sockets != nil && k.Bridge.Session != nil {
		relay := su.server.host.Bridges.Relay
		r.Media, err = relay.Resume(media.SessionConfig{Sockets: sockets, OnEvent: func(e media.Event) {
			if l := su.server.registry.Leg(tag); l != nil {
				l.Call().On(e)
			}
		}}, *k.Bridge.Session)
	}
	if err == nil {
		su.restarts.Store(tag, r)
		su.server.host.Sink.Journal(l.Record, l.State)
	}
	return err
}

// held returns the place of the call that the old process was setting up for this very INVITE, or nil. It compares the
// whole INVITE, because another INVITE from the same address could have the same To tag.
func (su *successor) held(req *sip.Request) *peers.Held {
	v, is := su.restarts.Load(message.TagOf(req.To().Params))
	if !is {
		return nil
	}
	r := v.(*call.Left)
	before := message.HeaderText(r.State.Invite.Text).Request()
	if message.ParseSource(req.Source()) != r.State.Source.AddrPort ||
		!bytes.Equal(transport.OriginalText(req), transport.OriginalText(before)) {
		return nil
	}
	began := leg.TimeOf(r.State.Times.Started) // the same id and start as in the old process
	return &peers.Held{Entry: peers.Entry{ID: r.Record.ID, Began: began}, Trunk: r.State.Trunk}
}

// left returns the call that the old process was setting up under this tag of ours, or nil. It returns it only once.
func (su *successor) left(tag string) *call.Left {
	if v, is := su.restarts.LoadAndDelete(tag); is {
		return v.(*call.Left)
	}
	return nil
}

// drop gives up a call that does not restart: it closes the call's media, and writes its record as refused.
func (su *successor) drop(r *call.Left) {
	if r.Media != nil {
		r.Media.Close()
	}
	su.server.host.KeepInterrupted(&record.Saved{Interrupted: r.Record.Interrupted(time.Now())})
}

// Begun gives up the calls that the old process was setting up and whose INVITE has not come again. It is called once
// the server reads messages.
func (s *Server) Begun() {
	s.successor.restarts.Range(func(tag, _ any) bool {
		if r := s.successor.left(tag.(string)); r != nil {
			s.successor.drop(r)
		}
		return true
	})
}
