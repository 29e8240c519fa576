package state

import (
	"testing"

	"github.com/stretchr/testify/require"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// set has one version in each state, whose number is the state's.
func set() *tinkpb.Keyset {
	s := &tinkpb.Keyset{PrimaryKeyId: uint32(Active)}
	for id, status := range []tinkpb.KeyStatusType{0, tinkpb.KeyStatusType_ENABLED, tinkpb.KeyStatusType_DESTROYED, tinkpb.KeyStatusType_ENABLED, tinkpb.KeyStatusType_DISABLED} {
		if id > 0 {
			s.Key = append(s.Key, &tinkpb.Keyset_Key{KeyId: uint32(id), Status: status, KeyData: &tinkpb.KeyData{Value: []byte("key")}})
		}
	}
	return s
}

// Every change from every state to every other, against the table of SPEC.md.
func TestTransitions(t *testing.T) {
	may := map[[2]State]bool{{Deactivated, Suspended}: true, {Suspended, Deactivated}: true, {Suspended, Destroyed}: true}
	for from := Active; from <= Suspended; from++ {
		for to := State(0); to <= 9; to++ {
			s := set()
			value := s.Key[from-1].KeyData.Value
			require.Equal(t, from, Of(s, s.Key[from-1]))
			err := Set(s, uint32(from), to)
			if !may[[2]State{from, to}] {
				require.ErrorIs(t, err, ErrState, "%v to %v", from, to)
				require.Equal(t, from, Of(s, s.Key[from-1]))
				continue
			}
			require.NoError(t, err)
			require.Equal(t, to, Of(s, s.Key[from-1]))
			require.Equal(t, to == Destroyed, s.Key[from-1].KeyData == nil)
			require.Equal(t, to == Destroyed, string(value) == "\x00\x00\x00", "a destroyed key lies in memory")
		}
	}
	require.ErrorIs(t, Set(set(), 7, Suspended), ErrUnknownVersion)
	require.Zero(t, Of(set(), &tinkpb.Keyset_Key{}), "a status that Tink does not know")
}
