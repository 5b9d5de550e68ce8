package cli

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Width is the width of the terminal that w is, in characters; 0: it is none.
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
