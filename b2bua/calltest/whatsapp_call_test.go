package calltest

import (
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// whatsAppSDP returns WhatsApp's description of audio with keys in SDP (SDES) and without ICE: Opus and
// telephone-event.
func whatsAppSDP(host string, port int, key string) string {
	s := strings.Replace(siptest.SessionAt(host, port, "126", key, "a=rtpmap:111 opus/48000/2",
		"a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1", "a=maxptime:20", "a=ptime:20"),
		"RTP/AVP 126", "RTP/SAVP 111 126", 1)
	return strings.Replace(s, "s=-", "s=WhatsApp", 1)
}

// A WhatsApp user calls over TLS, identified by a certificate, with SRTP keys in SDP and with Opus. The agent gets Opus
// unchanged, with the caller's parameters, but with keys of its own.
func TestCallOfWhatsApp(t *testing.T) {
	ca := siptest.NewAuthority(t, "ca")
	agentPair, metaPair := ca.Pair("agent", "agent.test"), ca.Pair("meta", "wa.meta.vc")
	config := strings.NewReplacer(
		`{name: carrier, sources: ["192.0.2.10"]}`, `{name: carrier, certificates: [wa.meta.vc], codecs: [opus], media: {srtp: required}}`,
		`{name: agent, kind: sip,`, `{name: agent, kind: sip, codecs: [opus], media: {srtp: required},`,
	).Replace(tlsConfig(ca))
	inWorldWith(t, config, func(w *world) {
		agents := w.streamAgent(agentAddr)
		meta, err := w.connectTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "bridge.test", Certificates: []tls.Certificate{metaPair}})
		must(t, err)
		d := meta.newCall("+15075785607")
		d.sdp = whatsAppSDP("192.0.2.10", 20000, cryptoAttr(1, cm80, 'a'))
		meta.invitesTillRung(d)
		agent, err := agents.acceptTLS(&tls.Config{Certificates: []tls.Certificate{agentPair}})
		must(t, err)
		invite := agent.expect("INVITE")
		for _, line := range []string{" RTP/SAVP 111 126\r\n", "a=rtpmap:111 opus/48000/2\r\n", "useinbandfec=1"} {
			if !strings.Contains(invite.raw, line) {
				t.Errorf("the agent is not offered %q:\n%s", line, invite.raw)
			}
		}
		_, offered := cryptoOf(t, invite)
		if len(offered) == 0 || strings.Contains(invite.raw, siptest.SRTPKey(cm80, 'a')) {
			t.Errorf("the agent has other keys than its own:\n%s", invite.raw)
		}
		tag := ""
		for one, l := range offered {
			if l.Keys.Suite == cm80 {
				tag = one
			}
		}
		key := strings.Replace(cryptoAttr(1, cm80, 'b'), "crypto:1", "crypto:"+tag, 1)
		ok := meta.isTakenWith(agent, invite, "agent1", d, whatsAppSDP("192.0.2.20", 30000, key))
		if !strings.Contains(ok.raw, " RTP/SAVP 111 126\r\n") || !strings.Contains(ok.raw, "a=rtpmap:111 opus/48000/2\r\n") {
			t.Errorf("WhatsApp is answered:\n%s", ok.raw)
		}
		w.wantMedia(media.SideA, 'a', wantCrypto(t, ok, "1", cm80))
		ours := offered[tag].Keys
		w.wantMedia(media.SideB, 'b', &ours)
		synctest.Wait()
		meta.hangsUpOn(agent, d)
		if r := w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller); !strings.EqualFold(r.Codec, "opus") || r.Media.A.SRTP == "" || r.Media.B.SRTP == "" {
			t.Errorf("codec %q, media %+v", r.Codec, r.Media)
		}
	})
}

// GPT-Live calls out over a trunk with TLS, digest authentication, SRTP keys in SDP, and Opus, which the carrier does
// not have. The carrier gets PCMU, and GPT-Live gets Opus.
func TestCallOfGPTLive(t *testing.T) {
	ca := siptest.NewAuthority(t, "ca")
	config := strings.NewReplacer(
		`{name: carrier, sources: ["192.0.2.10"]}`, `{name: pstn, sources: ["192.0.2.30"], uri: "sip:{{.To.Number}}@192.0.2.30"}`,
		`{name: agent, kind: sip,`, `{name: openai, media: {srtp: required}, call_auth: {username: openai, password_env: P}, kind: sip,`,
		`  - {to: "^\\+1507", targets: [agent]}`, `  - {target: openai, to: "^\\+1507", trunks: [pstn]}`,
		`, client_ca: `+ca.File, "", `targets: [agent, spare]`, `targets: [openai, spare]`,
	).Replace(tlsConfig(ca))
	inWorldWith(t, config, func(w *world) {
		pbx := w.peer(pbxAddr)
		w.others = append(w.others, pbx)
		live, err := w.connectTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "bridge.test"})
		must(t, err)
		d := live.newCall("+15075785607")
		d.extra = authorize(d, live.challenged(d), "MD5", "openai", "secret", 1)
		d.sdp = whatsAppSDP("192.0.2.10", 20000, cryptoAttr(1, cm80, 'a'))
		live.invitesTillRung(d)
		invite := pbx.expect("INVITE")
		if !strings.Contains(invite.raw, " RTP/AVP 0 8 126\r\n") {
			t.Errorf("the carrier is offered:\n%s", invite.raw)
		}
		ok := live.isTakenWith(pbx, invite, "pstn1", d, sdpWith("192.0.2.30", 0))
		if !strings.Contains(ok.raw, " RTP/SAVP 111 126\r\n") && !strings.Contains(ok.raw, " RTP/SAVP 111\r\n") {
			t.Errorf("GPT-Live is answered:\n%s", ok.raw)
		}
		w.wantTranscoders([2]bool{true, false})
		live.hangsUpOn(pbx, d)
		if r := w.record(); r.Disposition != record.DispositionAnswered || r.Direction != "outbound" || r.Target != "openai" || r.Trunk != "pstn" {
			t.Errorf("record %+v", r)
		}
	})
}
