package sdp

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/sdp/v3"
	"golang.org/x/tools/txtar"

	"flowbridge/sim/siptest"
)

// oracle is an independent reader and writer of descriptions, based on a library that
// parses everything into a tree. Tests compare it with the product's own code.
type oracle struct {
	tree    sdp.SessionDescription
	formats []string
}

// readOracle reads the first audio stream over RTP/AVP whose port is not 0.
func readOracle(body string) (o oracle, ok bool) {
	sections := [][]string{nil}
	for line := range strings.Lines(body) {
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			continue
		}
		if len(line) < 2 || line[1] != '=' || strings.ContainsAny(line, "\r\x00") {
			return o, false
		}
		if line[0] == 'm' {
			sections = append(sections, nil)
		}
		last := len(sections) - 1
		sections[last] = append(sections[last], line)
	}
	if len(sections[0]) == 0 || strings.TrimRight(sections[0][0], " \t") != "v=0" {
		return o, false
	}
	var stream []string
	for _, s := range sections[1:] {
		fields := strings.Fields(s[0][2:])
		if len(fields) == 0 || len(fields) < 4 && fields[0] == "audio" {
			return o, false
		}
		if stream == nil && !foreign(s, sections[0]) && fields[0] == "audio" && fields[2] == "RTP/AVP" && strings.Trim(fields[1], "0") != "" {
			stream = s
		}
	}
	if stream == nil {
		return o, false
	}
	text := "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\n" + only(sections[0], "c") + only(sections[0], "b") + "t=0 0\r\n" +
		only(sections[0], "a") + stream[0] + "\r\n" + only(stream, "c") + only(stream, "b") + only(stream, "a")
	if o.tree.UnmarshalString(text) != nil || o.address() == "" || o.stream().MediaName.Port.Value == 0 {
		return o, false
	}
	_, muxes := o.stream().Attribute("rtcp-mux")
	for _, f := range o.stream().MediaName.Formats {
		n, err := strconv.ParseUint(f, 10, 7)
		reserved := n >= 72 && n <= 76 || muxes && n >= 64 && n <= 95
		if err == nil && strconv.FormatUint(n, 10) == f && !reserved && !slices.Contains(o.formats, f) {
			o.formats = append(o.formats, f)
		}
	}
	return o, o.formats != nil
}

// foreign reports whether the c= line of a stream or session has another network or
// address family.
func foreign(stream, session []string) bool {
	c := only(stream, "c")
	if c == "" {
		c = only(session, "c")
	}
	return c != "" && !regexp.MustCompile(`^c=(IN[ \t]+(IP[46]([ \t\r]|$).*|[ \t\r]*)|[ \t\r]*)\r\n$`).MatchString(c)
}

// only returns the lines of one type: the first c= line, or all bandwidth lines of known
// kinds.
func only(section []string, kind string) string {
	var out strings.Builder
	for _, line := range section {
		if line[:1] != kind || kind == "b" && !regexp.MustCompile(`^b=(CT|AS|TIAS|RS|RR):[0-9]+$`).MatchString(line) {
			continue
		}
		out.WriteString(line + "\r\n")
		if kind == "c" {
			break
		}
	}
	return out.String()
}

func (o *oracle) stream() *sdp.MediaDescription { return o.tree.MediaDescriptions[0] }

func (o *oracle) address() string {
	c := o.stream().ConnectionInformation
	if c == nil {
		c = o.tree.ConnectionInformation
	}
	if c == nil || c.Address == nil {
		return ""
	}
	return c.Address.Address
}

// write writes the offer to a target, with all formats.
func (o *oracle) write(at netip.AddrPort) string {
	address := sdp.Address{Address: at.Addr().String()}
	out := sdp.SessionDescription{
		Origin:      sdp.Origin{Username: "-", NetworkType: "IN", AddressType: "IP4", UnicastAddress: address.Address},
		SessionName: "-", ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &address},
		Bandwidth: o.tree.Bandwidth, TimeDescriptions: []sdp.TimeDescription{{}},
		MediaDescriptions: []*sdp.MediaDescription{{
			MediaName: sdp.MediaName{Media: "audio", Port: sdp.RangedPort{Value: int(at.Port())}, Protos: []string{"RTP", "AVP"}, Formats: o.formats},
			Bandwidth: o.stream().Bandwidth,
		}},
	}
	for _, a := range o.tree.Attributes {
		if shown(a) {
			out.Attributes = append(out.Attributes, a)
		}
	}
	for _, a := range o.stream().Attributes {
		pt, rest, _ := strings.Cut(a.Value, " ")
		switch {
		case a.Key == "rtcp":
			a.Value = strconv.Itoa(int(at.Port()) + 1)
		case !shown(a), a.Key == "rtpmap" && !isCodec(strings.TrimSpace(rest)):
			continue
		case a.Key == "rtpmap" || a.Key == "fmtp" || a.Key == "rtcp-fb":
			if pt != "*" && !slices.Contains(o.formats, pt) || strings.TrimSpace(rest) == "" {
				continue
			}
			n, _ := strconv.ParseUint(pt, 10, 7) // a clock rate other than the static payload type's
			if k, static := codecOf(strings.TrimSpace(rest)), codecOf(staticMapping(uint8(n))); a.Key == "rtpmap" && k.Name == static.Name && k != static && pt != "*" {
				continue
			}
		}
		out.MediaDescriptions[0].Attributes = append(out.MediaDescriptions[0].Attributes, a)
	}
	text, _ := out.Marshal() // can't fail
	return string(text)
}

