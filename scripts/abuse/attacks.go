package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/sip"
)

// The addresses of the attacks: the server, a trunk's, another trunk's, the agent's, and a host that calls may be
// transferred to.
var (
	serverAt    = netip.MustParseAddrPort("127.0.5.1:5060")
	attackerAt  = netip.MustParseAddrPort("127.0.6.1:5060")
	neighbourAt = netip.MustParseAddrPort("127.0.6.2:5060")
	agentAt     = netip.MustParseAddrPort("127.0.7.1:5060")
	listedAt    = netip.MustParseAddrPort("127.0.7.9:6379")
)

// patience bounds each wait for what must happen, and settle is how long something must not happen.
const (
	patience = 20 * time.Second
	settle   = 2 * time.Second
)

// attack is something that a peer does with what it may say. It returns an error if it works.
type attack struct {
	name   string
	config string // further sections
	try    func(*victim) error
}

var attacks = []attack{
	{"the URLs of a CA's directory lead elsewhere", acmeAt("elsewhere"), (*victim).certified},
	{"a CA redirects its directory", acmeAt("redirected"), (*victim).certified},
	{"one trunk rings until no transcoder is free", "", (*victim).ringsInOpus},
	{"one token listens until no place is free", "", (*victim).listensToAll},
	{"a dangling link beside the database", "", (*victim).followsLink},
	{"a REFER to another port of a listed host", "", (*victim).transfers},
}

// acmeAt returns a section with a CA whose directory has this name.
func acmeAt(way string) string {
	return `  tls: {acme: {domains: [sip.example.com], directory: "@CA@/` + way + `",
        ca: "@DIR@/ca.pem", listen: "http://127.0.5.1:5080"}}
`
}

// victim is a server of its own for each attack, and those around it.
type victim struct {
	*flowbridge.Server

	dir, binary string
	ca          *httptest.Server
	asked       atomic.Int64 // requests that somebody else gets whom an answer names

	attacker, neighbour, agent sip.UDP
	invites                    map[string]*sip.Dialog // of the agent, by their number; under its lock
}

// runAttacks makes each attack, and prints whether it was held off.
func runAttacks(binary string) error {
	var worked []string
	for _, a := range attacks {
		err := a.run(binary)
		said := "held off"
		if err != nil {
			said, worked = "WORKED: "+err.Error(), append(worked, a.name)
		}
		fmt.Fprintf(os.Stdout, "%-46s %s\n", a.name, said)
	}
	if worked != nil {
		return fmt.Errorf("%d attacks have worked", len(worked))
	}
	return nil
}

func (a *attack) run(binary string) error {
	dir, err := os.MkdirTemp("", "attack")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	v := &victim{dir: dir, binary: binary, invites: map[string]*sip.Dialog{}}
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { v.asked.Add(1) }))
	defer other.Close()
	v.ca = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/redirected") {
			http.Redirect(w, r, other.URL+"/api/drain", http.StatusTemporaryRedirect)
			return
		}
		all := map[string]string{}
		for _, name := range []string{"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"} {
			all[name] = other.URL + "/api/drain"
		}
		_ = json.NewEncoder(w).Encode(all)
	}))
	defer v.ca.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.ca.Certificate().Raw})
	ends := map[netip.AddrPort]*sip.UDP{attackerAt: &v.attacker, neighbourAt: &v.neighbour, agentAt: &v.agent}
	for at, u := range ends {
		if err = u.Listen(at.Addr().String(), namespace.Here, at, serverAt); err != nil {
			return err
		}
		defer u.Close()
		if u == &v.agent {
			u.Arrive = v.arrive
		}
		go u.Run()
	}
	if v.Server, err = flowbridge.New(binary, dir, namespace.Here); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"ca.pem": string(authority), "anna": "anna-token-0123456789", "bob": "bob-token-0123456789",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	err = errors.Join(err, v.Configure(v.configuration(a.config)), v.Start())
	if err == nil {
		err = a.try(v)
	}
	v.Stop()
	return err
}

func (v *victim) configuration(more string) string {
	tls := ""
	if more != "" {
		tls = `, "tls://127.0.5.1:0"`
	}
	return strings.NewReplacer(
		"@TLS@", tls, "@STORE@", v.Store(), "@SOCKET@", v.Socket(), "@DIR@", v.dir, "@CA@", v.ca.URL,
		"@LISTED@", listedAt.Addr().String(), "@AGENT@", agentAt.String(),
	).Replace(`sip:
  listen: ["udp://127.0.5.1:5060"@TLS@]
` + more + `media: {listen: ["127.0.5.1"], max_transcoded: 8}
trunks:
  - {name: attacker, sources: ["127.0.6.1"]}
  - {name: neighbour, sources: ["127.0.6.2"]}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@@AGENT@", transfer: local, transfer_hosts: ["@LISTED@"]}
routes:
  - {targets: [agent]}
store: {path: "@STORE@"}
admin:
  listen: "unix://@SOCKET@"
  local: operate
  tokens:
    - {name: anna, file: "@DIR@/anna", rights: read, listen: true}
    - {name: bob, file: "@DIR@/bob", rights: read, listen: true}
`)
}

// arrive is the agent: it takes calls to numbers that end with 99, and lets all others ring.
func (v *victim) arrive(d *sip.Dialog, s *sip.Server) {
	number, _, _ := strings.Cut(strings.TrimPrefix(s.Request.Start(), "INVITE sip:"), "@")
	contact := "Contact: <sip:" + agentAt.String() + ">\r\n"
	v.invites[number] = d
	if !strings.HasSuffix(number, "99") {
		s.Respond("180 Ringing", contact+sip.Empty)
		return
	}
	s.Accept(contact + sip.WithBody(sip.Description(netip.AddrPortFrom(agentAt.Addr(), 30000))))
}

