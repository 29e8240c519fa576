package consent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rahasia/rahasia/internal/folder"
	"github.com/rahasia/rahasia/keyring"
)

const custodianSuffix = ".custodian"

// maxCustodian is more than the text of a public key is long.
const maxCustodian = 4096

// custodianOf reads whom a folder's retained keys are sealed to, or nobody where
// nothing says so. It is no secret, but who may write it may have them sealed to
// himself.
func custodianOf(dir string) (keyring.Custodian, error) {
	line, err := readCustodian(dir + custodianSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return keyring.Custodian{}, nil
	}
	var c keyring.Custodian
	if err == nil {
		c, err = keyring.ParseCustodian(strings.TrimRight(line, "\r\n"))
	}
	if err != nil {
		return keyring.Custodian{}, fmt.Errorf("custodian: %w", err)
	}
	return c, nil
}

func readCustodian(path string) (string, error) {
	f, err := folder.Regular(os.OpenFile(path, os.O_RDONLY|folder.Nonblock, 0)) // a pipe is refused, not waited for
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o022 != 0 {
		err = fmt.Errorf("file has mode %v, others may write it: %w", info.Mode(), keyring.ErrKEK)
	}
	if err != nil {
		return "", err
	}
	line, err := io.ReadAll(io.LimitReader(f, maxCustodian))
	return string(line), err
}

// pinned anchors the first custodian that a folder is opened with in the ring's
// journal, and refuses another: one that was put into the file unseen would get the
// keys of all who are retained from then on, and the right one none.
func (c *Config) pinned(ctx context.Context, custodian keyring.Custodian) error {
	if custodian == (keyring.Custodian{}) {
		return nil // Retain refuses
	}
	digest := sha256.Sum256([]byte(custodian.String()))
	for {
		place, is, err := c.Ring.Anchored(ctx, auditCompartment)
		if err != nil {
			return err
		}
		if place > 0 {
			if is != digest {
				return fmt.Errorf("custodian: another than before: %w", ErrTampered)
			}
			return nil
		}
		if err := c.Ring.Anchor(ctx, auditCompartment, 0, 1, digest); !errors.Is(err, keyring.ErrConflict) {
			return err
		} // another process was first: with which?
	}
}
