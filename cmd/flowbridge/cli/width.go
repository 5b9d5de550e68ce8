package cli

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Width returns the width of w in characters if w is a terminal, and 0 if not.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
