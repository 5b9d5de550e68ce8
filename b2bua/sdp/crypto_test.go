package sdp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

func written(l cryptoLine) string { return string(l.appendTo(nil)) }

func TestParseCrypto(t *testing.T) {
	k80 := siptest.SRTPKey(media.SuiteAESCM128SHA80, 7)
	gcm := siptest.SRTPKey(media.SuiteAEADAES256GCM, 7)
	for _, c := range []struct {
		value, want string // the line when it is written again; empty if it is refused
	}{
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80, "1 AES_CM_128_HMAC_SHA1_80 inline:" + k80},
		{"1  AES_CM_128_HMAC_SHA1_80\tinline:" + k80 + " ", "1 AES_CM_128_HMAC_SHA1_80 inline:" + k80},
		{"007 AES_CM_128_HMAC_SHA1_80 inline:" + k80, "007 AES_CM_128_HMAC_SHA1_80 inline:" + k80},
		{"999999999 AES_CM_128_HMAC_SHA1_32 INLINE:" + k80 + "|2^20", "999999999 AES_CM_128_HMAC_SHA1_32 inline:" + k80},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|1048576|1:4", "1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|2^31|1:4"},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|66051:3", "1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|2^31|66051:3"},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|2^48|0:128", "1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|2^31|0:128"},
		{"1 aes_cm_128_hmac_Sha1_80 inline:" + k80, "1 AES_CM_128_HMAC_SHA1_80 inline:" + k80},
		{"2 AEAD_AES_256_GCM inline:" + gcm, "2 AEAD_AES_256_GCM inline:" + gcm},
		{"2 AEAD_AES_256_GCM inline:" + strings.TrimRight(gcm, "="), "2 AEAD_AES_256_GCM inline:" + gcm},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + " WSH=128 KDR=0 -FUTURE=1", "1 AES_CM_128_HMAC_SHA1_80 inline:" + k80},

		{"", ""},
		{"1", ""},
		{"1 AES_CM_128_HMAC_SHA1_80", ""},
		{"x AES_CM_128_HMAC_SHA1_80 inline:" + k80, ""},
		{"1234567890 AES_CM_128_HMAC_SHA1_80 inline:" + k80, ""},
		{"1 F8_128_HMAC_SHA1_80 inline:" + k80, ""},
		{"1 AES_CM_128_HMAC_SHA1_80 prompt:" + k80, ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline" + k80, ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80[:36], ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "AAAA", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + strings.Repeat("!", 40), ""},
		{"1 AES_256_CM_HMAC_SHA1_80 inline:" + k80, ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|2^49", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|2^0", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|0", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|281474976710657", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|1:0", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|1:129", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|256:1", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|x:4", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|1:4|2^20", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|2^20|1:4|5", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + "|2^20|1:4;inline:" + k80 + "|2^20|2:4", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + " KDR=1", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + " UNENCRYPTED_SRTP", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + " UNENCRYPTED_SRTCP", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + " UNAUTHENTICATED_SRTP", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + " FEC_ORDER=FEC_SRTP", ""},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + k80 + " FUTURE", ""},
	} {
		line, err := parseCrypto(c.value)
		switch {
		case c.want == "" && !errors.Is(err, errCrypto):
			t.Errorf("%q: %v; want it refused", c.value, err)
		case c.want != "" && (err != nil || written(line) != c.want):
			t.Errorf("%q: %v, %q; want %q", c.value, err, written(line), c.want)
		}
	}
}

// streamsLike returns a description with several audio streams. Each has a "proto port" and
// then its a=crypto values.
func streamsLike(t *testing.T, streams ...[]string) []byte {
	t.Helper()
	s := "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
	for _, lines := range streams {
		proto, port, _ := strings.Cut(lines[0], " ")
		s += "m=audio " + port + " " + proto + " 0\r\n"
		for _, l := range lines[1:] {
			s += "a=crypto:" + l + "\r\n"
		}
	}
	return []byte(s)
}

