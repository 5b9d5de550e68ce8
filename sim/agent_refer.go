package sim

import (
	"bytes"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"
)

// referTimeout bounds how long the agent waits for word of a transfer.
const referTimeout = 2 * time.Minute

// referral is what the agent asks of the caller's side: to call somebody else
// (RFC 3515).
type referral struct {
	to      string   // of Refer-To, without brackets
	headers []Header // of the REFER
}

// refer asks the caller's side to transfer the call and stays until that says
// how it went. The Side is whose turn it is then to end the call.
func (s *agent) refer(c *agentCall, d *dialog, source string) Side {
	req := d.request(sip.REFER)
	req.AppendHeader(s.sip.contact("agent", source))
	req.AppendHeader(sip.NewHeader("Refer-To", "<"+c.refers.to+">"))
	for _, h := range c.refers.headers {
		req.AppendHeader(sip.NewHeader(h.Name, h.Value))
	}
	status := s.sip.ask(req)
	c.update(func(seen *AgentCall) { seen.ReferTo, seen.ReferStatus = c.refers.to, status })
	s.log.Info().Str("sip_call_id", c.seen.CallID).Str("to", c.refers.to).Int("code", status).Msg("transfer asked for")
	if status < 200 || status > 299 {
		return SideAgent
	}
	timer := time.NewTimer(referTimeout)
	defer timer.Stop()
	select {
	case <-c.bye.ch:
		return SideCaller
	case <-c.referred.ch: // RFC 5589 §6.1: who asked hangs up once it has worked
	case <-timer.C:
	case <-s.sip.ctx.Done():
	}
	return SideAgent
}

// onNotify takes down what a transfer has come to (RFC 3515 §2.4.5).
func (s *agent) onNotify(req *sip.Request, tx sip.ServerTransaction) {
	c := s.find(req)
	if c == nil {
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	if code := sipfragStatus(req.Body()); code >= 200 {
		c.update(func(seen *AgentCall) { seen.ReferResult = code })
		c.referred.set()
	}
	ok(req, tx)
}

// sipfragStatus is the code of a status line (RFC 3420), 0 if it is none.
func sipfragStatus(body []byte) int {
	rest, isStatus := bytes.CutPrefix(body, []byte("SIP/2.0 "))
	if !isStatus || len(rest) < 3 {
		return 0
	}
	n, err := strconv.Atoi(string(rest[:3]))
	if err != nil || n < 100 {
		return 0
	}
	return n
}
