package checkpoint

import (
	"bytes"
	"path/filepath"
)

// fewValues is how many different values parameters that were not trained yet may have.
const fewValues = 8

// refuseCopies looks for two ranks with the same values, one file under two names: no two
// ranks of stage 3 have any parameter in common. Errors: *MixedError, *ReadError.
func refuseCopies(ranks []*zeroOptim) error {
	byStart := make(map[string]*zeroOptim, len(ranks))
	for _, o := range ranks {
		start, err := o.sample()
		if err != nil {
			return err
		}
		other := byStart[start]
		if other == nil {
			byStart[start] = o
			continue
		}
		same, err := o.equal(other)
		if err != nil {
			return err
		}
		if same {
			return &MixedError{File: o.file, Other: other.file, What: "the values", Has: "all those of the other file", Had: "its own"}
		}
	}
	return nil
}

// sample is the values at the beginning and at the end of the rank's vectors.
func (o *zeroOptim) sample() (string, error) {
	const most = 1024
	var all []byte
	for _, t := range o.flat {
		n := min(most, t.Shape[0])
		b := make([]byte, n*int64(t.DType.Bits()/8))
		for _, at := range []int64{0, t.Shape[0] - n} {
			if err := t.ReadAt(b, at); err != nil {
				return "", &ReadError{File: o.file, Err: err}
			}
			all = append(all, b...)
		}
		if len(all) > 64<<10 {
			break
		}
	}
	return string(all), nil
}

// equal tells whether two ranks have the same values, and more than a few different ones:
// parameters are also filled up with zeros, and begin as zeros or ones.
func (o *zeroOptim) equal(other *zeroOptim) (bool, error) {
	const piece = 1 << 18
	values := make(map[string]bool)
	for g, t := range o.flat {
		width := int64(t.DType.Bits() / 8)
		size := min(piece, t.Shape[0]) * width
		mine, theirs := make([]byte, size), make([]byte, size)
		for at := int64(0); at < t.Shape[0]; at += piece {
			n := min(piece, t.Shape[0]-at) * width
			a, b := mine[:n], theirs[:n]
			if err := t.ReadAt(a, at); err != nil {
				return false, &ReadError{File: o.file, Err: err}
			}
			if err := other.flat[g].ReadAt(b, at); err != nil {
				return false, &ReadError{File: other.file, Err: err}
			}
			if !bytes.Equal(a, b) {
				return false, nil
			}
			for ; len(a) > 0 && len(values) <= fewValues; a = a[width:] {
				values[string(a[:width])] = true
			}
		}
	}
	return len(values) > fewValues, nil
}

// noteNameless notes that nothing in the files tells the ranks apart.
func (c *Checkpoint) noteNameless(ranks []*zeroOptim) {
	for _, o := range ranks {
		if o.nameless {
			c.Notes = append(c.Notes, "nothing in "+filepath.Base(o.file)+" tells which rank has written it (another way of saving than torch.save to a file of this name); the names of the files are trusted")
			return
		}
	}
}
