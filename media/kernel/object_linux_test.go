//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// The committed object was made from the committed source.
func TestObjectIsOfTheSource(t *testing.T) {
	source, err := os.ReadFile("relay.bpf.c")
	must(t, err)
	sum, err := os.ReadFile("relay.sum")
	must(t, err)
	of, by, _ := strings.Cut(string(sum), "\n")
	if want := fmt.Sprintf("%x  -", sha256.Sum256(source)); of != want {
		t.Fatalf("relay_bpfel.o is of another relay.bpf.c: run go generate in media/kernel")
	}
	clang, err := exec.Command("clang", "--version").Output()
	if err != nil {
		t.Skip("needs clang, to compile the source again")
	}
	if is, _, _ := strings.Cut(string(clang), "\n"); is != strings.TrimSpace(by) {
		t.Skipf("needs %s, which made the object; here is %s", strings.TrimSpace(by), is)
	}
	again := filepath.Join(t.TempDir(), "relay.o")
	generate, err := os.ReadFile("generate.go")
	must(t, err)
	_, flags, _ := strings.Cut(string(generate), `-cflags "`)
	flags, _, _ = strings.Cut(flags, `"`)
	command := append(strings.Fields(flags), "-target", "bpfel", "-c", "relay.bpf.c", "-o", again)
	if out, err := exec.Command("clang", command...).CombinedOutput(); err != nil {
		t.Skipf("needs what the source includes: %v\n%s", err, out)
	}
	is, err := loadProgram()
	must(t, err)
	want, err := ebpf.LoadCollectionSpec(again)
	must(t, err)
	for name, p := range want.Programs {
		if got := is.Programs[name]; got == nil || fmt.Sprint(got.Instructions) != fmt.Sprint(p.Instructions) {
			t.Errorf("%s is not what the source compiles to: run go generate in media/kernel", name)
		}
	}
}

// The contents of the maps have not changed since the layout got its number; otherwise a process would adopt
// flows that it misreads. If the sum changes, layout needs a new number.
func TestLayoutHasItsNumber(t *testing.T) {
	spec, err := loadProgram()
	must(t, err)
	var text strings.Builder
	for _, name := range []string{programMapFlows, programMapStates} {
		m := spec.Maps[name]
		fmt.Fprintln(&text, name, m.Type, m.KeySize, m.ValueSize, m.Flags)
		describe(&text, m.Key, 0)
		describe(&text, m.Value, 0)
	}
	got := fmt.Sprintf("%x", sha256.Sum256([]byte(text.String())))[:16]
	if want := map[int]string{5: "a5ef343aaed0e794"}[layout]; got != want {
		t.Errorf("layout %d has the sum %s; want %s:\n%s", layout, got, want, text.String())
	}
	// Other versions look for these fields.
	state := spec.Maps[programMapStates].Value.(*btf.Struct)
	figures := state.Members[2].Type.(*btf.Struct)
	if offset := state.Members[2].Offset + figures.Members[0].Offset; offset != 64 || figures.Members[0].Name != "last" {
		t.Errorf("the time of the last packet is at bit %d", offset)
	}
}

// describe writes the fields of a type with their offsets.
func describe(text *strings.Builder, typ btf.Type, at btf.Bits) {
	s, ok := btf.UnderlyingType(typ).(*btf.Struct)
	if !ok {
		fmt.Fprintln(text, "", typ)
		return
	}
	for _, m := range s.Members {
		size, _ := btf.Sizeof(m.Type)
		fmt.Fprintln(text, "", at+m.Offset, size, m.Name)
		if _, ok := btf.UnderlyingType(m.Type).(*btf.Struct); ok {
			describe(text, m.Type, at+m.Offset)
		}
	}
}

// A State is copied to and from the program's figures, so both must have the same layout.
func TestStateIsFigures(t *testing.T) {
	var fields func(reflect.Type, uintptr) []string
	fields = func(typ reflect.Type, at uintptr) (all []string) {
		for f := range typ.Fields() {
			switch {
			case f.Type.Size() == 0:
			case f.Type.Kind() == reflect.Struct:
				all = append(all, fields(f.Type, at+f.Offset)...)
			default:
				all = append(all, fmt.Sprintf("%s %d %d", strings.ToLower(f.Name), at+f.Offset, f.Type.Size()))
			}
		}
		return all
	}
	state := fields(reflect.TypeFor[State](), 0)
	for _, of := range [][2][]string{
		{state[:len(state)-2], fields(reflect.TypeFor[programFigures](), 0)}, // without Speech and At
		{fields(reflect.TypeFor[Speech](), 0), fields(reflect.TypeFor[programSpeech](), 0)},
	} {
		got, want := of[0], slices.DeleteFunc(of[1], func(f string) bool { return strings.HasPrefix(f, "_ ") && of[0][0][:2] == "ba" })
		if len(got) != len(want) {
			t.Fatalf("%d fields; want %d", len(got), len(want))
		}
		for i := range got {
			name, place, _ := strings.Cut(got[i], " ")
			other, otherPlace, _ := strings.Cut(want[i], " ")
			if place != otherPlace || (name != "_" && name != other && name != "last"+other && "over"+name != other) {
				t.Errorf("field %d is %s; want %s", i, got[i], want[i])
			}
		}
	}
}

// The time until the kernel has verified the program is part of the silence after a crash. The part that listens has so
// few branches that it takes no more than twice the steps of everything else; otherwise the compiler has made branches
// of its arithmetic.
func TestVerifyingListeningTakesFewSteps(t *testing.T) {
	needsRoot(t)
	var steps [2]int
	for i, listens := range []bool{false, true} {
		spec, err := (&Relay{options: Options{Capacity: 1}}).spec(listens)
		must(t, err)
		c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
			Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
		})
		must(t, err)
		defer c.Close()
		_, log, _ := strings.Cut(c.Programs["relay"].VerifierLog, "processed ")
		if _, err := fmt.Sscanf(log, "%d insns", &steps[i]); err != nil {
			t.Skipf("this kernel does not say how many steps it took: %v", err)
		}
	}
	if others := steps[0]; steps[1] > 3*others {
		t.Errorf("listening takes %d steps more than the %d of everything else", steps[1]-others, others)
	}
}

// The kernel has no type information for a map of sockets (ENOTSUPP). A refusal takes an RCU grace period,
// so the map must be loaded without it.
func TestMapsOfSocketsHaveNoTypes(t *testing.T) {
	spec, err := (&Relay{}).spec(false)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range spec.Maps {
		if m.Type == ebpf.SockMap && (m.Key != nil || m.Value != nil) {
			t.Errorf("%s has types", name)
		}
	}
}
