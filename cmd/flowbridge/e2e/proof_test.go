//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"flowbridge/media/audio"
)

// TestAudio makes both sides of a call speak for several seconds at the same time, and compares all
// that they hear. Each packet must come once and in order, with the bytes that were sent, or their
// conversion to the other law by ITU-T G.711.
func TestAudio(t *testing.T) {
	t.Parallel()
	const (
		cm80, cm32       = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
		cm256x80         = "AES_256_CM_HMAC_SHA1_80"
		cm256x32         = "AES_256_CM_HMAC_SHA1_32"
		gcm128, gcm256   = "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"
		pcmu, pcma       = audio.ULaw, audio.ALaw
		whole, shortened = 8 * time.Second, 3 * time.Second
	)
	for _, c := range []struct {
		name         string
		one, two     audio.Law // laws of the carrier and of the agent
		keys, toKeys string    // their SRTP suites
		length       time.Duration
	}{
		{"PCMU", pcmu, pcmu, "", "", whole},
		{"PCMA", pcma, pcma, "", "", whole},
		{"PCMA_to_PCMU", pcma, pcmu, "", "", whole},
		{"PCMU_to_PCMA", pcmu, pcma, "", "", whole},
		{"SRTP_to_RTP", pcmu, pcmu, cm80, "", shortened},
		{"RTP_to_SRTP", pcma, pcma, "", gcm256, shortened},
		{"SRTP_80_and_GCM_256", pcmu, pcmu, cm80, gcm256, shortened},
		{"SRTP_32_and_GCM_128", pcmu, pcmu, cm32, gcm128, shortened},
		{"SRTP_256_80_and_256_32", pcmu, pcmu, cm256x80, cm256x32, shortened},
		{"SRTP_and_transcoding", pcma, pcmu, gcm128, cm80, shortened},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newQuietStage(t)
			s.prepareCalls()
			o := setup{target: ", codecs: [" + lawName(c.two) + "]"}
			if c.keys != "" {
				o.trunk = ", media: {srtp: required, srtp_suites: [" + c.keys + "]}"
			}
			if c.toKeys != "" {
				o.target += ", media: {srtp: required, srtp_suites: [" + c.toKeys + "]}"
			}
			b := s.serve(o)
			one, two := s.newSide(s.carrier, c.one, c.keys), s.newSide(s.platform, c.two, c.toKeys)
			call := s.converse(one, two)
			hers, his := reference(1, c.length), reference(2, c.length)
			call.both(hers, his)
			one.awaits(length(his))
			two.awaits(length(hers))
			call.hangUp()
			r := b.finish(hungUpByCaller)[0]
			one.heardAll(two, his)
			two.heardAll(one, hers)
			s.counts(r, int64(length(hers)))
			if m := r.Media; m.A.SRTP != c.keys || m.B.SRTP != c.toKeys || m.OneWay != "" || m.A.Duplicates+m.B.Duplicates+m.A.Reordered+m.B.Reordered != 0 {
				t.Errorf("the record's media: %+v", m)
			}
		})
	}
}

func lawName(l audio.Law) string {
	if l == audio.ALaw {
		return "PCMA"
	}
	return "PCMU"
}

// both makes both sides speak at once.
func (c *conversation) both(hers, his []int16) {
	c.Helper()
	var speaking sync.WaitGroup
	speaking.Go(func() { c.one.says(hers) })
	speaking.Go(func() { c.two.says(his) })
	speaking.Wait()
}

// heardAll checks that a side has heard everything that another side said, and nothing else.
func (d *side) heardAll(from *side, said []int16) {
	d.Helper()
	got, want := d.hears(), codes(from.law, said)
	if from.law != d.law {
		if d.law == audio.ALaw {
			audio.ToALaw(want)
		} else {
			audio.ToULaw(want)
		}
	}
	evenly(d.T, got)
	carries(d.T, got, d.kind(), want)
	if db := noise(said, samplesOf(d.law, payloads(got))); db < 31 {
		d.Errorf("%s of %s is %.1f dB above its noise; want at least 31", lawName(d.law), lawName(from.law), db)
	}
}

