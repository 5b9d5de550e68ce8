package bridge

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

func TestMediaRecord(t *testing.T) {
	side := media.SideStats{
		RxPackets: 1, TxPackets: 2, Lost: 3, Bursts: 4, Late: 9, Duplicates: 5, Reordered: 6, SSRCChanges: 7, DroppedTotal: 8,
		Dropped: media.Drops{WrongSource: 8}, JitterMS: 1.5, RTT: 12345678 * time.Nanosecond, MOS: 4.3456,
	}
	want := record.MediaSide{
		Rx: 1, Tx: 2, Lost: 3, Bursts: 4, Late: 9, Duplicates: 5, Reordered: 6, SSRCChanges: 7, Dropped: 8,
		DroppedBy: record.DroppedBy{WrongSource: 8}, JitterMS: 1.5, RTT: 12.346, MOS: 4.35,
	}
	b := &Bridge{}
	b.Media.bridge = b
	d, err := sdp.Parse([]byte(siptest.SessionAt("192.0.2.10", 20000, "8")))
	if err != nil {
		t.Fatal(err)
	}
	b.Agreement.Description[media.SideB], b.Agreement.Codec[media.SideB] = d, sdp.PCMA
	side.Source = netip.MustParseAddrPort("192.0.2.10:7000")
	want.Codec, want.Expected, want.Source = "PCMA", "192.0.2.10:20000", "192.0.2.10:7000"
	side.Refused = netip.MustParseAddrPort("198.51.100.9:7000")
	want.Refused = "198.51.100.9:7000"
	if got := b.Media.sideRecord(media.SideB, side, &b.Agreement); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	for _, tt := range []struct {
		a, b, want float64
		heard      uint64 // packets of side B
	}{{0, 0, 0, 1}, {4.1, 0, 4.1, 1}, {0, 4.1, 4.1, 1}, {4.1, 3.2, 3.2, 1}, {3.2, 4.1, 3.2, 1}, {4.1, 0, 0, 0}} {
		stats := media.Stats{A: media.SideStats{RxPackets: 1, MOS: tt.a}, B: media.SideStats{RxPackets: tt.heard, MOS: tt.b}}
		if got := b.Media.counted(stats, &agreement.Agreement{}); float64(got.MOS) != tt.want {
			t.Errorf("MOS %v, and %v of %d packets: got %v; want %v", tt.a, tt.b, tt.heard, got.MOS, tt.want)
		}
	}
}

// Each reason for dropped packets has a name in the record.
func TestEveryDropIsNamed(t *testing.T) {
	var d media.Drops
	v := reflect.ValueOf(&d).Elem()
	var want float64
	for i := range v.NumField() {
		v.Field(i).SetUint(1 << i)
		want += float64(int(1) << i)
	}
	text, err := json.Marshal(droppedBy(d))
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	var got float64
	for _, n := range record {
		got += n.(float64)
	}
	if got != want || len(record) != v.NumField() {
		t.Errorf("the record has %v; want %d reasons", record, v.NumField())
	}
}
