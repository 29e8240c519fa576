package envelope

import (
	"context"
	"github.com/stretchr/testify/require"
	"testing"
)

func TestSmoke(t *testing.T) {
	c := newCodec[twelve](t, "vitals", newRing(t, "bench", "clinical"))
	src := newTwelve()
	src.Glucose2 = nil
	row := seal(t, c, src)
	dst := twelve{ID: src.ID}
	require.NoError(t, c.Open(context.Background(), &dst, row))
	require.Equal(t, *src, dst)
	r, err := c.Begin(context.Background(), src, row)
	require.NoError(t, err)
	src.Glucose2 = []byte("x")
	row, err = c.Reseal(context.Background(), r, src, []string{"Glucose2"}, nil)
	require.NoError(t, err)
	require.NoError(t, c.Open(context.Background(), &dst, row))
	require.Equal(t, *src, dst)
}