// invited waits until the agent has the INVITE to a number.
func (v *victim) invited(number string, within time.Duration) (d *sip.Dialog, err error) {
	err = process.Until(within, func() error {
		v.agent.Lock()
		defer v.agent.Unlock()
		if d = v.invites[number]; d == nil {
			return fmt.Errorf("no INVITE to %s", number)
		}
		return nil
	})
	return d, err
}

// call sends an INVITE of a trunk with a session.
func call(trunk *sip.UDP, number, session string) {
	trunk.Lock()
	defer trunk.Unlock()
	trunk.Dial("+15075550100", number).Ask("INVITE", sip.WithBody(session), func(sip.Message) {})
}

// certified waits until the server has asked the CA. Nobody else may have been asked.
func (v *victim) certified() error {
	err := process.Until(patience, func() error {
		text, err := os.ReadFile(v.Log())
		if err == nil && !strings.Contains(string(text), "the CA issued no certificate") {
			err = errors.New("the server does not ask the CA")
		}
		return err
	})
	if n := v.asked.Load(); err == nil && n > 0 {
		err = fmt.Errorf("%d requests went where an answer led", n)
	}
	return err
}

// ringsInOpus lets calls of one trunk ring that need a transcoder each. A call of the other trunk must find one.
func (v *victim) ringsInOpus() error {
	const opus = "v=0\r\no=- 1 1 IN IP4 127.0.6.1\r\ns=-\r\nc=IN IP4 127.0.6.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 111\r\n" +
		"a=rtpmap:111 opus/48000/2\r\n"
	for i := range 20 {
		call(&v.attacker, fmt.Sprintf("+150755501%02d", i), opus)
	}
	if _, err := v.invited("+15075550100", patience); err != nil {
		return fmt.Errorf("not even one call rings: %w", err)
	}
	time.Sleep(settle)
	call(&v.neighbour, "+15075550200", opus)
	_, err := v.invited("+15075550200", patience)
	return err
}

// listensToAll takes places of listeners with one token until there is none. The other token must get one.
func (v *victim) listensToAll() error {
	id, err := v.answered("+15075550199")
	if err != nil {
		return err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", v.Socket())
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial}}
	audio := "http://flowbridge/api/calls/" + id + "/audio"
	listen := func(name string) (int, error) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, audio, http.NoBody)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+name+"-token-0123456789")
		res, err := client.Do(req) //nolint:bodyclose // it is heard until the server ends
		if err != nil {
			return 0, err
		}
		return res.StatusCode, nil
	}
	places := 0
	for status := http.StatusOK; status == http.StatusOK; places++ {
		if status, err = listen("anna"); err != nil || status != http.StatusOK && status != http.StatusTooManyRequests {
			return errors.Join(fmt.Errorf("anna listens: %d", status), err)
		}
	}
	if status, err := listen("bob"); err != nil || status != http.StatusOK {
		return errors.Join(fmt.Errorf("after %d places of anna bob gets %d", places-1, status), err)
	}
	return nil
}

// answered returns the id of an answered call to a number.
func (v *victim) answered(number string) (id string, err error) {
	call(&v.attacker, number, sip.Description(netip.AddrPortFrom(attackerAt.Addr(), 40000)))
	err = process.Until(patience, func() error {
		var page struct {
			Items []struct {
				ID         string `json:"id"`
				AnsweredAt string `json:"answered_at"`
			} `json:"items"`
		}
		if err := v.Admin.Read("/api/calls", &page); err != nil {
			return err
		}
		if len(page.Items) == 0 || page.Items[0].AnsweredAt == "" {
			return errors.New("the call is not answered")
		}
		id = page.Items[0].ID
		return nil
	})
	return id, err
}

// followsLink restores a backup where the name of the database's lock is a link to a file that is not there.
func (v *victim) followsLink() error {
	backup, elsewhere := filepath.Join(v.dir, "backup"), filepath.Join(v.dir, "elsewhere")
	if out, err := v.Command(v.binary, "backup", "--config", v.Config(), backup).CombinedOutput(); err != nil {
		return fmt.Errorf("backup: %w: %s", err, out)
	}
	v.Stop()
	files, _ := filepath.Glob(strings.TrimSuffix(v.Store(), ".db") + "*")
	for _, file := range files {
		_ = os.Remove(file)
	}
	if err := os.Symlink(elsewhere, v.Store()+".lock"); err != nil {
		return err
	}
	out, failed := v.Command(v.binary, "restore", "--config", v.Config(), backup).CombinedOutput()
	if _, err := os.Lstat(elsewhere); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("restore made the file that the link names: %w: %s", failed, out)
	}
	return nil
}

// transfers lets an agent name a port of a listed host at which no SIP is spoken.
func (v *victim) transfers() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", listedAt.String())
	if err != nil {
		return err
	}
	defer l.Close()
	var came atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			conn.Close()
		}
	}()
	if _, err = v.answered("+15075550199"); err != nil {
		return err
	}
	d, err := v.invited("+15075550199", patience)
	if err != nil {
		return err
	}
	answer := make(chan sip.Message, 1)
	v.agent.Lock()
	d.Ask("REFER", "Refer-To: <sip:x@"+listedAt.String()+";transport=tcp>\r\n"+sip.Empty,
		func(m sip.Message) { answer <- m })
	v.agent.Unlock()
	m := <-answer
	time.Sleep(settle)
	switch n := came.Load(); {
	case m == "":
		return errors.New("the REFER has no answer")
	case n > 0 || m.Status() < 300:
		return fmt.Errorf("%s, and %d connections to the port", m.Start(), n)
	}
	return nil
}