// TestRingingOfOurs makes the caller hear our ringing, and then the agent, in one stream without
// gaps. The agent answers, or speaks before that. The ringing is a tone or a WAV file.
func TestRingingOfOurs(t *testing.T) {
	t.Parallel()
	queue := reference(9, 1500*time.Millisecond+7*time.Millisecond) // not a whole number of packets
	for _, c := range []struct {
		name, ringback, agent string
		round                 time.Duration
		hertz                 []float64
	}{
		{"us", "us", "human", 6 * time.Second, []float64{440, 480}},
		{"eu", "eu", "human", 5 * time.Second, []float64{425}},
		{"early_media", "us", "early_media", 6 * time.Second, []float64{440, 480}},
		{"wav", "queue", "human", 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newQuietStage(t)
			s.prepareCalls()
			config := s.config(setup{route: ", ringing: session-progress, ringback: " + c.ringback})
			dir := t.TempDir()
			b := startServer(t, dir, config+"sounds: {queue: "+wavFile(t, queue)+"}\n")
			s.server = b
			one, two := s.newSide(s.carrier, audio.ULaw, ""), s.newSide(s.platform, audio.ULaw, "")
			agent := s.agentPlays(c.agent, two.key(), "@BY@", "carrier")
			carrier := s.sippCarrier("caller_hangup", one.key()...)
			early := carrier.received("SIP/2.0 183", 1)[0]
			invite := agent.received("INVITE ", 1)[0]
			two.meets(invite)
			if c.hertz != nil {
				eventually(t, "there is ringing", func() bool { return sounding(one.hears(), c.round) != nil })
			} else {
				one.awaits(60) // 1.2 s
			}
			said := reference(3, 2*time.Second)
			speaks, stop := context.WithCancel(t.Context())
			defer stop()
			stopped := make(chan struct{})
			if c.agent == "early_media" { // silence of 400 ms would start a ringing tone
				agent.sent("SIP/2.0 183", 1)
				eventually(t, "the B2BUA knows where the agent's early media comes from", func() bool {
					live := b.calls()
					return len(live) == 1 && live[0].Media.B.Expected != ""
				})
				said = slices.Repeat(said, int(patience/(2*time.Second)))
				go func() {
					defer close(stopped)
					two.saysUntil(said, speaks.Done())
				}()
				eventually(t, "the agent's early media comes", func() bool { return b.logged(`"media source learned"`) > 0 })
			}
			agent.proceed(invite.header("Call-ID"))
			ids := carrier.answered(1)
			agent.confirmed(1)
			if answer := carrier.received("SIP/2.0 200", 1)[0]; answer.body() != early.body() {
				t.Errorf("the 200 has another description than the 183:\n%s\n%s", answer.body(), early.body())
			}
			if c.agent == "early_media" {
				stop()
				<-stopped
				said = said[:len(two.said)*frame]
			} else {
				two.says(said)
			}
			ends := codes(audio.ULaw, said)
			eventually(t, "the agent is heard", func() bool { return endsWith(payloads(one.hears()), ends) })
			carrier.leaves(agent, ids...)
			r := b.finish(hungUpByCaller)[0]
			got := one.hears()
			oneStream(t, got)
			rung := len(got) - length(said)
			carries(t, got[rung:], 0, ends)
			evenly(t, got[rung:])
			if c.hertz != nil {
				ringsWith(t, sounding(got[:rung], c.round), c.hertz...)
			} else {
				plays(t, got[:rung], queue)
			}
			if m := r.Media; m.A.Tx != int64(len(got)) || m.B.Rx != int64(length(said)) || m.B.Dropped+m.B.Lost != 0 {
				t.Errorf("the record counts %+v; the caller heard %d packets, %d of the agent", m, len(got), length(said))
			}
		})
	}
}

// wavFile writes audio to a file and returns its name.
func wavFile(t *testing.T, samples []int16) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sound.wav")
	must(t, os.WriteFile(name, wav(samples), 0o600))
	return name
}

// endsWith reports whether audio ends with these codes.
func endsWith(got, want []byte) bool { return bytes.HasSuffix(got, want) }

