package clinic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rahasia/rahasia/keyring"
)

// The custodian's two halves, as files of the clinic's folder. The public one
// lies where consent.OpenDir looks for that of the folder "rahasia".
const (
	custodianPublic  = "rahasia.custodian"
	custodianPrivate = "custodian-private-key.KEEP-ELSEWHERE"
)

// custodian returns to whom the keys of retained patients are sealed, and makes
// the key pair where there is none. In earnest the custodian makes it, on a
// machine of their own, and hands over the public half alone: whoever has the
// private one, as this folder has, can bring retained patients back (docs/RESTORE.md).
func (c *Clinic) custodian() (keyring.Custodian, error) {
	public := filepath.Join(c.dir, custodianPublic)
	text, err := os.ReadFile(public)
	if err == nil {
		return keyring.ParseCustodian(strings.TrimSpace(string(text)))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return keyring.Custodian{}, err
	}
	private := filepath.Join(c.dir, custodianPrivate)
	key, err := keyring.CreateCustodianKey(private)
	if errors.Is(err, keyring.ErrExists) { // the process ended between the two halves
		key, err = keyring.OpenCustodianKey(private)
	}
	if err != nil {
		return keyring.Custodian{}, fmt.Errorf("custodian: %w", err)
	}
	return key.Custodian(), os.WriteFile(public, []byte(key.Custodian().String()+"\n"), 0o600)
}
