// Package cbortest has the CBOR codec of others that judges ours in tests.
package cbortest

import (
	"reflect"
	"testing"

	fx "github.com/fxamacker/cbor/v2"
)

// Judge returns a deterministic encoder (RFC 8949, section 4.2.1) and a strict
// decoder, which bears arrays and maps nested up to 128 deep.
func Judge(t testing.TB) (fx.EncMode, fx.DecMode) {
	t.Helper()
	enc, err := fx.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	dec, err := fx.DecOptions{
		DupMapKey: fx.DupMapKeyEnforcedAPF, IndefLength: fx.IndefLengthForbidden, MaxNestedLevels: 128, UTF8: fx.UTF8RejectInvalid,
		DefaultMapType: reflect.TypeFor[map[any]any](),
	}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	return enc, dec
}
