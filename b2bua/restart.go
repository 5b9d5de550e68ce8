package b2bua

import (
	"bytes"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/call"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file restarts calls. When a process is replaced, the calls that it was setting up restart from the caller's
// INVITE. The new process gets that INVITE among the messages that the old process had read.

// restart is a call that the old process was setting up, until its INVITE is read here.
type restart struct {
	record.Saved
	k     *snapshot.Call
	media bridge.RelaySession // the session whose address the caller knows; nil if there is none
}

// keepToRestart stores a call, with its media, until its INVITE is read here. The call is also journalled, in case
// this process is killed before that.
func (su *successor) keepToRestart(k *snapshot.Call, l *record.Saved, sockets *media.Sockets) (err error) {
	if len(k.Legs) == 0 {
		return call.ErrNoLeg
	}
	tag := k.Legs[0].State.Dialog.LocalTag
	r := &restart{Saved: *l, k: k}
	if sockets != nil && k.Bridge.Session != nil {
		relay := su.server.host.Bridges.Relay
		r.media, err = relay.Resume(media.SessionConfig{Sockets: sockets, OnEvent: func(e media.Event) {
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

// restartOf returns the call that the old process was setting up for this very INVITE, or nil. It compares the whole
// INVITE, because another INVITE from the same address could have the same To tag.
func (su *successor) restartOf(req *sip.Request) *restart {
	v, is := su.restarts.Load(message.TagOf(req.To().Params))
	if !is {
		return nil
	}
	r := v.(*restart)
	before := message.HeaderText(r.k.Invite.Text).Request()
	if message.ParseSource(req.Source()) != r.k.Source.AddrPort ||
		!bytes.Equal(transport.OriginalText(req), transport.OriginalText(before)) {
		return nil
	}
	return r
}

// trunkOf returns the configuration and trunk for an INVITE that restarts a call, or nil. It asks for no credentials:
// the caller has shown them to the old process, with a nonce that has expired since.
func (su *successor) trunkOf(r *restart) (*peers.Snapshot, *peers.Trunk) {
	if r == nil {
		return nil, nil
	}
	p := su.server.admission.Peers.Load()
	if t, known := p.CallerNamed(r.k.Trunk); known {
		return p, t
	}
	return nil, nil // the trunk is gone: treat the INVITE as a new one
}

// drop gives up a call that does not restart: it closes the call's media, and writes its record as refused.
func (su *successor) drop(r *restart) {
	if r.media != nil {
		r.media.Close()
	}
	su.server.host.KeepInterrupted(&record.Saved{Interrupted: r.Record.Interrupted(time.Now())})
}

// Begun gives up the calls that the old process was setting up and whose INVITE has not come again. It is called once
// the server reads messages.
func (s *Server) Begun() {
	s.successor.restarts.Range(func(tag, v any) bool {
		if _, is := s.successor.restarts.LoadAndDelete(tag); is {
			s.successor.drop(v.(*restart))
		}
		return true
	})
}
