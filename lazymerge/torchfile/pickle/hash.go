package pickle

import (
	"encoding/binary"
	"math"
	"math/big"
	"reflect"
)

// What stands in a map for a key that Go does not compare as Python does.
type (
	bytesKey string
	bigKey   string
	tupleKey string
)

// hasher makes keys comparable. pay is told the bytes of each step before it is done
// and says whether to go on: a tuple that holds one tuple twice, and so on, is
// exponential when it is written out.
type hasher struct {
	pay   func(n int) bool
	depth int
}

// maxKeyDepth is how deeply the tuples of a key may be nested.
const maxKeyDepth = 100

// hash gives equal results for keys that are equal, and ok false for what cannot be a
// key or was not paid for.
func (h *hasher) hash(key any) (hashed any, ok bool) {
	switch k := key.(type) {
	case nil, int64:
		return k, true
	case string:
		return k, h.pay(len(k))
	case bool:
		if k {
			return int64(1), true
		}
		return int64(0), true
	case float64:
		if math.Abs(k) < 1<<62 && math.Trunc(k) == k {
			return int64(k), true
		}
		return k, true
	case Global:
		return k, h.pay(len(k.Module) + len(k.Name))
	case []byte:
		return bytesKey(k), h.pay(len(k))
	case *big.Int:
		return bigKey(append([]byte{byte(k.Sign())}, k.Bytes()...)), h.pay(k.BitLen() / 8)
	case Tuple:
		b, ok := h.appendTuple(nil, k)
		return tupleKey(b), ok
	case *List, *Dict:
		return nil, false
	}
	return key, reflect.TypeOf(key).Kind() == reflect.Pointer
}

// appendTuple writes a tuple out, each item with its kind.
func (h *hasher) appendTuple(b []byte, t Tuple) ([]byte, bool) {
	if h.depth++; h.depth > maxKeyDepth || !h.pay(16*len(t)) {
		return nil, false
	}
	defer func() { h.depth-- }()
	b = binary.AppendUvarint(append(b, '('), uint64(len(t)))
	for _, item := range t {
		var ok bool
		if inner, is := item.(Tuple); is {
			b, ok = h.appendTuple(b, inner)
		} else {
			b, ok = h.appendItem(b, item)
		}
		if !ok {
			return nil, false
		}
	}
	return b, true
}

func (h *hasher) appendItem(b []byte, item any) ([]byte, bool) {
	hashed, ok := h.hash(item)
	if !ok {
		return nil, false
	}
	switch k := hashed.(type) {
	case nil:
		return append(b, 'n'), true
	case int64:
		return binary.AppendVarint(append(b, 'i'), k), true
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, 'f'), math.Float64bits(k)), true
	case string:
		return appendText(append(b, 's'), k), true
	case bytesKey:
		return appendText(append(b, 'b'), string(k)), true
	case bigKey:
		return appendText(append(b, 'l'), string(k)), true
	case Global:
		return appendText(appendText(append(b, 'g'), k.Module), k.Name), true
	}
	// An object is itself alone, wherever it is.
	return binary.AppendUvarint(append(b, 'o'), uint64(reflect.ValueOf(item).Pointer())), true
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
