//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attachment is the program as it is attached to the ingress of one interface.
type attachment struct {
	name string
	link link.Link          // the tcx link; nil with clsact
	tc   *netlink.BpfFilter // the clsact filter; nil with tcx
}

// attach attaches the program to the interfaces that lack it, and removes it from those that must not have it.
func (r *Relay) attach() error {
	links, err := r.routes.LinkList()
	if err != nil {
		return fmt.Errorf("the interfaces: %w", err)
	}
	r.attaching.Lock()
	defer r.attaching.Unlock()
	if r.silent.Load() {
		return nil
	}
	defer r.tellPath()
	wanted := map[int]bool{}
	var errs []error
	for _, l := range links {
		at := l.Attrs()
		if !wants(at) {
			continue
		}
		wanted[at.Index] = true
		if r.attached[at.Index] != nil {
			continue
		}
		a, err := r.attachTo(at)
		if err != nil {
			if !errors.Is(err, unix.ENODEV) {
				errs = append(errs, fmt.Errorf("%s does not take the program: %w", at.Name, err))
			}
			continue
		}
		r.attached[at.Index] = a
	}
	for index, a := range r.attached {
		if !wanted[index] {
			a.end(r, false)
			delete(r.attached, index)
		}
	}
	return errors.Join(errs...)
}

// wants reports whether an interface gets the program. An interface that belongs to another one, such as a port of a
// bridge, does not get it: the bridge sees the packets of all its ports.
func wants(at *netlink.LinkAttrs) bool {
	ethernet := at.EncapType == "ether" || at.Flags&net.FlagLoopback != 0
	return ethernet && at.Flags&net.FlagUp != 0 && at.MasterIndex == 0
}

func (r *Relay) attachTo(at *netlink.LinkAttrs) (*attachment, error) {
	if r.clsact {
		return r.attachFilter(at)
	}
	pin := r.place.linkPin(at.Index)
	if l := r.pinnedLink(pin, at.Index); l != nil {
		return &attachment{name: at.Name, link: l}, nil
	}
	l, err := r.attachTCX(at.Index)
	switch {
	case errors.Is(err, ebpf.ErrNotSupported):
		r.clsact = true
		return r.attachFilter(at)
	case err != nil:
		return nil, err
	}
	if pin != "" {
		if err := l.Pin(pin); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return &attachment{name: at.Name, link: l}, nil
}

func (r *Relay) attachTCX(index int) (link.Link, error) {
	if r.options.noTCX {
		return nil, ebpf.ErrNotSupported
	}
	return link.AttachTCX(link.TCXOptions{Interface: index, Program: r.program.Relay, Attach: ebpf.AttachTCXIngress})
}

// linkPrefix is the prefix of the names of pinned links.
const linkPrefix = "link-"

// linkPin returns the path where the link of an interface is pinned. Interfaces are identified by their number and
// network namespace.
func (p *place) linkPin(index int) string {
	if p.root == nil {
		return ""
	}
	return filepath.Join(p.dir, fmt.Sprintf("%s%d-%d", linkPrefix, namespace(), index))
}

// namespace returns the inode number of the thread's network namespace.
func namespace() uint64 {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return 0
	}
	return st.Ino
}

// pinnedLink makes the old process's link run our program. No packet is missed. It returns nil if there is no such
// link, or if its interface is gone.
func (r *Relay) pinnedLink(pin string, index int) link.Link {
	if pin == "" {
		return nil
	}
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return nil
	}
	info, err := l.Info()
	if err == nil && info.TCX() != nil && int(info.TCX().Ifindex) == index && l.Update(r.program.Relay) == nil {
		return l
	}
	_ = os.Remove(pin)
	_ = l.Close()
	return nil
}

// detachPinned detaches the program of a pinned link from its interface at once.
func detachPinned(pin string) {
	if l, err := link.LoadPinnedLink(pin, nil); err == nil {
		_ = l.Detach()
		_ = l.Close()
	}
}

// sweep removes the pins of links whose interface is gone.
func (p *place) sweep() {
	pins, err := filepath.Glob(filepath.Join(p.dir, linkPrefix+"*"))
	if err != nil || p.root == nil {
		return
	}
	for _, pin := range pins {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			continue
		}
		if info, err := l.Info(); err == nil && info.TCX() != nil && info.TCX().Ifindex == 0 {
			_ = l.Unpin()
		}
		_ = l.Close()
	}
}

// filterPriority is after the priorities that others choose, and before the kernel's own.
const filterPriority = 0xb000

// attachFilter attaches the program on kernels before Linux 6.6. A filter outlives the process by itself, so a
// directory is needed in which the next process finds it.
func (r *Relay) attachFilter(at *netlink.LinkAttrs) (*attachment, error) {
	if r.place.root == nil {
		return nil, errors.New("before Linux 6.6 a directory in a BPF file system is needed")
	}
	clsact := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: at.Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := r.routes.QdiscAdd(clsact); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("clsact: %w", err)
	}
	tc := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: at.Index, Parent: netlink.HANDLE_MIN_INGRESS, Protocol: unix.ETH_P_ALL, Priority: filterPriority,
			Handle: crc32.ChecksumIEEE([]byte(r.place.dir)) | 1,
		},
		Fd: r.program.Relay.FD(), Name: r.place.dir, DirectAction: true,
	}
	if err := r.routes.FilterReplace(tc); err != nil {
		return nil, fmt.Errorf("clsact: %w", err)
	}
	return &attachment{name: at.Name, tc: tc}, nil
}

// removeFilters removes the filters of a directory from all interfaces.
func removeFilters(w *netlink.Handle, dir string) {
	links, err := w.LinkList()
	if err != nil {
		return
	}
	for _, l := range links {
		filters, err := w.FilterList(l, netlink.HANDLE_MIN_INGRESS)
		if err != nil {
			continue
		}
		for _, f := range filters {
			if tc, ok := f.(*netlink.BpfFilter); ok && tc.Name == dir {
				_ = w.FilterDel(tc)
			}
		}
	}
}

// end detaches the program from the interface. If leave is set, it leaves the program there for the next process.
func (a *attachment) end(r *Relay, leave bool) {
	switch {
	case a.tc != nil && !leave:
		_ = r.routes.FilterDel(a.tc)
	case a.link != nil:
		if !leave {
			_ = a.link.Unpin() // fails if the link was not pinned
		}
		_ = a.link.Close()
	}
}

// Path returns how and where the program is attached, such as "tcx on eth0, lo".
func (r *Relay) Path() string { return *r.path.Load() }

// tellPath updates Path. The caller holds r.attaching.
func (r *Relay) tellPath() {
	way, names := "tcx", []string{}
	for _, a := range r.attached {
		if a.tc != nil {
			way = "clsact"
		}
		names = append(names, a.name)
	}
	slices.Sort(names)
	path := way + " on " + strings.Join(names, ", ")
	if err := Slow(); err != nil {
		path += "; " + err.Error()
	} else if !r.listens {
		path += "; conversations are not measured: this kernel does not take that part of the program"
	}
	r.path.Store(&path)
}
