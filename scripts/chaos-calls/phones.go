package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/icholy/digest"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

const (
	phoneCount = 100
	// registerEvery is short, so that a kill often comes soon after the answer to a REGISTER.
	registerEvery = 50 * time.Millisecond

	phoneUser = "phones" // their password is the token
)

// phones register one after the other, each time with another Contact.
type phones struct {
	end  sip.UDP
	stop chan struct{}
	done chan struct{}

	mu        sync.Mutex // guards the fields below
	sent      [phoneCount]int
	confirmed [phoneCount]int // serial number of the last REGISTER that got its 200; 0 if none did
	lost      invariant
}

func newPhones(in namespace.Namespace, at, peer netip.AddrPort) (p *phones, err error) {
	p = &phones{
		stop: make(chan struct{}), done: make(chan struct{}),
		lost: invariant{name: "a phone whose REGISTER had its 200 is registered"},
	}
	if err = p.end.Listen("phone", in, at, peer); err == nil {
		go p.end.Run()
		go p.run()
	}
	return p, err
}

func (p *phones) close() {
	close(p.stop)
	p.end.Close()
	<-p.done
}

func (p *phones) run() {
	defer close(p.done)
	t := time.NewTicker(registerEvery)
	defer t.Stop()
	for serial := 1; ; serial++ {
		select {
		case <-p.stop:
			return
		case <-t.C:
		}
		phone := serial % phoneCount
		p.mu.Lock()
		p.sent[phone] = serial
		p.mu.Unlock()
		if p.register(phone, serial) {
			p.mu.Lock()
			p.confirmed[phone] = serial
			p.mu.Unlock()
		}
	}
}

// register reports whether a REGISTER got its 200. The first request asks for the challenge.
func (p *phones) register(phone, serial int) bool {
	address := fmt.Sprintf("<sip:%s@%v>", phoneUser, p.end.Peer.Addr())
	p.end.Lock()
	d := p.end.Open("sip:"+p.end.Peer.Addr().String(), address, address)
	p.end.Unlock()
	defer func() {
		p.end.Lock()
		d.Forget()
		p.end.Unlock()
	}()
	contact := fmt.Sprintf("Contact: <sip:p%d-%d@%v>;+sip.instance=\"<urn:phone:%[1]d>\"\r\n", phone, serial, p.end.Addr)
	answer := p.ask(d, contact)
	if answer.Status() != 401 {
		return false
	}
	challenge, err := digest.ParseChallenge(answer.Header("WWW-Authenticate"))
	if err != nil {
		return false
	}
	credentials, err := digest.Digest(challenge, digest.Options{
		Method: "REGISTER", URI: "sip:" + p.end.Peer.Addr().String(), Count: 1, Username: phoneUser, Password: token,
	})
	if err != nil {
		return false
	}
	return p.ask(d, contact+"Authorization: "+credentials.String()+"\r\n").Status() == 200
}

// ask sends a REGISTER until there is an answer. It returns "" if there is none.
func (p *phones) ask(d *sip.Dialog, more string) sip.Message {
	answer := make(chan sip.Message, 1)
	p.end.Lock()
	d.Ask("REGISTER", more+"Expires: 3600\r\n"+
		"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, MESSAGE\r\n"+
		"Allow-Events: talk, hold, conference, refer, check-sync\r\n"+
		"Supported: replaces, path, outbound, 100rel, timer, norefersub\r\n"+
		"User-Agent: a phone of the chaos, which says as much as phones do\r\n"+sip.Empty,
		func(m sip.Message) { answer <- m })
	p.end.Unlock()
	select {
	case m := <-answer:
		return m
	case <-p.stop:
		return ""
	}
}

// look compares the admin API's registrations with what the phones were told.
func (p *phones) look(a *flowbridge.Admin) {
	p.mu.Lock()
	confirmed := p.confirmed
	p.mu.Unlock()
	var all struct {
		Incoming []struct {
			Contact string `json:"contact"`
		} `json:"incoming"`
	}
	if a.Read("/api/registrations", &all) != nil {
		return // its readiness is judged elsewhere
	}
	has := map[int]int{}
	for _, c := range all.Incoming {
		if phone, serial, ok := phoneOf(c.Contact); ok {
			has[phone] = serial
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost.judge(confirmed, p.sent, has)
}

// judge compares the serial number of each phone's Contact with its last REGISTER that got a 200, and with the last one
// that was sent.
func (i *invariant) judge(confirmed, sent [phoneCount]int, has map[int]int) {
	for phone, serial := range confirmed {
		if serial == 0 {
			continue
		}
		is := has[phone]
		i.holds(serial <= is && is <= sent[phone], fmt.Sprintf("phone %d: Contact %d had its 200, %d was sent, and %d is there",
			phone, serial, sent[phone], is))
	}
}

// phoneOf parses a Contact.
func phoneOf(contact string) (phone, serial int, ok bool) {
	user, _, _ := strings.Cut(strings.TrimPrefix(contact, "sip:p"), "@")
	first, second, ok := strings.Cut(user, "-")
	phone, wrong := strconv.Atoi(first)
	serial, wrongToo := strconv.Atoi(second)
	return phone, serial, ok && wrong == nil && wrongToo == nil
}

// forget makes the phones expect no registrations from before now, because the database is about to be damaged, and has
// the only copy.
func (p *phones) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.confirmed[:])
}
