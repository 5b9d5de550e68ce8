package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// maxFile bounds a file that is read, in bytes. It is also the limit for a configuration.
const maxFile = 1 << 20

// ReadText reads a file of at most 1 MiB, or standard input for -.
func ReadText(c *cobra.Command, file string) ([]byte, error) {
	if file == "-" {
		return readLimited(c.InOrStdin(), file)
	}
	return ReadFile(file)
}

// ReadFile reads a file of at most 1 MiB.
func ReadFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, file)
}

func readLimited(in io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes: is it the right file?", name, maxFile)
	}
	return data, err
}