func TestWhichStreamIsTaken(t *testing.T) {
	good := "1 AES_CM_128_HMAC_SHA1_80 inline:" + siptest.SRTPKey(media.SuiteAESCM128SHA80, 7)
	weak := "2 AES_CM_128_HMAC_SHA1_32 inline:" + siptest.SRTPKey(media.SuiteAESCM128SHA32, 8)
	bad := "3 F8_128_HMAC_SHA1_80 inline:" + siptest.SRTPKey(media.SuiteAESCM128SHA80, 9)
	avp, savp, savpf := []string{"RTP/AVP 4000"}, []string{"RTP/SAVP 4002", bad, weak, good}, []string{"RTP/SAVPF 4004", good}
	best, dtls, none := []string{"RTP/AVP 4006", good}, []string{"UDP/TLS/RTP/SAVPF 4008"}, []string{"RTP/SAVP 4010", bad}
	gone := []string{"RTP/AVP 0"}
	short := []string{"RTP/SAVP 4012", bad, good[:len(good)-4]}
	forever, junk := []string{"RTP/SAVP 4014", good + "|2^99"}, []string{"RTP/SAVPF 4016", good + " UNENCRYPTED_SRTP"}
	suites := suitesOf(config.SRTPSuites())
	strong := suitesOf(config.DefaultSRTPSuites())
	for _, c := range []struct {
		name    string
		accept  Accept
		streams [][]string
		port    int    // port of the selected stream; 0 if no stream is selected
		tag     string // of the selected crypto line; empty for plain RTP
		err     error
	}{
		{"off: RTP", Accept{mode: config.SRTPOff}, [][]string{savp, avp, best}, 4000, "", nil},
		{"off: RTP that could be more", Accept{mode: config.SRTPOff}, [][]string{best}, 4006, "", nil},
		{"off: SRTP", Accept{mode: config.SRTPOff}, [][]string{savp, savpf}, 0, "", ErrNoAudio},
		{"optional: RTP", Accept{mode: config.SRTPOptional, suites: suites}, [][]string{avp}, 4000, "", nil},
		{"optional: SRTP is preferred", Accept{mode: config.SRTPOptional, suites: suites}, [][]string{avp, best, savp, savpf}, 4002, "2", nil},
		{"optional: RTP that can be more", Accept{mode: config.SRTPOptional, suites: suites}, [][]string{avp, best}, 4006, "1", nil},
		{"optional: our suites", Accept{mode: config.SRTPOptional, suites: strong}, [][]string{savp}, 4002, "1", nil},
		{"optional: the suite that there is", Accept{mode: config.SRTPOptional, suites: suites, now: media.SuiteAESCM128SHA80}, [][]string{savp}, 4002, "1", nil},
		{"optional: no suite, and RTP", Accept{mode: config.SRTPOptional, suites: suites}, [][]string{none, avp}, 4000, "", nil},
		{"optional: no suite", Accept{mode: config.SRTPOptional, suites: suites}, [][]string{none}, 0, "", ErrNoSuite},
		{"optional: a key too short", Accept{mode: config.SRTPOptional, suites: suites}, [][]string{short}, 0, "", ErrNoKey},
		{"optional: a key too short, of no suite of ours", Accept{mode: config.SRTPOptional, suites: []media.Suite{media.SuiteAEADAES256GCM}}, [][]string{short}, 0, "", ErrNoSuite},
		{"optional: a key too short, and RTP", Accept{mode: config.SRTPOptional, suites: suites}, [][]string{short, avp}, 4000, "", nil},
		{"required: a key too short, and another", Accept{mode: config.SRTPRequired, suites: suites}, [][]string{short, savpf}, 4004, "1", nil},
		{"required: a bad lifetime", Accept{mode: config.SRTPRequired, suites: suites}, [][]string{avp, none, forever}, 0, "", ErrNoKey},
		{"required: a parameter that is not known", Accept{mode: config.SRTPRequired, suites: suites}, [][]string{junk}, 0, "", ErrNoKey},
		{"off: a key too short", Accept{mode: config.SRTPOff, suites: suites}, [][]string{short}, 0, "", ErrNoAudio},
		{"optional: DTLS", Accept{mode: config.SRTPOptional, suites: suites}, [][]string{dtls}, 0, "", ErrKeying},
		{"required: SRTP", Accept{mode: config.SRTPRequired, suites: suites}, [][]string{avp, savpf}, 4004, "1", nil},
		{"required: RTP", Accept{mode: config.SRTPRequired, suites: suites}, [][]string{avp}, 0, "", ErrNeedsSRTP},
		{"required: RTP that could be more", Accept{mode: config.SRTPRequired, suites: suites}, [][]string{best}, 0, "", ErrNeedsSRTP},
		{"required: no suite", Accept{mode: config.SRTPRequired, suites: suites}, [][]string{avp, none}, 0, "", ErrNoSuite},
		{"rejected", Accept{mode: config.SRTPRequired, suites: suites}, [][]string{gone}, 0, "", ErrRejected},
	} {
		d, err := Read(streamsLike(t, c.streams...), c.accept)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v; want %v", c.name, err, c.err)
			continue
		}
		if err != nil {
			continue
		}
		tag := ""
		if d.securing != nil {
			tag = d.securing.tag
		}
		if port := d.Port(); port != c.port || tag != c.tag {
			t.Errorf("%s: port %d with crypto %q; want %d with %q", c.name, port, tag, c.port, c.tag)
		}
	}
}

