package clinic

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

// A record claims no consent that was not given when it was made.
func TestCollected(t *testing.T) {
	require.Equal(t, consent.Consented, collected([]string{"treatment", "hiv"}).Basis)
	require.Equal(t, consent.LegalObligation, collected([]string{"research"}).Basis)
	require.Equal(t, consent.LegalObligation, collected(nil).Basis)
}