func shown(a sdp.Attribute) bool {
	if regexp.MustCompile(`[\x00-\x08\x0a-\x1f\x7f]`).MatchString(a.Value) {
		return false
	}
	key := strings.ToLower(a.Key)
	if key == "ptime" || key == "maxptime" {
		value := strings.TrimSpace(a.Value)
		ms, err := strconv.ParseFloat(value, 64)
		return strings.Trim(value, "0123456789.") == "" && err == nil && ms >= 1 && ms <= 200
	}
	if _, feedback, _ := strings.Cut(a.Value, " "); key == "rtcp-fb" && strings.TrimSpace(feedback) == "transport-cc" {
		return false
	}
	return slices.Contains(strings.Fields("rtpmap fmtp rtcp-fb maxprate silencesupp ecan gpmd "+
		"sendrecv sendonly recvonly inactive lang sdplang charset content label"), key)
}

// isCodec reports whether a mapping in an a=rtpmap line has a valid encoding name and, if any, a
// valid clock rate.
func isCodec(mapping string) bool {
	m := regexp.MustCompile("^[-.!%*_+`'~A-Za-z0-9]+(?:/([0-9]+)(/[-.!%*_+`'~A-Za-z0-9]*)?)?$").FindStringSubmatch(mapping)
	if m == nil {
		return false
	}
	hz, err := strconv.ParseUint(m[1], 10, 31)
	return m[1] == "" || err == nil && hz > 0
}

// stricter matches descriptions that the library accepts but that we refuse, or read only
// in part.
var stricter = map[string]*regexp.Regexp{
	"m= of other characters than those of tokens":  regexp.MustCompile(`(?m)^m=([ \t]|audio[ \t].*[^\t -~\r]|.*[\x00-\x08\x0b\x0c\x0e-\x1f\x7f])`),
	"a port with a sign, or a count that is none":  regexp.MustCompile(`(?m)^m=audio[ \t]+([+-]|[0-9]+/([^0-9]|[0-9]+[^0-9 \t]))`),
	"more than an address in c=":                   regexp.MustCompile(`(?m)^c=IN[ \t]+IP[46][ \t]+[^ \t\r]+[ \t]+[^ \t\r]`),
	"bandwidth of more than 19 digits":             regexp.MustCompile(`(?m)^b=[A-Z]+:[0-9]{20}`),
	"bandwidth with zeros in front, which we keep": regexp.MustCompile(`(?m)^b=[A-Z]+:0[0-9]`),
	"a=rtpmap without a name":                      regexp.MustCompile(`(?m)^a=rtpmap:[0-9*]+\s+/`),
	"attributes of other letters than ASCII's":     regexp.MustCompile(`(?m)^a=.*[^\x00-\x7f]`),
	"a packet time of many digits":                 regexp.MustCompile(`(?mi)^a=(max)?ptime:[0-9. \t]{30}`),
}

// FuzzOracle checks that the oracle reads everything that we read, with the same result,
// and writes the same text. Descriptions that only the oracle reads must be of a kind
// listed in stricter.
func FuzzOracle(f *testing.F) {
	files, _ := filepath.Glob("testdata/sdp/*.txtar")
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(f, err)
		files := siptest.Files(txtar.Parse(text))
		f.Add(string(siptest.CRLF(files["offer"])))
		f.Add(string(siptest.CRLF(files["answer"])))
	}
	const head = "v=0\nc=IN IP4 192.0.2.1\nm=audio "
	for _, rest := range []string{
		"+4000 RTP/AVP 0\n", "4000/x RTP/AVP 0\n", "4000/2 RTP/AVP 0 101\na=label:\na=PTIME:20\n", "4000 RTP/AVP\t0\v8\n", "4000 RTP/AVP 0\nc=IN IP4 192.0.2.1 a=x\n",
		"4000 RTP/AVP 0\nb=AS:007\nb=X9:1\nb=TIAS:99999999999999999999\n", "4000 RTP/AVP 0 96\na=fmtp\na=rtcp-fb:* nack\na=rtpmap:96\na=fmtp:096 x\n",
		"4000 RTP/AVP 0 96\na=rtpmap:0 PCMU/8000x\na=rtpmap:96 opus/48000/2 x\na=fmtp:96 \x1b[2J\na=rtpmap:96 opus/48000/2\n",
		"4000 RTP/AVP 0\nc=IN IP4\nm=vid\xe9o 1\nm=audio 4002 RTP/AVP 8\n", "4000 RTP/AVP 0\nc=ATM NSAP 47\nm=audio 4002 RTP/AVP 8\nc=IN IP6 ::1\n",
		"4000 RTP/AVP 0\nc=IN E164 49\nm=audio 4002 RTP/AVP 8\n",
	} {
		f.Add(head + rest)
		f.Add("v=0 \t" + (head + rest)[3:])
	}
	f.Fuzz(func(t *testing.T, body string) {
		d, err := Parse([]byte(body))
		o, ok := readOracle(body)
		for _, reason := range stricter {
			if reason.MatchString(body) {
				if !ok && err == nil {
					t.Fatalf("taken: %q", body)
				}
				return
			}
		}
		if ok != (err == nil) {
			t.Fatalf("we say %v, the oracle %v, of %q", err, ok, body)
		}
		if !ok {
			return
		}
		got, want := string(d.ForTarget(ourSideB, StreamTransport{}, d.Formats(), AsIs)), o.write(ourSideB)
		if d.Connection() != o.address() || d.Port() != o.stream().MediaName.Port.Value || got != want {
			t.Fatalf("%q: -want +got:\n%s", body, cmp.Diff(want, got))
		}
	})
}
