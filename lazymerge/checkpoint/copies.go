package checkpoint

import (
	"bytes"
	"path/filepath"
)

// distinct are the different values that were met. Parameters that were not trained yet
// have a few: zeros and ones.
type distinct map[string]bool

const fewValues = 8

func (d distinct) many() bool { return len(d) > fewValues }

// add takes elements of a width, as long as there are few.
func (d distinct) add(b []byte, width int64) {
	var last []byte
	for ; len(b) > 0 && !d.many(); b = b[width:] {
		if !bytes.Equal(b[:width], last) {
			last = b[:width]
			d[string(last)] = true
		}
	}
}

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
	values := make(distinct)
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
			values.add(a, width)
		}
	}
	return values.many(), nil
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
