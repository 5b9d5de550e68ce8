package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/sip"
)

// kamailioConfig makes Kamailio do the same for a call as Flowbridge does: prepare it by HTTP, send the INVITE to the
// agent with the id in X-EI, and have rtpengine relay the audio.
//
// http_client blocks its process while it waits, so there are eight processes; four or sixteen cost the same CPU time.
// Debian's packages lack http_async_client, which would wait without blocking. http_connect keeps its connection, while
// http_client_query opens one for each request; http_connect has no argument for headers, so the token is sent with the
// type of the body.
//
// With BARE, Kamailio is a proxy that only keeps transactions and dialogs.
const kamailioConfig = `
children=%[6]d
log_stderror=yes
debug=-1
auto_aliases=no
listen=udp:%[1]v:5060
mpath="%[5]s"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "textops.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
modparam("tm", "fr_timer", 5000)
#!ifdef BARE
loadmodule "dialog.so"
request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (has_totag()) {
    if (loose_route() || is_method("ACK") && t_check_trans()) t_relay();
    exit;
  }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  if (!is_method("INVITE")) { sl_send_reply("405", "Method Not Allowed"); exit; }
  if ($si != "%[2]v") { sl_send_reply("403", "Forbidden"); exit; }
  if (!t_newtran()) exit; # a repeat
  dlg_manage();
  record_route();
  $du = "sip:%[3]v";
  if (!t_relay()) t_reply("500", "Internal Error");
}
#!else
loadmodule "http_client.so"
loadmodule "rtpengine.so"
modparam("http_client", "keep_connections", 1)
modparam("http_client", "connection_timeout", 3)
modparam("http_client", "httpcon", "platform=>http://%[4]v")
modparam("rtpengine", "rtpengine_sock", "udp:%[1]v:2223")
request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (has_totag()) {
    if (!loose_route()) { if (is_method("ACK") && t_check_trans()) t_relay(); exit; }
    if (is_method("BYE")) rtpengine_delete();
    t_relay();
    exit;
  }
  if (is_method("CANCEL")) { if (t_check_trans()) { rtpengine_delete(); t_relay(); } exit; }
  if (!is_method("INVITE")) { sl_send_reply("405", "Method Not Allowed"); exit; }
  if ($si != "%[2]v") { sl_send_reply("403", "Forbidden"); exit; }
  if (!t_newtran()) exit; # a repeat
  $var(body) = "{\"model_id\":\"bench\",\"workspace_id\":\"\",\"custom_variables\":{},\"from_number\":\"" + $fU
    + "\",\"to_number\":\"" + $rU + "\"}";
  $var(code) = http_connect("platform", "/v2/prepare_inbound", "application/json\r\nAuthorization: Bearer %[7]s",
    "$var(body)", "$var(answer)");
  $var(id) = $(var(answer){re.subst,/.*"synthflow_call_id": *"([^"]*)".*/\1/s});
  if ($var(code) != 200 || $var(id) == "") { t_reply("503", "Service Unavailable"); exit; }
  append_hf("X-EI: S.$var(id);\r\n");
  if (!rtpengine_offer("replace-origin replace-session-connection ICE=remove")) {
    t_reply("503", "Service Unavailable");
    exit;
  }
  t_on_reply("answered");
  t_on_failure("ended");
  record_route();
  $du = "sip:%[3]v";
  if (!t_relay()) { rtpengine_delete(); t_reply("500", "Internal Error"); }
}
onreply_route[answered] {
  if (has_body("application/sdp")) rtpengine_answer("replace-origin replace-session-connection ICE=remove");
}
failure_route[ended] { rtpengine_delete(); }
#!endif
`

const kamailioChildren = 8

// startKamailio starts Kamailio: with rtpengine without its kernel module, or as a bare proxy, which does not change
// session descriptions.
func (b *bench) startKamailio(name string, last byte) (*system, error) {
	at := b.at.at(last)
	s := &system{name: name, sut: netip.AddrPortFrom(at, 5060), bare: name == "proxy"}
	s.carriers, s.media = []netip.AddrPort{b.at.carrier}, []string{at.String()}
	if s.bare {
		s.media = []string{b.at.carrier.Addr().String(), b.at.agent.Addr().String()}
	}
	if err := b.launchKamailio(s, at); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (b *bench) launchKamailio(s *system, at netip.Addr) error {
	modules, err := modulesOf()
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, s.name+".cfg")
	text := fmt.Sprintf(kamailioConfig, at, b.at.carrier.Addr(), b.at.agent, b.at.api, modules, kamailioChildren, token)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	var media process.Group
	if !s.bare {
		if media, err = b.launchMedia(s, at); err != nil {
			return err
		}
	}
	proxy, err := b.launchProxy(s, file)
	if err != nil {
		return err
	}
	if err := s.await(proxy.PID()); err != nil {
		return err
	}
	s.group = append(append(s.group, proxy.PID()), media...)
	return nil
}

