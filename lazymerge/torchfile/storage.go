package torchfile

import (
	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// Storage is a row of bytes that tensors are views of.
type Storage struct {
	Key   string
	DType safetensors.DType // of its class; U8 for an untyped one, Unknown for one that has no form here
	Bytes int64

	typ    *elementType
	file   *File
	begin  int64    // in the stream, or in the whole
	record *record  // that the bytes are, nil in the older format and without bytes
	whole  *Storage // that this one is a view of, nil mostly
}

// maxStorage keeps sums of offsets in 64 bits.
const maxStorage = 1 << 56

// persistent gives the storage that a persistent id describes: ("storage", class, key,
// location, elements), and before torch 1.6 a view of it, (key, offset, elements), or
// None.
func (l *loader) persistent(id any) (any, error) {
	t, ok := id.(pickle.Tuple)
	if !ok || len(t) < 5 || len(t) > 6 || t[0] != "storage" {
		return nil, problem(BadStorage, "a persistent id that describes no storage")
	}
	class, ok1 := t[1].(pickle.Global)
	key, ok2 := t[2].(string)
	count, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 {
		return nil, problem(BadStorage, "a persistent id with other parts than a storage's")
	}
	typ := storageTypes[class.Name]
	if typ == nil {
		return nil, problem(UnknownDType, "a storage of class %s", shorten(class.String()))
	}
	if count < 0 || count > maxStorage/typ.bytes {
		return nil, problem(StorageSize, "storage %q is said to have %d elements", shorten(key), count)
	}
	s, err := l.storage(key, typ, count*typ.bytes)
	if err != nil || len(t) == 5 || t[5] == nil {
		return s, err
	}
	return l.view(s, t[5])
}

// storage makes the storage of a key, once.
func (l *loader) storage(key string, typ *elementType, bytes int64) (*Storage, error) {
	if s := l.storages[key]; s != nil {
		if s.Bytes != bytes || s.typ.bytes != typ.bytes && l.locate == nil {
			return nil, problem(BadStorage, "storage %q is described in two ways", shorten(key))
		}
		if s.typ == typ {
			return s, nil
		}
		return &Storage{Key: key, DType: typ.dtype, Bytes: bytes, typ: typ, file: l.file, whole: s}, nil
	}
	s := &Storage{Key: key, DType: typ.dtype, Bytes: bytes, typ: typ, file: l.file}
	if l.locate != nil {
		if err := l.locate(s); err != nil {
			return nil, err
		}
	}
	l.storages[key] = s
	return s, nil
}

// view gives a part of a storage, as the format before torch 1.6 had it.
func (l *loader) view(s *Storage, description any) (*Storage, error) {
	t, ok := description.(pickle.Tuple)
	if !ok || len(t) != 3 {
		return nil, problem(BadStorage, "a view of storage %q that is none", shorten(s.Key))
	}
	key, ok1 := t[0].(string)
	offset, ok2 := t[1].(int64)
	count, ok3 := t[2].(int64)
	width := s.typ.bytes
	if !ok1 || !ok2 || !ok3 || offset < 0 || count < 0 || offset > s.Bytes/width || count > s.Bytes/width-offset {
		return nil, problem(BadStorage, "a view that leaves storage %q", shorten(s.Key))
	}
	return &Storage{Key: key, DType: s.DType, Bytes: count * width, typ: s.typ, file: s.file, whole: s, begin: offset * width}, nil
}

// start is where the storage's bytes begin in the stream.
func (s *Storage) start() int64 {
	if s.whole != nil {
		return s.whole.start() + s.begin
	}
	return s.begin
}
