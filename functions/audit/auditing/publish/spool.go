package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// spooled is a document in a temporary file, read from its beginning: a report
// of a hundred thousand findings is a hundred megabytes, which a function has
// on disk and not in memory. Its name is gone already, so that nothing of it
// is left behind, whatever happens.
type spooled struct {
	*os.File
	size int64
	sum  string // SHA-256 in hexadecimal digits
}

// spool takes up what is written.
func spool(write func(io.Writer) error) (document *spooled, err error) {
	file, err := os.CreateTemp("", "audit-*")
	if err != nil {
		return nil, fmt.Errorf("a temporary file for the report: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("a temporary file for the report: %w", err)
	}
	digest := sha256.New()
	if err := write(io.MultiWriter(file, digest)); err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fmt.Errorf("a temporary file for the report: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("a temporary file for the report: %w", err)
	}
	return &spooled{file, size, hex.EncodeToString(digest.Sum(nil))}, nil
}
