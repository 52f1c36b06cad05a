package databrickstest

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// source yields every id and value of one server. It is predictable on
// purpose: a failing run is replayed from its seed.
type source struct{ rand *rand.Rand }

func newSource(seed uint64) source {
	return source{rand.New(rand.NewPCG(seed, 0x6461746162726963))}
}

// hex returns n random bytes, at most 32, as lower-case hex.
func (s source) hex(n int) string {
	var b [32]byte
	for i := 0; i < n; i += 8 {
		binary.BigEndian.PutUint64(b[i:], s.rand.Uint64())
	}
	return hex.EncodeToString(b[:n])
}

// uuid returns a random (version 4) UUID.
func (s source) uuid() string {
	h := []byte(s.hex(16))
	h[12] = '4'
	h[16] = "89ab"[s.rand.IntN(4)]
	return string(h[:8]) + "-" + string(h[8:12]) + "-" + string(h[12:16]) + "-" + string(h[16:20]) + "-" + string(h[20:])
}

// id returns a number of 15 digits, as long as Databricks' own.
func (s source) id() int64 {
	return 100_000_000_000_000 + s.rand.Int64N(900_000_000_000_000)
}
