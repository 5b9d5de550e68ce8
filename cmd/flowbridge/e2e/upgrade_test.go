//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/admin"
	"flowbridge/media/audio"
)

// upgrade makes another process take over from the B2BUA.
func (s *server) upgrade() (done admin.Upgraded) {
	s.t.Helper()
	if s.file != "" {
		install(s.t, program, s.file)
	}
	begun := func() int { return strings.Count(strings.Join(s.output(), "\n"), `"admin API listening"`) }
	before := begun()
	eventually(s.t, "it is upgraded", func() bool {
		cmd := exec.Command(program, "upgrade", "--url", s.admin, "--json")
		cmd.Env = append(os.Environ(), raceEnv)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, &done)
		}
		if err != nil && !strings.Contains(said.String(), tooSlow) {
			s.t.Fatalf("upgrade: %v: %s", err, said.String())
		}
		s.slow = s.slow || err != nil
		return err == nil
	})
	s.heir = done.PID
	s.t.Cleanup(func() { // in case the old process started it before the test could record it
		if file, err := os.ReadFile("/proc/" + strconv.Itoa(done.PID) + "/stat"); err == nil && len(file) > 0 {
			s.signal(9)
		}
	})
	// The new process answers before it can be upgraded itself.
	eventually(s.t, "the new process takes calls and orders", func() bool { return begun() > before && s.status("/readyz") == 200 })
	return done
}

// tooSlow is in the error of an upgrade that found no moment within two seconds in which nothing was in progress,
// because other programs used the processors. The command then says to try again.
const tooSlow = "context deadline exceeded; this process goes on"

// TestUpgradedCallGoesOn: a call that is up continues in another process, with its audio, a change of its codec and its
// end. Its record does not differ from others.
func TestUpgradedCallGoesOn(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.agentPlays("change", append(two.key(), "-aa"), "@REFUSAL@", "")
	carrier := s.carrierPlays("change", append(one.key(), "-aa"), "@STATUS@", "200")
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	if done := b.upgrade(); done.Calls != 1 || done.Sockets < 4 {
		t.Errorf("went over: %+v", done)
	}
	talk.both()
	carrier.proceed(talk.id(carrier))
	carrier.final(2, "INVITE")
	talk.format = 8
	talk.both()
	b.upgrade()
	talk.both()
	carrier.leaves(agent, talk.id(carrier))
	if r := b.finish(hungUpByCaller)[0]; r.Codec != "PCMA" || r.Restored != 0 {
		t.Errorf("the record says %s, restored %d times", r.Codec, r.Restored)
	}
}

// TestUpgradesUnderLoad: while calls start and end, some ringing and others held, three processes replace each other.
// No call fails, and each has one record.
func TestUpgradesUnderLoad(t *testing.T) {
	const calls = 60
	s := newStage(t)
	s.simulate("--ring", "200ms")
	b := s.serve(setup{})
	held := s.sippCarrier("caller_hangup", "-m", "4", "-r", "20")
	up := held.answered(4)
	load := s.sippCarrier("caller_hangup", "-m", strconv.Itoa(calls), "-r", "30")
	for i := range 3 {
		load.answered((i + 1) * calls / 4)
		if done := b.upgrade(); done.Calls < 4 {
			t.Errorf("upgrade %d: %d calls went over", i, done.Calls)
		}
	}
	load.proceed(load.answered(calls)...)
	load.finish()
	held.proceed(up...)
	held.finish()
	b.finish(slices.Repeat([]want{hungUpByCaller}, calls+4)...)
}

// TestUpgradeOfARecordedCall: the recording ends with the old process, and continues in a second part. Both are
// complete.
func TestUpgradeOfARecordedCall(t *testing.T) {
	s := newStage(t)
	s.simulate("--ring", "20ms")
	b := s.serve(recordingSetup("record: always"))
	carrier := s.sippCarrier("caller_hangup", "-m", "1")
	up := carrier.answered(1)
	b.upgrade()
	eventually(t, "the call is recorded again", func() bool {
		return strings.Count(strings.Join(b.output(), "\n"), `"recording started"`) == 2
	})
	carrier.proceed(up...)
	carrier.finish()
	r := b.finish(hungUpByCaller)[0]
	for i, f := range r.Recordings {
		if f.Error != "" || f.EndedAt.IsZero() || f.File == "" {
			t.Errorf("recording %d: %+v", i, f)
		}
	}
	if len(r.Recordings) != 4 {
		t.Errorf("%d recordings", len(r.Recordings))
	}
}

// TestUpgradeOfAQueue: a caller that hears the sound of a queue still hears it from the next process, and from the one
// after that, in one stream, on the same ports and under the same keys. The answer has the description that the caller
// received with the sound.
func TestUpgradeOfAQueue(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]string{"RTP": "", "SRTP": "AES_CM_128_HMAC_SHA1_80"} {
		t.Run(name, func(t *testing.T) {
			s := newQuietStage(t)
			s.prepareCalls()
			b := s.serve(setup{trunk: ", media: {srtp: optional}", target: ", max_calls: 1", route: ", queue: {timeout: 10m, sound: hold}"})
			one, two := s.newSide(s.carrier, audio.ULaw, suite), s.newSide(s.platform, audio.ULaw, "")
			agent := s.agentPlays("described", []string{"-m", "2"}, "@SDP@", two.sdp())
			first := s.sippCarrier("caller_hangup")
			ids := first.answered(1)
			agent.confirmed(1)
			carrier := s.carrierPlays("described", nil, "@SDP@", one.sdp())
			told := carrier.received("SIP/2.0 183", 1)[0]
			one.meets(told)
			for range 2 {
				one.awaits(len(one.hears()) + 25)
				if done := b.upgrade(); done.Calls != 2 || done.Sockets < 8 {
					t.Errorf("went over: %+v", done)
				}
			}
			one.awaits(len(one.hears()) + 25)
			first.proceed(ids...)
			first.finish()
			ids = carrier.answered(1)
			agent.confirmed(2)
			if answer := carrier.received("SIP/2.0 200", 1)[0]; answer.body() != told.body() || answer.header("To") != told.header("To") {
				t.Errorf("the 200 has another description than the 183:\n%s\n%s", answer.raw, told.raw)
			}
			two.meets(agent.received("INVITE ", 2)[1])
			hers, his := reference(7, time.Second), reference(8, time.Second)
			var speaking sync.WaitGroup
			speaking.Go(func() { one.says(hers) })
			two.says(his)
			speaking.Wait()
			eventually(t, "the agent is heard", func() bool { return endsWith(payloads(one.hears()), codes(audio.ULaw, his)) })
			eventually(t, "the caller is heard", func() bool { return endsWith(payloads(two.hears()), codes(audio.ULaw, hers)) })
			oneStream(t, one.hears())
			carrier.leaves(agent, ids...)
			queued := hungUpByCaller
			queued.attempts = append([]try{{"target_capped", 0, 0}}, queued.attempts...)
			if r := b.finish(hungUpByCaller, queued)[1]; r.Restored != 0 || r.QueuedMS < 1500 {
				t.Errorf("restored %d times, waited %d ms", r.Restored, r.QueuedMS)
			}
		})
	}
}
