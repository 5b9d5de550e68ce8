package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/sip"
)

// startRTPEngine starts rtpengine without its kernel module, in its default configuration, and controls it with its NG
// protocol.
func (s *system) startRTPEngine(dir string) error {
	binary, err := exec.LookPath("rtpengine")
	if err != nil {
		return fmt.Errorf("%w: apt-get install rtpengine-daemon", err)
	}
	config, log := filepath.Join(dir, "rtpengine.conf"), filepath.Join(dir, "rtpengine.log")
	if err := os.WriteFile(config, []byte("[rtpengine]\n"), 0o600); err != nil { // instead of this machine's file in /etc
		return err
	}
	const control = 2223
	args := append([]string{
		"--config-file=" + config, "--foreground", "--log-stderr", "--log-level=4", "--table=-1",
		fmt.Sprintf("--interface=%v", namespace.RelayAddr), fmt.Sprintf("--listen-ng=%v:%d", namespace.RelayAddr, control),
		"--port-min=10000", "--port-max=60999",
	}, strings.Fields(os.Getenv("RTPENGINE_ARGS"))...)
	if err := s.launch(log, exec.CommandContext(context.Background(), binary, args...)); err != nil {
		return err
	}
	var conn *net.UDPConn
	if err := s.network.Carrier.Do(func() (err error) {
		conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(namespace.RelayAddr, control)))
		return err
	}); err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = conn.Close() })
	c := &ngClient{conn: conn, describe: s.caller, secure: s.secure}
	if s.speech != nil {
		c.flags = "5:flagsl14:codec-mask-all20:codec-transcode-PCMU28:codec-set-opus/48000/2/24000e"
	}
	if err := process.Until(10*time.Second, func() error {
		_, err := c.ask(map[string]string{"command": "ping"})
		return err
	}); err != nil {
		return fmt.Errorf("rtpengine does not start: %w; %s", err, process.Tail(log))
	}
	s.open = c.call
	return nil
}

// ngClient is a client for rtpengine's NG protocol: a cookie, and a dictionary in BitTorrent's encoding.
type ngClient struct {
	conn     *net.UDPConn
	cookie   int
	describe func(call int, a netip.AddrPort) string // the carrier's end
	secure   *secure
	flags    string // an encoded entry of requests; may be empty
}

// call makes rtpengine connect two ends: an offer with A's description, an answer with B's. The rewritten description
// of each is where the other end must send.
func (c *ngClient) call(n int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error) {
	request := map[string]string{
		"command": "offer", "call-id": fmt.Sprint("bench-", n), "from-tag": "a", "sdp": c.describe(n, a), "ICE": "remove",
	}
	if c.secure != nil {
		request["transport-protocol"] = "RTP/SAVP"
	}
	reply, err := c.ask(request)
	if err != nil {
		return forA, forB, err
	}
	delete(request, "transport-protocol")
	offer := field(reply, "sdp")
	request["command"], request["to-tag"], request["sdp"] = "answer", "b", c.secure.describe(1, offer, sip.Description(b))
	if reply, err = c.ask(request); err != nil {
		return forA, forB, err
	}
	answer := field(reply, "sdp")
	forA, forB = sip.Media(answer), sip.Media(offer)
	return forA, forB, errors.Join(c.secure.learn(0, answer), c.secure.learn(1, offer), valid(forA, forB))
}

// ask sends a request and returns the reply, which must be a success.
func (c *ngClient) ask(request map[string]string) (reply string, err error) {
	c.cookie++
	cookie := fmt.Sprint(c.cookie, " ")
	if _, err := c.conn.Write([]byte(cookie + "d" + c.flags + bencode(request)[1:])); err != nil {
		return "", err
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	var b [65536]byte
	for {
		n, err := c.conn.Read(b[:])
		if err != nil {
			return "", err
		}
		text, ours := strings.CutPrefix(string(b[:n]), cookie)
		if !ours { // it answers a request that was given up
			continue
		}
		if r := field(text, "result"); r != "ok" && r != "pong" {
			return "", fmt.Errorf("%w: %s %s", errNoAnswer, r, field(text, "error-reason"))
		}
		return text, nil
	}
}