// launchMedia starts rtpengine.
func (b *bench) launchMedia(s *system, at netip.Addr) (process.Group, error) {
	empty, log := filepath.Join(b.dir, "rtpengine.conf"), filepath.Join(b.dir, "rtpengine.log")
	if err := os.WriteFile(empty, []byte("[rtpengine]\n"), 0o600); err != nil { // instead of this machine's file in /etc
		return nil, err
	}
	ready := func() error { return ping(netip.AddrPortFrom(at, 2223)) }
	// Ended calls are forgotten at once. By default rtpengine keeps them, with their sockets, for half a minute.
	media, err := s.launch("rtpengine", log, ready, b.alone("rtpengine", "--config-file="+empty, "--foreground",
		"--log-stderr", "--log-level=3", "--table=-1", "--delete-delay=0", fmt.Sprintf("--interface=%v", at),
		fmt.Sprintf("--listen-ng=%v:2223", at), "--port-min=10000", "--port-max=59999")...)
	if err != nil {
		return nil, err
	}
	return process.Group{media.PID()}, nil
}

func (b *bench) launchProxy(s *system, file string) (*process.Child, error) {
	log, own := filepath.Join(b.dir, s.name+".log"), filepath.Join(b.dir, s.name) // for -Y: its sockets
	if err := os.MkdirAll(own, 0o700); err != nil {
		return nil, err
	}
	line := []string{"kamailio", "-DD", "-E", "-m", "512", "-M", "16", "-f", file, "-Y", own, "-u", "root"}
	if s.bare {
		line = append(line, "-A", "BARE")
	}
	return s.launch("kamailio", log, func() error { return options(s.sut) }, b.alone(line...)...)
}

// await waits until Kamailio has started all its processes: until no new one has appeared for a second.
func (s *system) await(pid int) error {
	const still = 50
	same := 0
	return process.Until(startsWithin, func() error {
		all, err := process.Children(pid)
		if same++; len(all) != len(s.group) {
			same = 0
		}
		s.group = all
		if err == nil && (same < still || len(all) <= kamailioChildren) {
			err = fmt.Errorf("kamailio has only %d processes", len(all))
		}
		return err
	})
}

// modulesOf returns the directory of Kamailio's modules, in the system of PEER_ROOT if that is set.
func modulesOf() (string, error) {
	root := os.Getenv("PEER_ROOT")
	for _, pattern := range []string{"/usr/lib/*/kamailio/modules", "/usr/lib*/kamailio/modules"} {
		if all, _ := filepath.Glob(root + pattern); len(all) > 0 {
			if _, err := os.Stat(filepath.Join(all[0], "http_client.so")); err != nil {
				return "", fmt.Errorf("%w: apt-get install kamailio-utils-modules", err)
			}
			return strings.TrimPrefix(all[0], root), nil
		}
	}
	_, err := exec.LookPath("kamailio")
	if err == nil {
		err = os.ErrNotExist
	}
	return "", fmt.Errorf("no modules of Kamailio: %w: "+
		"apt-get install kamailio kamailio-utils-modules rtpengine-daemon", err)
}

// ping checks with rtpengine's NG protocol whether it is running.
func ping(at netip.AddrPort) error { return ask(at, "1 d7:command4:pinge", "pong") }

// options checks whether a SIP server is running. Any answer will do.
func options(at netip.AddrPort) error {
	return ask(at, fmt.Sprintf("OPTIONS sip:%[1]v SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK%[2]s\r\n"+
		"Max-Forwards: 1\r\nFrom: <sip:bench@%[1]v>;tag=1\r\nTo: <sip:%[1]v>\r\nCall-ID: %[2]s\r\nCSeq: 1 OPTIONS\r\n"+
		sip.Empty, at, series()), "SIP/2.0 ")
}

// ask sends a datagram and waits for an answer.
func ask(at netip.AddrPort, question, want string) error {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(question)); err != nil {
		return err
	}
	var b [2048]byte
	n, err := c.Read(b[:])
	if err == nil && !strings.Contains(string(b[:n]), want) {
		err = fmt.Errorf("%v answers %q", at, b[:n])
	}
	return err
}
