//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowbridge/admin"
	"flowbridge/internal/pgtest"
)

// registrations returns the server's registrations, by its admin API.
func (s *server) registrations() admin.Registrations {
	s.t.Helper()
	return read[admin.Registrations](s, "/api/registrations")
}

// TestRegistersAtKamailio makes the B2BUA register at a registrar that requires credentials, and be called by it at its
// Contact, which is not a number. The registration is renewed, kept alive, and removed at the end.
func TestRegistersAtKamailio(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			s := newPreparedStage(t)
			at := s.freePort(netip.AddrFrom4([4]byte{127, 0, 5, s.b2bua.As4()[3]}))
			o := setup{listen: []string{s.listener("udp", s.b2bua), s.listener("tcp", s.b2bua)}, target: ", reinvite: relay"}
			config := replaceOnce(t, s.config(o), fmt.Sprintf(`sources: ["%v"]`, s.carrier),
				fmt.Sprintf(`transport: %s, register: {registrars: ["%v"], keep_alive: 5s}, dial_auth: {username: acme, password_env: E2E_TOKEN}`, transport, at))
			k := s.startKamailioWith("testdata/registrar.cfg", at, "@PASSWORD@", apiToken)
			s.server = startServer(t, s.TempDir(), config)
			s.server.targets = []uint16{s.agent.Port()}
			b := s.server
			eventually(t, "it is registered", func() bool {
				r := b.registrations().Outgoing
				return len(r) == 1 && r[0].State == "registered" && r[0].Trunk == "carrier"
			})
			one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
			agent := s.agentPlays("routed", two.key(), "@BY@", "carrier")
			carrier := s.carrierPlays("routed", append(one.key(), "-rsa", at.String()), "@BY@", "carrier")
			talk := s.talking(one, two, carrier, agent)
			talk.both()
			carrier.proceed(talk.id(carrier))
			agent.received("ACK ", 2)
			agent.proceed(talk.id(agent))
			carrier.received("ACK ", 1)
			carrier.leaves(agent, talk.id(carrier))
			b.records(hungUpByCaller)
			eventually(t, "it is renewed", func() bool { return k.registers() >= 2 && (transport == "tcp" || k.heard("OPTIONS")) })
			b.stop()
			eventually(t, "it is removed", func() bool { return k.heard("REGISTER acme 0 ") })
			k.stop()
		})
	}
}

// registers counts the REGISTERs that the registrar has accepted.
func (k *kamailio) registers() (n int) {
	for _, line := range k.output() {
		if strings.Contains(line, "e2e: REGISTER acme ") {
			n++
		}
	}
	return n
}

// heard reports whether the registrar has logged a request that begins like this.
func (k *kamailio) heard(begin string) bool {
	return slices.ContainsFunc(k.output(), func(line string) bool { return strings.Contains(line, "e2e: "+begin) })
}

// TestSoftphoneRegisters makes a softphone register, call an agent, and be called by the carrier, also by the next
// process after a kill. When it leaves, its Contact is gone. Of two challenges, this softphone (baresip 1.0) uses only
// the first.
func TestSoftphoneRegisters(t *testing.T) {
	s := newPreparedStage(t)
	config := s.config(setup{sip: ", auth_algorithms: [MD5]", trunk: fromLoopback, listen: []string{"udp://" + s.freePort(s.b2bua).String()}})
	config = replaceOnce(t, config, "\ntargets:", "\n  - {name: phone, auth: {username: \""+caller+"\", password_env: E2E_TOKEN}, registrar: {}, media_sources: [127.0.0.1]}\ntargets:")
	config = replaceOnce(t, config, "\nroutes:", "\nroutes:\n  - {trunk: phone, targets: [synthflow]}\n  - {trunk: carrier, to: \"^\\\\+1508\", trunks: [phone]}")
	b := startServer(t, s.TempDir(), config)
	s.server, b.targets = b, []uint16{s.agent.Port()}
	words, at := softWords(71), s.freePort(s.stranger)
	account := fmt.Sprintf("<sip:%s@%v>;auth_user=%s;auth_pass=%s;regint=60;answermode=auto;audio_codecs=PCMU/8000/1\n", caller, b.sip, caller, apiToken)
	phone := s.softphone(t.TempDir(), nil, account, at, words)
	eventually(t, "it is registered", func() bool {
		r := b.registrations().Incoming
		return len(r) == 1 && r[0].Address == at.String() && r[0].Trunk == "phone"
	})

	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	phone.calls(s.to())
	agent.confirmed(1)
	eventually(t, "the agent hears the phone", func() bool { return len(two.heard()) > 10 })
	phone.command("hangup", "")
	phone.await("CALL_CLOSED")
	agent.finish()
	eventually(t, "the call is the phone's", func() bool {
		all := b.cdrs()
		return len(all) == 1 && all[0].Trunk == "phone" && all[0].From == caller && all[0].Cause == "caller_hangup"
	})

	b.signal(syscall.SIGKILL)
	b.exit()
	b = startServer(t, b.dir, config)
	s.server = b
	carrier := s.startBaresip(softWords(72))
	carrier.command("dial", fmt.Sprintf("sip:+15085550100@%v", b.sip))
	carrier.await("CALL_ESTABLISHED")
	carrier.hears(2 * time.Second)
	phone.hears(2 * time.Second)
	carrier.hangUp()
	phone.await("CALL_CLOSED")
	phone.quit()
	hearEachOther(t, carrier, phone)
	eventually(t, "its Contact is removed", func() bool { return len(b.registrations().Incoming) == 0 })
	b.stop()
}

