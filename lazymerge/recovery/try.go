package recovery

import (
	"errors"

	"lorafs/lazymerge/checkpoint"
)

// mostTried is how many bytes of pickles are read of what nobody has named.
const mostTried = 32 << 20

// Try says how Adapter would fare, and writes nothing: nil, or one of its errors that
// are about the checkpoint and its config. Only tensors that are written can still turn
// out to be damaged. checkpoint.ErrLarge is that it would have taken long to tell.
func Try(path string, o Options) error {
	return peek(path, o.values(), func(c *checkpoint.Checkpoint) error {
		_, _, _, err := prepare(c, o)
		return err
	})
}

// HoldsAdapter reports whether a checkpoint can be opened and has tensors named as those
// of an adapter. No values are read.
func HoldsAdapter(path string) bool {
	held := false
	err := peek(path, checkpoint.Masters, func(c *checkpoint.Checkpoint) error {
		_, types := adapterNames(c.Tensors)
		held = len(types) > 0
		return nil
	})
	return held && err == nil
}

func peek(path string, v checkpoint.Values, look func(*checkpoint.Checkpoint) error) (err error) {
	c, err := checkpoint.Peek(path, v, mostTried)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return look(c)
}
