package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/gateway/dialog"
)

const (
	// resumeTimeout bounds how long a restored call waits for its bot and for the B2BUA.
	resumeTimeout = 10 * time.Second
	// glarePause is the longest wait after a 491 (RFC 3261 section 14.1: the caller of a dialog waits longer).
	glarePause = 2 * time.Second
)

var errOtherCall = errors.New("the Contact belongs to another call")

// Resume continues a call that an earlier process had. callID is the Call-ID of its dialog, and contact the URI that
// the process gave the B2BUA as its Contact. Resume opens the bot's socket again, and tells the B2BUA its new port and
// Contact. If that fails, it hangs up. It returns at once; its error means that the Contact belongs to another node, or
// to another call. tell is as in a Request.
func (g *Gateway) Resume(access *Access, callID, contact string, tell func(string)) error {
	var uri sip.Uri
	if err := sip.ParseUri(contact, &uri); err != nil {
		return err
	}
	var d sealed
	err := g.seals.Open(uri.User, &d)
	if err == nil && d.CallID != callID {
		err = errOtherCall
	}
	if err != nil {
		return err
	}
	g.wg.Go(func() {
		defer g.recovered()
		ctx, cancel := context.WithTimeout(g.ctx, resumeTimeout)
		defer cancel()
		g.resume(ctx, d, access, tell)
	})
	return nil
}

func (g *Gateway) resume(ctx context.Context, d sealed, access *Access, tell func(string)) {
	begun := time.Now()
	lost := &call{dialog: liveDialog{sealed: d}, gateway: g}
	c, err := g.open(ctx, d, access, netip.AddrPort{}, tell)
	if err != nil {
		g.log.Warn().Str("bot_call", d.CallSID).AnErr("err", err).Msg("a bot did not take its call again")
		g.figures.ended(botLost)
		g.bye(lost, botLost)
		return
	}
	g.keep(c)
	if err := g.reinvite(ctx, c); err != nil {
		g.log.Warn().Str("bot_call", d.CallSID).AnErr("err", err).Msg("a bot's call does not continue")
		c.leave(botLost, err)
		return
	}
	g.figures.resumed.Add(1)
	c.start(true)
	g.log.Info().Str("bot_call", d.CallSID).Dur("after", time.Since(begun)).Msg("a bot's call continues")
}

// reinvite tells the B2BUA our new port and Contact.
func (g *Gateway) reinvite(ctx context.Context, c *call) error {
	body, err := describe(c.local(), dialog.SDPVersion(), "sendrecv", c.dialog.Law, c.dialog.Event)
	if err != nil {
		return err
	}
	d := c.toSeal()
	user, err := g.seals.Seal(&d)
	if err != nil {
		return err
	}
	for {
		seq := c.dialog.nextCSeq()
		req := c.dialog.request(sip.INVITE, seq)
		req.AppendHeader(contact(user, g.local))
		req.AppendHeader(sip.NewHeader("Allow", allowed))
		req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
		req.SetBody(body)
		res, err := g.ask(ctx, req)
		if err != nil {
			return err
		}
		if res.StatusCode == 200 {
			if err := g.client.WriteRequest(c.dialog.request(sip.ACK, seq)); err != nil {
				return err
			}
			s, err := parseSession(res.Body())
			if err != nil {
				return err
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.follow(&s)
			return nil
		}
		if res.StatusCode != 491 && res.StatusCode != 500 {
			return fmt.Errorf("the re-INVITE got %d %s", res.StatusCode, res.Reason)
		}
		select { // an exchange was under way
		case <-time.After(rand.N(glarePause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
