package checkpoint

import (
	"bytes"
	"io"
	"maps"
	"os"
	"slices"
)

// refuseEqualFiles looks for a rank's file of a distributed checkpoint that lies there
// twice, under the name of another rank too: the places and sizes in it are often alike.
// Errors: *MixedError, *ReadError.
func (c *Checkpoint) refuseEqualFiles(sizes map[string]int64) error {
	type sign struct {
		size  int64
		parts string
	}
	seen := make(map[sign]string)
	for _, path := range slices.Sorted(maps.Keys(sizes)) {
		parts, err := fileSample(path, sizes[path])
		if err != nil {
			return &ReadError{File: path, Err: err}
		}
		s := sign{sizes[path], parts}
		other := seen[s]
		if other == "" {
			seen[s] = path
			continue
		}
		same, err := equalFiles(path, other)
		if err != nil {
			return &ReadError{File: path, Err: err}
		}
		if same && c.differs(path, other) {
			return &MixedError{File: path, Other: other, What: "the content", Has: "all that of the other file", Had: "its own"}
		}
	}
	return nil
}

// fileSample reads a few places of a file.
func fileSample(path string, size int64) (string, error) {
	f, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const places, most = 5, 4096
	var all []byte
	b := make([]byte, min(size, most))
	for i := range int64(places) {
		if _, err := f.ReadAt(b, (size-int64(len(b)))/(places-1)*i); err != nil {
			return "", err
		}
		all = append(all, b...)
	}
	return string(all), nil
}

func equalFiles(a, b string) (same bool, err error) {
	var in [2]*os.File
	for i, path := range []string{a, b} {
		if in[i], err = openRegular(path); err != nil {
			return false, err
		}
		defer in[i].Close()
	}
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(in[0], x)
		m, _ := io.ReadFull(in[1], y[:n])
		switch {
		case n != m || !bytes.Equal(x[:n], y[:n]):
			return false, nil
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return true, nil
		case err != nil:
			return false, err
		}
	}
}

// differs tells whether some tensor has chunks in both files whose values should not be
// alike, since they are many: those of parameters begin as zeros or ones.
func (c *Checkpoint) differs(a, b string) bool {
	for _, t := range c.Tensors {
		in := func(path string) int { return slices.IndexFunc(t.chunks, func(c chunk) bool { return c.file == path }) }
		i := in(a)
		if i < 0 || in(b) < 0 {
			continue
		}
		width, values := t.width(), make(distinct)
		part := make([]byte, min(product(t.chunks[i].sizes), 1024)*width)
		if t.chunks[i].from.ReadAt(part, t.chunks[i].at) != nil {
			continue // it is told when all is read
		}
		if values.add(part, width); values.many() {
			return true
		}
	}
	return false
}
