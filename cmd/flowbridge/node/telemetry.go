package node

import (
	"time"

	"flowbridge/b2bua/ladder"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/telemetry/hep"
	"flowbridge/telemetry/otlp"
)

// startTelemetry starts to send the traces of calls and to mirror their SIP, if that is configured.
func (n *Node) startTelemetry(cfg *config.Telemetry, node string) error {
	if cfg.HEP.On() {
		network, address := cfg.HEP.Server()
		m := mirror{hep.New(hep.Options{
			Network: network, Address: address, CaptureID: uint32(cfg.HEP.CaptureID),
			Log: n.log,
		})}
		n.add(part{follower: m, gauges: exporting("hep_packets", "HEP packets", m.to.Sent, m.to.Dropped), close: m.to.Close})
	}
	if !cfg.OTLP.On() {
		return nil
	}
	traces, err := otlp.New(otlp.Options{
		Endpoint: cfg.OTLP.Endpoint, Token: cfg.OTLP.Token.Reveal(),
		Node: node, Version: cli.Version(), Log: n.log,
	})
	if err != nil {
		return err
	}
	n.add(part{
		watcher: traces, gauges: exporting("traces", "Traces of calls", traces.Exported, traces.Dropped),
		close: traces.Close,
	})
	return nil
}

// mirror sends messages and media quality to a HEP server.
type mirror struct{ to *hep.Mirror }

var _ ladder.MediaFollower = mirror{}

// Message mirrors a SIP message.
func (m mirror) Message(f ladder.Followed) {
	m.to.SIP(hep.Message{
		Call: f.Call, At: f.At, Received: f.Received, Local: f.Local, Remote: f.Remote,
		Stream: f.Transport != config.TransportUDP, Data: f.Text,
	})
}

// Media mirrors the quality of each side's stream: as we received it, and as the side received our stream according
// to its RTCP.
func (m mirror) Media(f ladder.Measured) {
	for _, side := range []media.Side{media.SideA, media.SideB} {
		s, local := f.Stats.Of(side), f.Local[side]
		rtt := float64(s.RTT) / float64(time.Millisecond)
		if all := s.RxPackets + s.Lost; s.RxPackets > 0 {
			m.to.Report(hep.Report{
				Call: f.Call, At: f.At, From: local, To: s.Source, SSRC: s.SSRC, Packets: int64(s.RxPackets), Lost: int64(s.Lost),
				Loss: float64(s.Lost) / float64(all), JitterMS: s.JitterMS, RTTMS: rtt, MOS: s.MOS,
			})
		}
		if s.Remote.Reports > 0 {
			m.to.Report(hep.Report{
				Call: f.Call, At: f.At, From: s.Source, To: local, Packets: int64(s.TxPackets), Lost: s.Remote.Lost,
				Loss:     s.Remote.FractionLost,
				JitterMS: s.Remote.JitterMS, RTTMS: rtt,
			})
		}
	}
}
