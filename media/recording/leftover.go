package recording

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"
)

var dayPattern = regexp.MustCompile(`^\d{4}/\d{2}/\d{2}$`)

// finishLeftovers finishes the files of a killed process and returns how many there were.
func (a *Archive) finishLeftovers() (finished int, err error) {
	err = fs.WalkDir(a.dir.files().FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		final, part := strings.CutSuffix(name, partSuffix)
		if !part || !namePattern.MatchString(final) {
			return nil
		}
		finished++
		return a.finishLeftover(final)
	})
	return finished, err
}

// finishLeftover finishes one file. It keeps the time of the last write, because the recording ended then.
func (a *Archive) finishLeftover(name string) error {
	f, err := a.dir.files().OpenFile(name+partSuffix, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	var usable bool
	if strings.HasSuffix(name, sealedSuffix) {
		usable, err = hasChunk(f)
	} else {
		usable, err = Complete(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !usable {
		return a.dir.files().Remove(name + partSuffix)
	}
	if err := a.dir.files().Chtimes(name+partSuffix, time.Time{}, info.ModTime()); err != nil {
		return err
	}
	return a.dir.files().Rename(name+partSuffix, name)
}

// Complete ends a file, not encrypted, whose writer could not: it gives a WAV its length, and cuts off a part of a
// block. It reports false for a file without a sample or packet.
func Complete(f *os.File) (usable bool, err error) {
	head := make([]byte, len(wavMark))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if string(head) == wavMark {
		return repairWAV(f)
	}
	return repairPcapng(f)
}

// repairWAV corrects the sizes in the header. A file without a sample is not usable.
func repairWAV(f *os.File) (usable bool, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() < wavHeaderSize {
		return false, err
	}
	data := (info.Size() - wavHeaderSize) / frameSize * frameSize
	if err := f.Truncate(wavHeaderSize + data); err != nil {
		return false, err
	}
	_, err = f.WriteAt(wavHeader(2, data), 0)
	return data > 0, err
}

// repairPcapng cuts off an incomplete block. A capture without a packet is not usable.
func repairPcapng(f *os.File) (usable bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	var at int64
	blocks := 0
	for at+blockFrame <= info.Size() {
		var head [8]byte
		if _, err := f.ReadAt(head[:], at); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		kind, size := binary.LittleEndian.Uint32(head[:]), int64(binary.LittleEndian.Uint32(head[4:]))
		if size < blockFrame || size%4 != 0 || at+size > info.Size() || (kind == sectionHeader) != (at == 0) {
			break
		}
		blocks++
		at += size
	}
	if blocks <= 2 { // only section and interface
		return false, nil
	}
	return true, f.Truncate(at)
}
