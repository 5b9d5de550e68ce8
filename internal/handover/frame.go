package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"
)

// Kind is the kind of a frame.
type Kind uint8

// These are the kinds of frames, in the order in which they are sent.
const (
	// Loaded comes from the new process: it has read its configuration.
	Loaded Kind = 1 + iota
	// Refused is from the new process: it can't continue. Refusal says why.
	Refused
	// Begin comes from the old process: it has stopped, and what follows now belongs to the new process.
	Begin
	// Part is from the old process: a part that it hands over.
	Part
	// End is from the old process: no more parts follow.
	End
	// Ready comes from the new process: it could continue at once.
	Ready
	// Go comes from the old process: it has stopped for good.
	Go
)

// Refusal says why a new process can't continue.
type Refusal struct {
	Why string `cbor:"1,keyasint"`
}

const (
	// maxFrame bounds the data of a frame, in bytes.
	maxFrame = 16 << 20
	// maxFiles bounds the files of a frame. The kernel's limit is 253.
	maxFiles = 240
	// messageSize bounds a message. It is well below the socket buffer of any system.
	messageSize = 64 << 10
	// magic starts each frame. Its last byte is the version of the format.
	magic = 0x46_42_48_01
)

// headSize is the size of a frame's head: magic, kind, number of files, length.
const headSize = 12

// Frame is one frame that was received.
type Frame struct {
	Kind  Kind
	Data  []byte
	Files []int // descriptors that the receiver must close
}

// Decode reads the data of a frame.
func (f *Frame) Decode(into any) error {
	if err := decoding.Unmarshal(f.Data, into); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	return nil
}

// Close closes the files of a frame.
func (f *Frame) Close() {
	for _, fd := range f.Files {
		_ = unix.Close(fd)
	}
	f.Files = nil
}

// decoding limits the memory that decoding a frame's data may allocate.
//
//nolint:gochecknoglobals // constant
var decoding = func() cbor.DecMode {
	m, err := cbor.DecOptions{MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 16, MaxNestedLevels: 32}.DecMode()
	if err != nil {
		panic(err) //nolint:forbidigo // the options are constant
	}
	return m
}()

var (
	errForm  = errors.New("handover: not a frame of a process of this kind")
	errLarge = errors.New("handover: the frame is too large")
)

// messages splits a frame into messages. The files go with the first.
func messages(kind Kind, files int, data []byte) ([][]byte, error) {
	if len(data) > maxFrame || files > maxFiles {
		return nil, errLarge
	}
	whole := make([]byte, headSize, headSize+len(data))
	binary.BigEndian.PutUint32(whole, magic)
	whole[4] = byte(kind)
	binary.BigEndian.PutUint16(whole[6:], uint16(files))
	binary.BigEndian.PutUint32(whole[8:], uint32(len(data)))
	return slices.Collect(slices.Chunk(append(whole, data...), messageSize)), nil
}

// assembler assembles frames from messages.
type assembler struct {
	frame Frame
	left  int // bytes of the frame that are still missing
}

// take takes a message with its files, and owns the files from then on. done reports that the frame is complete.
// After an error the assembler can't be used any more.
func (a *assembler) take(b []byte, files []int) (f Frame, done bool, err error) {
	if a.left == 0 {
		if err := a.begin(b, files); err != nil {
			closeAll(files)
			return f, false, err
		}
		b = b[headSize:]
	} else if len(files) > 0 {
		closeAll(files)
		a.frame.Close()
		return f, false, errForm
	}
	if len(b) > a.left || (len(b) == 0 && a.left > 0 && len(a.frame.Data) > 0) {
		a.frame.Close()
		return f, false, errForm
	}
	a.frame.Data = append(a.frame.Data, b...)
	a.left -= len(b)
	if a.left > 0 {
		return f, false, nil
	}
	f, a.frame = a.frame, Frame{}
	return f, true, nil
}

// begin reads the head of a frame.
func (a *assembler) begin(b []byte, files []int) error {
	if len(b) < headSize || binary.BigEndian.Uint32(b) != magic || b[5] != 0 {
		return errForm
	}
	kind, size := Kind(b[4]), binary.BigEndian.Uint32(b[8:])
	switch {
	case kind < Loaded || kind > Go, int(binary.BigEndian.Uint16(b[6:])) != len(files):
		return errForm
	case size > maxFrame:
		return errLarge
	}
	a.frame = Frame{Kind: kind, Files: files}
	a.left = int(size)
	return nil
}

func closeAll(files []int) {
	for _, fd := range files {
		_ = unix.Close(fd)
	}
}
