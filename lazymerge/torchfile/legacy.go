package torchfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/big"

	"lorafs/lazymerge/torchfile/pickle"
)

// legacyMagic is the first pickle of the format before torch 1.6, which DeepSpeed may
// still write; legacyProtocol is the second.
var legacyMagic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

const legacyProtocol = 1001

// loadLegacy reads pickles that follow each other, and finds the storages after them:
// magic, protocol, the writer's sizes, the object, the keys of the storages; then for
// each key the number of its elements, in 8 bytes, and the elements. All of it is
// little-endian, whatever the writer's machine was.
func (f *File) loadLegacy() error {
	counted := &counter{r: f.in}
	in := bufio.NewReader(counted)
	if err := legacyStart(in); err != nil {
		return err
	}
	l := &loader{file: f, storages: make(map[string]*Storage)}
	var err error
	if f.root, err = l.decode(in); err != nil {
		return err
	}
	keys, err := l.decode(in)
	if err != nil {
		return err
	}
	list, ok := keys.(*pickle.List)
	if !ok {
		return problem(BadPickle, "the keys of the storages are no list")
	}
	f.pickled = counted.n - int64(in.Buffered())
	return l.place(list.Items, f.pickled)
}

// counter counts the bytes that were read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// legacyStart reads the pickles before the object.
func legacyStart(in *bufio.Reader) error {
	small := pickle.Options{MaxBytes: 1 << 16}
	magic, err := pickle.Decode(in, small)
	if n, ok := magic.(*big.Int); err != nil || !ok || n.Cmp(legacyMagic) != 0 {
		return notLegacy(magic, err)
	}
	protocol, err := pickle.Decode(in, small)
	if err != nil {
		return pickleProblem(err)
	}
	if protocol != int64(legacyProtocol) {
		return problem(NotTorch, "a torch file of another protocol than %d", legacyProtocol)
	}
	if _, err := pickle.Decode(in, small); err != nil {
		return pickleProblem(err)
	}
	return nil
}

// notLegacy tells a pickle of something else from what is none.
func notLegacy(value any, err error) error {
	if broken := (*pickle.Error)(nil); err == nil {
		return problem(NotTorch, "a pickle that torch.save did not write")
	} else if errors.As(err, &broken) && broken.Offset > 0 {
		return &Error{Kind: NotTorch, Err: err}
	}
	return problem(NotTorch, "it begins as no torch file does")
}

// place finds the storages of keys, which begin at a byte of the stream.
func (l *loader) place(keys []any, at int64) error {
	size := l.file.in.Size()
	placed := make(map[string]bool, len(keys))
	for _, key := range keys {
		name, _ := key.(string)
		s := l.storages[name]
		if s == nil || placed[name] {
			return problem(BadStorage, "storage %q is listed and not used, or twice", shorten(name))
		}
		placed[name] = true
		var head [8]byte
		if size-at < int64(len(head)) {
			return problem(Truncated, "at storage %q", shorten(name))
		}
		if err := readFull(l.file.in, head[:], at); err != nil {
			return err
		}
		at += int64(len(head))
		count := binary.LittleEndian.Uint64(head[:])
		if count != uint64(s.Bytes/s.typ.bytes) {
			return problem(StorageSize, "storage %q has %d elements and is said to have %d", shorten(name), count, s.Bytes/s.typ.bytes)
		}
		if s.Bytes > size-at {
			return problem(Truncated, "storage %q has %d bytes, %d are left", shorten(name), s.Bytes, size-at)
		}
		s.begin = at
		at += s.Bytes
	}
	for name := range l.storages {
		if !placed[name] {
			return problem(MissingRecord, "storage %q", shorten(name))
		}
	}
	return nil
}
