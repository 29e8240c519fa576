package consent

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rahasia/rahasia/keyring"
)

const custodianSuffix = ".custodian"

// custodianOf reads whom a folder's retained keys are sealed to, or nobody where
// nothing says so. Who may write the file may have them sealed to himself; it lies
// where the key file lies, whose reader needs no such thing.
func custodianOf(dir string) (keyring.Custodian, error) {
	line, err := os.ReadFile(dir + custodianSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return keyring.Custodian{}, nil
	}
	var c keyring.Custodian
	if err == nil {
		c, err = keyring.ParseCustodian(strings.TrimRight(string(line), "\r\n"))
	}
	if err != nil {
		return keyring.Custodian{}, fmt.Errorf("custodian: %w", err)
	}
	return c, nil
}