// An answer must have one of the offered a=crypto lines, with the same tag and suite.
func TestAnswerHasToBeSecured(t *testing.T) {
	l := NewLegCrypto(config.PeerMedia{SRTP: config.SRTPRequired}, "", true)
	if s := l.Offering(); s.proto != protoSAVP || len(s.lines) != 3 {
		t.Fatalf("offered: %+v", s)
	}
	gcm := "1 AEAD_AES_256_GCM inline:" + siptest.SRTPKey(media.SuiteAEADAES256GCM, 1)
	cm := "3 AES_CM_128_HMAC_SHA1_80 inline:" + siptest.SRTPKey(media.SuiteAESCM128SHA80, 1)
	echo := written(l.last[2])
	for name, c := range map[string]struct {
		stream []string
		suite  media.Suite
		err    error
	}{
		"the first":           {[]string{"RTP/SAVP 4000", gcm}, media.SuiteAEADAES256GCM, nil},
		"the last":            {[]string{"RTP/SAVP 4000", cm}, media.SuiteAESCM128SHA80, nil},
		"another tag":         {[]string{"RTP/SAVP 4000", "2" + cm[1:]}, 0, ErrNotSecured},
		"a suite of its own":  {[]string{"RTP/SAVP 4000", "3 AES_CM_128_HMAC_SHA1_32 inline:" + siptest.SRTPKey(media.SuiteAESCM128SHA32, 1)}, 0, ErrNotSecured},
		"our own key":         {[]string{"RTP/SAVP 4000", echo}, 0, ErrNotSecured},
		"parameters":          {[]string{"RTP/SAVP 4000", cm + " UNENCRYPTED_SRTP"}, 0, ErrNotSecured},
		"none":                {[]string{"RTP/SAVP 4000"}, 0, ErrNotSecured},
		"RTP":                 {[]string{"RTP/AVP 4000"}, 0, ErrNotSecured},
		"RTP with a key":      {[]string{"RTP/AVP 4000", cm}, 0, ErrNotSecured},
		"the stream rejected": {[]string{"RTP/SAVP 0"}, 0, ErrRejected},
	} {
		d, err := Read(streamsLike(t, c.stream), l.AcceptAnswer())
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v; want %v", name, err, c.err)
			continue
		}
		if err != nil {
			continue
		}
		l.Answered(d)
		if d.securing.peer.Suite != c.suite || d.securing.own == nil || d.securing.own.Suite != c.suite || d.securing.own.Same(d.securing.peer) {
			t.Errorf("%s: %v and %v; want %v", name, d.securing.peer, d.securing.own, c.suite)
		}
	}
}