// ringsWith checks that audio consists of these frequencies, equally loud, and no others.
func ringsWith(t *testing.T, got []byte, hertz ...float64) {
	t.Helper()
	samples := samplesOf(audio.ULaw, got)
	for _, hz := range hertz {
		if l := level(samples, hz); l < 1000 {
			t.Errorf("the level of %v Hz is %.0f", hz, l)
		}
	}
	for hz := 200.0; hz <= 3400; hz += 20 {
		near := slices.ContainsFunc(hertz, func(h float64) bool { return math.Abs(h-hz) < 20 })
		if l := level(samples, hz); !near && l > level(samples, hertz[0])/10 {
			t.Errorf("the level of %v Hz is %.0f; that of %v Hz is %.0f", hz, l, hertz[0], level(samples, hertz[0]))
		}
	}
}

// sounding returns ten consecutive frames of a repeated sound, once there are that many. A packet that was due while the
// process did not run may be missing: then another round of the sound has the frame.
func sounding(got []rtp.Packet, round time.Duration) []byte {
	const long = 10
	loud := make([][]byte, int(round.Seconds()*audio.Rate)/frame)
	for _, p := range got {
		if slices.ContainsFunc(samplesOf(audio.ULaw, p.Payload), func(v int16) bool { return v > 1000 }) {
			loud[int(p.Timestamp-got[0].Timestamp)/frame%len(loud)] = p.Payload
		}
	}
	run := 0
	for i := range len(loud) + long {
		if run++; loud[i%len(loud)] == nil {
			run = 0
		}
		if run == long {
			at := i + 1 - long
			return slices.Concat(slices.Concat(loud, loud)[at : at+long]...)
		}
	}
	return nil
}

// plays checks that packets are a sound, repeated, to the sample. A packet that was due while the
// process did not run may be missing.
func plays(t *testing.T, got []rtp.Packet, sound []int16) {
	t.Helper()
	want := codes(audio.ULaw, sound)
	begin := got[0].Timestamp
	for i, p := range got {
		for j, code := range p.Payload {
			if at := (int(p.Timestamp-begin) + j) % len(want); code != want[at] {
				t.Fatalf("packet %d of %d: sample %d of the sound is %x; want %x", i, len(got), at, code, want[at])
			}
		}
	}
}

// TestTransferIsOneStream makes the agent transfer the caller while the agent speaks. The caller
// hears the agent until the change and then the new party, as one stream. The new party hears
// everything that the caller says to it.
func TestTransferIsOneStream(t *testing.T) {
	s := newQuietStage(t)
	s.prepareCalls()
	calleeAt := s.freePort(s.stranger)
	b := s.serve(s.transfers("local", calleeAt))
	one, two, three := s.newSide(s.carrier, audio.ULaw, ""), s.newSide(s.platform, audio.ULaw, ""), s.newSide(s.stranger, audio.ULaw, "")
	callee := s.agentAt(calleeAt, "human", three.key(), "@BY@", "carrier")
	agent := s.transferrer(two.key(), "@TO@", "<tel:"+human+">", "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", "false", "@HOLDS@", "false")
	carrier := s.sippCarrier("caller_hangup", one.key()...)
	ids := carrier.answered(1)
	one.meets(carrier.received("SIP/2.0 200", 1)[0])
	two.meets(agent.received("INVITE ", 1)[0])
	onB := agent.confirmed(1)

	before, hers, his := reference(4, 30*time.Second), reference(5, 2*time.Second), reference(6, 2*time.Second)
	stop := make(chan struct{})
	var speaking sync.WaitGroup
	speaking.Go(func() { two.saysUntil(before, stop) })
	one.awaits(10)
	agent.proceed(onB...)
	invite := callee.received("INVITE ", 1)[0]
	heard := len(one.hears())
	one.awaits(heard + 10) // while it rings, the caller is with the agent
	callee.proceed(invite.header("Call-ID"))
	callee.received("ACK ", 1)
	agent.received("BYE ", 1)
	three.meets(invite)
	speaking.Go(func() { one.says(hers) })
	three.says(his) // over the agent, which is still speaking
	close(stop)
	speaking.Wait()
	eventually(t, "the caller hears the other one", func() bool { return endsWith(payloads(one.hears()), codes(audio.ULaw, his)) })
	three.awaits(length(hers))
	carrier.leaves(agent, ids...)
	callee.finish()
	b.finish(transferred(hungUpByCaller, try{"", 0, 200}))

	got := one.hears()
	oneStream(t, got)
	change := len(got) - length(his)
	carries(t, got[:change], 0, codes(audio.ULaw, before)[:change*frame])
	evenly(t, got[change:])
	evenly(t, three.hears())
	carries(t, three.hears(), 0, codes(audio.ULaw, hers))
}