// TestRegisteredAtAnotherNode makes softphones register at one node of a fleet, and the carrier call them through the
// other node. A softphone that the other node can reach is called, even if its own node is dead. A softphone that it
// can't reach is called by its own node, if the route has that node, and is refused otherwise. In that case the record
// says where it has registered.
func TestRegisteredAtAnotherNode(t *testing.T) {
	s := newPreparedStage(t)
	dsn := filepath.Join(t.TempDir(), "dsn")
	must(t, os.WriteFile(dsn, []byte(pgtest.Start(t).Database()+"\n"), 0o600))
	node := func(name, ports, other, routes string) *server {
		config := s.config(setup{
			sip: ", auth_algorithms: [MD5]", trunk: fromLoopback, media: ", ports: " + ports,
			listen: []string{s.listener("udp", s.b2bua), s.listener("tcp", s.b2bua)},
		})
		for _, user := range []string{"phone", "desk"} {
			config = replaceOnce(t, config, "\ntargets:", "\n  - {name: "+user+", auth: {username: "+user+", password_env: E2E_TOKEN}, registrar: {}, media_sources: [127.0.0.1], first_response_timeout: 1h}\ntargets:")
		}
		config = replaceOnce(t, config, "\ntargets:", fmt.Sprintf("\n  - {name: other, sources: [\"%v\"]%s}\ntargets:", s.b2bua, other))
		config = replaceOnce(t, config, "\nroutes:", "\nroutes:\n"+routes)
		return startServer(t, t.TempDir(), config+"fleet: {dsn_file: "+dsn+", node: "+name+"}\n")
	}
	a := node("a", "20000-20999", "", "  - {trunk: other, trunks: [desk]}")
	b := node("b", "21000-21999", fmt.Sprintf(", uri: \"sip:{{.To.Number}}@%v\", first_response_timeout: 1h", a.sip),
		`  - {trunk: carrier, to: "^\\+1508", trunks: [phone]}`+"\n"+`  - {trunk: carrier, to: "^\\+1509", trunks: [desk, other]}`)
	s.server, b.targets = b, []uint16{s.agent.Port()}
	register := func(user, over string) *baresip {
		at := s.freePort(s.stranger)
		account := fmt.Sprintf("<sip:%s@%v;transport=%s>;auth_user=%s;auth_pass=%s;regint=600;answermode=auto;audio_codecs=PCMU/8000/1\n", user, a.at(over, s.stranger), over, user, apiToken)
		return s.softphone(t.TempDir(), nil, account, at, softWords(71))
	}
	phone, desk := register("phone", "udp"), register("desk", "tcp")
	eventually(t, "both are registered", func() bool { return len(a.registrations().Incoming) == 2 })
	eventually(t, "the other node shows both", func() bool {
		all := b.registrations().Incoming
		return len(all) == 2 && all[0].Node == "a" && all[1].Node == "a"
	})
	carrier := s.startBaresip(softWords(72))
	call := func(number string) { carrier.command("dial", fmt.Sprintf("sip:%s@%v", number, b.sip)) }
	talk := func(number string, called *baresip) {
		call(number)
		carrier.await("CALL_ESTABLISHED")
		called.hears(2 * time.Second)
		carrier.command("hangup", "")
		carrier.await("CALL_CLOSED")
		called.await("CALL_CLOSED")
	}
	talk("+15085550100", phone)
	talk("+15095550100", desk)
	a.kill()
	talk("+15085550100", phone)
	answered, passedOn := want{"answered", "caller_hangup", "caller", 200, []try{{"", 0, 200}}}, want{"answered", "caller_hangup", "caller", 200, []try{{"target_unreachable", 0, 0}, {"", 0, 200}}}
	refused := b.records(answered, passedOn, answered)[1].Attempts[0]
	if len(refused.Tried) != 1 || !strings.HasPrefix(refused.Tried[0], "tcp://") || !strings.HasSuffix(refused.Tried[0], " registered at node a") {
		t.Errorf("the attempt that failed is %+v", refused)
	}
	for _, p := range []*baresip{phone, desk, carrier} {
		p.quit()
	}
	b.stop()
}