func TestOurKeyStays(t *testing.T) {
	l := NewLegCrypto(config.PeerMedia{SRTP: config.SRTPOptional}, "", false)
	offer := func(suite media.Suite, seed byte, more string) *Description {
		t.Helper()
		d, err := Read(streamsLike(t, []string{"RTP/SAVP 4000", fmt.Sprintf("4 %v inline:%s%s", suite, siptest.SRTPKey(suite, seed), more)}), l.Accept())
		must(t, err)
		return d
	}
	answer := func(d *Description, elsewhere bool) media.Keys {
		t.Helper()
		s := l.Answering(d, elsewhere)
		if s.proto != protoSAVP || len(s.lines) != 1 || s.lines[0].tag != "4" {
			t.Fatalf("answered: %+v", s)
		}
		l.Apply(d)
		return s.lines[0].keys
	}
	cm, gcm := media.SuiteAESCM128SHA80, media.SuiteAEADAES128GCM
	first := answer(offer(cm, 1, ""), false)
	for name, c := range map[string]struct {
		offer     *Description
		elsewhere bool
	}{
		"the same": {offer(cm, 1, ""), false}, "from elsewhere": {offer(cm, 1, ""), true}, "a new key": {offer(cm, 2, ""), false},
	} {
		l.Apply(&Description{proto: protoSAVP, securing: &securing{tag: "4", peer: offer(cm, 1, "").securing.peer, own: &first}})
		if k := answer(c.offer, c.elsewhere); !k.Same(&first) {
			t.Errorf("%s: our key is another", name)
		}
	}
	if s := l.Offering(); len(s.lines) != 1 || !s.lines[0].keys.Same(&first) || s.lines[0].tag != "4" {
		t.Errorf("offered again: %+v", s)
	}
	second := answer(offer(cm, 3, ""), true)
	third := answer(offer(gcm, 4, ""), false)
	fourth := answer(offer(gcm, 4, "|2^20|7:2"), false)
	seen := map[string]bool{}
	for _, k := range []media.Keys{first, second, third, fourth} {
		if seen[string(k.Key)] {
			t.Error("another endpoint, suite or MKI has a key that was used before")
		}
		seen[string(k.Key)] = true
	}
	if !bytes.Equal(fourth.MKI, []byte{0, 7}) || third.Suite != gcm || fourth.Suite != gcm {
		t.Errorf("got %v, %v with MKI %v", third, fourth, fourth.MKI)
	}
}

func FuzzCrypto(f *testing.F) {
	f.Add("1 AES_CM_128_HMAC_SHA1_80 inline:" + siptest.SRTPKey(media.SuiteAESCM128SHA80, 7) + "|2^20|1:4 WSH=64")
	f.Add("2 AEAD_AES_256_GCM inline:" + siptest.SRTPKey(media.SuiteAEADAES256GCM, 7))
	f.Add("3 AES_256_CM_HMAC_SHA1_32 inline:" + siptest.SRTPKey(media.SuiteAES256CMSHA32, 7) + "|99999999999999999999:9 -X KDR=0")
	f.Add("1 AES_CM_128_HMAC_SHA1_80 Inline:" + siptest.SRTPKey(media.SuiteAESCM128SHA80, 7) + "|2^2")
	f.Add("1 AES_CM_128_HMAC_SHA1_32 inline:x;inline:y|2^48|0:128 UNENCRYPTED_SRTCP")
	f.Fuzz(func(t *testing.T, value string) {
		line, err := parseCrypto(value)
		if err == nil {
			again, err := parseCrypto(written(line))
			if err != nil || again.tag != line.tag || !again.keys.Same(&line.keys) {
				t.Fatalf("%q is written as %q, which is read as %+v, %v", value, written(line), again, err)
			}
			masked := string(message.MaskKeys([]byte("a=crypto:" + value)))
			if k := base64.RawStdEncoding.EncodeToString(line.keys.Key); strings.Contains(masked, k) {
				t.Fatalf("%q shows the key", masked)
			}
		}
		body := "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\na=crypto:" + value + "\r\n"
		d, err := Read([]byte(body), Accept{mode: config.SRTPRequired, suites: suitesOf(config.SRTPSuites())})
		if err == nil && (d.securing == nil || len(d.securing.peer.Key) != d.securing.peer.Suite.KeyLen()) {
			t.Fatalf("%q gives %+v", value, d.securing)
		}
	})
}
