package envelope

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func newObjects(t testing.TB) *Objects {
	t.Helper()
	o, err := NewObjects("ecg", "clinical", newRing(t, "clinic", "clinical"))
	require.NoError(t, err)
	return o
}

// sealObject seals data in one piece.
func sealObject(t testing.TB, o *Objects, subject string, data []byte) ([]byte, Object) {
	t.Helper()
	var sealed bytes.Buffer
	w, err := o.Create(context.Background(), subject, &sealed, ObjectOptions{})
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	object, err := w.Object()
	require.NoError(t, err)
	require.EqualValues(t, len(data), object.Size())
	return sealed.Bytes(), object
}