// saysUntil is like says, but can be cut off.
func (d *side) saysUntil(samples []int16, stop <-chan struct{}) {
	d.Helper()
	for i, all := 0, codes(d.law, samples); i+frame <= len(all); i += frame {
		select {
		case <-stop:
			return
		default:
			d.talkFrom(d.from, [][]byte{d.packet(all[i:i+frame], i == 0)}, d.at)
		}
	}
}

// directionOf returns the direction in a session description, or "" if there is none.
func directionOf(sdp string) string {
	for _, d := range []string{"sendrecv", "sendonly", "recvonly", "inactive"} {
		if strings.Contains(sdp, "\r\na="+d+"\r\n") {
			return d
		}
	}
	return ""
}

// TestHoldTone makes the carrier hold the call. The agent hears a tone instead, and after that the
// carrier again, all in one stream.
func TestHoldTone(t *testing.T) {
	s := newQuietStage(t)
	s.prepareCalls()
	b := s.serve(setup{route: ", hold: hold"})
	one, two := s.newSide(s.carrier, audio.ULaw, ""), s.newSide(s.platform, audio.ULaw, "")
	agent := s.agentPlays("caller_hangup", two.key())
	carrier := s.carrierPlays("hold", one.key(), "@METHOD@", "INVITE", "@HOLD@", `"sendonly"`)
	id := carrier.answered(1)
	agent.confirmed(1)
	one.meets(carrier.received("SIP/2.0 200", 1)[0])
	two.meets(agent.received("INVITE ", 1)[0])
	first, then := reference(7, time.Second), reference(8, 2*time.Second)
	one.says(first)
	two.awaits(length(first))
	carrier.proceed(id...)
	if answer := carrier.final(2, "INVITE"); directionOf(answer.body()) != "recvonly" {
		t.Errorf("hold is answered by\n%s", answer.raw)
	}
	const beep, pause = audio.Rate / 5, 2 * audio.Rate / 5 // samples: the beep is 200 ms long
	const round = 10 * time.Second
	eventually(t, "the agent hears a beep, and its end", func() bool {
		tone := two.hears()[length(first):]
		return sounding(tone, round) != nil && tone[len(tone)-1].Timestamp-tone[0].Timestamp >= beep+pause
	})
	two.says(first) // a side that holds does not want to hear this
	eventually(t, "all of that has come", func() bool { return b.calls()[0].Media.B.DroppedBy.Held == int64(length(first)) })
	carrier.proceed(id...)
	carrier.final(3, "INVITE")
	one.says(then)
	eventually(t, "the carrier is heard again", func() bool { return endsWith(payloads(two.hears()), codes(audio.ULaw, then)) })
	if n := len(one.hears()); n != 0 {
		t.Errorf("%d packets reach the side that holds", n)
	}
	two.says(then)
	one.awaits(length(then))
	carrier.leaves(agent, id...)
	r := b.finish(hungUpByCaller)[0]
	got := two.hears()
	oneStream(t, got)
	n := length(first)
	carries(t, got[:n], 0, codes(audio.ULaw, first))
	carries(t, got[len(got)-length(then):], 0, codes(audio.ULaw, then))
	ringsWith(t, sounding(got[n:], round), 425)
	for _, p := range got[n:] {
		if at := p.Timestamp - got[n].Timestamp; at >= beep && at < beep+pause && level(samplesOf(audio.ULaw, p.Payload), 425) > 10 {
			t.Errorf("%d samples after the beep it sounds", at-beep)
		}
	}
	oneStream(t, one.hears())
	carries(t, one.hears(), 0, codes(audio.ULaw, then))
	if m := r.Media; m.B.DroppedBy.Held != int64(n) || m.B.Dropped != int64(n) || m.A.Dropped+m.A.Lost != 0 {
		t.Errorf("the record's media: %+v; want %d packets not sent to who holds", m, n)
	}
}
