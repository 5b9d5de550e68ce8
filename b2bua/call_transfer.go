package b2bua

import "github.com/emiago/sipgo/sip"

type transfer struct{}

func (c *Call) onTransfer(told) phase     { return nil }
func (c *Call) isTransferLine(*line) bool { return false }
func (c *Call) transferLegGone(Gone)      {}
func (c *Call) agentLeft(Gone)            {}
func (c *Call) stopTransfer(Cause)        {}
func (c *Call) watched() bool             { return false }
func (c *Call) onRefer(from *line, req *sip.Request) {
	c.reply(from, req, 603)
}
