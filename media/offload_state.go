package media

import (
	"flowbridge/media/kernel"
	"flowbridge/media/packet"
)

// state returns the state of ep's stream in the kernel's form. The kernel continues from these counts, so that another
// process finds complete figures there.
func (o *offloader) state(ep *endpoint) kernel.State {
	c, d := ep.count, read(&ep.count.drops)
	k := kernel.State{
		Last:    ep.latch().Heard() + o.epoch,
		Packets: c.RxPackets.Load(), Bytes: c.RxBytes.Load(), Sent: c.TxPackets.Load(), SentBytes: c.TxBytes.Load(),
		WrongSource: d.WrongSource.Load(), WrongSSRC: d.WrongSSRC.Load(), Discarded: d.Discarded.Load(),
	}
	if h := ep.relay.stages.Hearer(ep.side); h != nil {
		k.Speech = h.Speech(o.epoch)
	}
	ep.stream.ToKernel(&k, o.epoch)
	return k
}

// takeOver adds the kernel's counts since the last read to the counts of ep, and copies the kernel's stream state to
// ep.
func (ep *endpoint) takeOver(k *kernel.State) {
	was, c := &ep.offload.seen, ep.count
	if k.WrongSource > was.WrongSource {
		c.dropped().WrongSource.Add(k.WrongSource - was.WrongSource)
	}
	if k.WrongSSRC > was.WrongSSRC {
		c.dropped().WrongSSRC.Add(k.WrongSSRC - was.WrongSSRC)
	}
	if k.Discarded > was.Discarded {
		c.dropped().Discarded.Add(k.Discarded - was.Discarded)
	}
	if k.Packets > was.Packets {
		c.RxPackets.Add(k.Packets - was.Packets)
		c.RxBytes.Add(k.Bytes - was.Bytes)
		c.TxPackets.Add(k.Sent - was.Sent)
		c.TxBytes.Add(k.SentBytes - was.SentBytes)
		last := k.Last - ep.offload.by.epoch
		ep.latch().Hear(max(ep.latch().Heard(), last))
		ep.relay.hears(ep.side, last)
		ep.stream.FromKernel(k, ep.offload.by.epoch)
		heard := c.ofRTP()
		heard.Last.Store(int64(last))
		heard.keep(&ep.stream, packet.Header{SSRC: k.SSRC, PayloadType: k.LastPayloadType})
	}
	ep.overhear(k)
	*was, ep.offload.read = *k, k.At-ep.offload.by.epoch
	was.Speech = nil // the slice belongs to package kernel
}

// overhear tells the stages about the speech that the kernel has detected.
func (ep *endpoint) overhear(k *kernel.State) {
	if h := ep.relay.stages.Hearer(ep.side); h != nil && k.Speech != nil {
		h.Overhear(k.Speech, k.At-ep.offload.by.epoch, ep.offload.read, ep.offload.by.epoch)
	}
}
