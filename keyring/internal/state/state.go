// Package state is the states of a keyset's versions: those of NIST SP 800-57
// part 1, section 7, over the three that Tink has.
package state

import (
	"errors"
	"fmt"

	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// The errors; package keyring exports them under these names.
var (
	ErrState          = errors.New("illegal change of state")
	ErrUnknownVersion = errors.New("unknown keyset version")
)

// State is the state of one version.
type State uint8

// The states. Pre-activation is not among them, for a version is the primary
// as soon as it is made; a compromised one is suspended or destroyed.
const (
	Active      State = 1 // the primary: protects and processes
	Destroyed   State = 2 // its key is gone; Tink's DESTROYED
	Deactivated State = 3 // processes what it protected; enabled and not the primary
	Suspended   State = 4 // neither, for now; Tink's DISABLED
	Retained    State = 5 // of a subject key alone: sealed to a custodian
)

// legal are the changes by Set. A version is made Active, and becomes
// Deactivated when the next one is.
func legal(from, to State) bool {
	switch from {
	case Deactivated:
		return to == Suspended
	case Suspended:
		return to == Deactivated || to == Destroyed
	}
	return false // the primary must be replaced first; what is destroyed stays so
}

func (s State) String() string {
	switch s {
	case Active:
		return "active"
	case Destroyed:
		return "destroyed"
	case Deactivated:
		return "deactivated"
	case Suspended:
		return "suspended"
	case Retained:
		return "retained"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Of returns the state of a key of set; 0 if Tink does not know it either.
func Of(set *tinkpb.Keyset, key *tinkpb.Keyset_Key) State {
	switch key.GetStatus() {
	case tinkpb.KeyStatusType_ENABLED:
		if key.GetKeyId() == set.GetPrimaryKeyId() {
			return Active
		}
		return Deactivated
	case tinkpb.KeyStatusType_DISABLED:
		return Suspended
	case tinkpb.KeyStatusType_DESTROYED:
		return Destroyed
	}
	return 0
}

// Set brings a version of set into another state.
func Set(set *tinkpb.Keyset, version uint32, to State) error {
	for _, key := range set.GetKey() {
		if key.GetKeyId() != version {
			continue
		}
		if from := Of(set, key); !legal(from, to) {
			return fmt.Errorf("version %d from %v to %v: %w", version, from, to, ErrState)
		}
		switch to {
		case Deactivated:
			key.Status = tinkpb.KeyStatusType_ENABLED
		case Suspended:
			key.Status = tinkpb.KeyStatusType_DISABLED
		case Destroyed:
			key.Status = tinkpb.KeyStatusType_DESTROYED
			clear(key.GetKeyData().GetValue())
			key.KeyData = nil
		}
		return nil
	}
	return fmt.Errorf("version %d: %w", version, ErrUnknownVersion)
}
