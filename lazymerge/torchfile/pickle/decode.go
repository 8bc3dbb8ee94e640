package pickle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Options say what a pickle may use, and what it means. The zero Options are usable.
type Options struct {
	// PersistentID gives the value of a persistent id. nil refuses pickles that have
	// any.
	PersistentID func(id any) (any, error)
	// Reduce makes the value of a call that the caller knows. ok false: the call is an
	// *Object. nil knows none.
	Reduce func(f Global, args Tuple) (v any, ok bool, err error)
	// MaxBytes bounds the length of the pickle; 0 means DefaultMaxBytes.
	MaxBytes int64
	// MaxMemory bounds what the values may take, in bytes, some of which are counted
	// though they are not taken; 0 means DefaultMaxMemory.
	MaxMemory int64
	// MaxDepth bounds how many lists, tuples or dicts may be under construction at a
	// time; 0 means DefaultMaxDepth.
	MaxDepth int
}

// Defaults of Options.
const (
	DefaultMaxBytes  = 256 << 20 // those of torch have some 160 bytes for a tensor
	DefaultMaxMemory = 512 << 20 // of 400,000 tensors
	DefaultMaxDepth  = 10000     // Python's own pickler gives up at some 1000
)

// What may be spent on values: bytes of memory, or steps of work, for each byte that
// was read. State dicts take 8 for a byte, states of an optimizer 15, tables of chunks 20,
// and lists of empty dicts 32. A list of None takes 48; the base pays for 250,000.
const (
	budgetBase    = 4 << 20
	budgetPerByte = 32
)

// Error says where a pickle is broken or refused.
type Error struct {
	Offset int64 // of the instruction, from the start of the pickle
	Reason string
	Err    error // cause: of reading, or of a callback
}

func (e *Error) Error() string {
	s := fmt.Sprintf("pickle: at byte %d: %s", e.Offset, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Decode reads one pickle, up to its STOP. From an r that is a *bufio.Reader no byte
// after it is taken. Error: *Error; its cause is io.ErrUnexpectedEOF where the pickle
// is cut short.
func Decode(r io.Reader, o Options) (any, error) {
	b, ok := r.(*bufio.Reader)
	if !ok {
		b = bufio.NewReader(r)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = DefaultMaxMemory
	}
	if o.MaxDepth == 0 {
		o.MaxDepth = DefaultMaxDepth
	}
	d := decoder{in: b, o: o, left: budgetBase}
	d.hasher.pay = func(n int) bool { return d.spend(int64(n)) == nil }
	v, err := d.run()
	if err != nil {
		return nil, d.locate(err)
	}
	return v, nil
}

// decoder is the machine.
type decoder struct {
	in *bufio.Reader
	o  Options

	read  int64 // bytes taken from in
	start int64 // of the instruction being done
	left  int64 // of the budget, which grows with read
	spent int64

	stack   []any
	highest int         // that the stack was
	marks   []int       // heights of the stack
	memo    []any       // entries 0 to len-1
	far     map[int]any // entries out of turn
	hasher  hasher
}

// refusal is an error without its place.
type refusal struct {
	reason string
	err    error
}

func (r *refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error {
	return &refusal{reason: fmt.Sprintf(format, args...)}
}

var errBudget = refuse("it would take far more memory than it has bytes")

func (d *decoder) locate(err error) error {
	e := &Error{Offset: d.start, Reason: "cannot be read", Err: err}
	if r := (*refusal)(nil); errors.As(err, &r) {
		e.Reason, e.Err = r.reason, r.err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		e.Reason, e.Err = "cut short", io.ErrUnexpectedEOF
	}
	return e
}

// spend takes n from the budget.
func (d *decoder) spend(n int64) error {
	if d.left -= n; d.left < 0 {
		return errBudget
	}
	if d.spent += n; d.spent > d.o.MaxMemory {
		return refuse("it would take more than %d bytes of memory", d.o.MaxMemory)
	}
	return nil
}

// took counts bytes that were read.
func (d *decoder) took(n int64) error {
	d.read += n
	d.left += n * budgetPerByte
	if d.read > d.o.MaxBytes {
		return refuse("longer than %d bytes", d.o.MaxBytes)
	}
	return nil
}

func (d *decoder) byte() (byte, error) {
	c, err := d.in.ReadByte()
	if err != nil {
		return 0, cut(err)
	}
	return c, d.took(1)
}

func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readChunk is how much is made room for before it is known to be there.
const readChunk = 64 << 10

// bytes reads n bytes, which are allocated as they come.
func (d *decoder) bytes(n uint64) ([]byte, error) {
	if n > uint64(d.o.MaxBytes) {
		return nil, refuse("a value of %d bytes", n)
	}
	b := make([]byte, 0, min(n, readChunk))
	for uint64(len(b)) < n {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		next := b[len(b):min(uint64(cap(b)), n)]
		if _, err := io.ReadFull(d.in, next); err != nil {
			return nil, cut(err)
		}
		if err := d.took(int64(len(next))); err != nil {
			return nil, err
		}
		b = b[:len(b)+len(next)]
	}
	return b, nil
}

// maxLine bounds the instructions whose operand is text up to the end of a line.
const maxLine = 1 << 16

// line reads text up to a newline, without it.
func (d *decoder) line() (string, error) {
	var b []byte
	for len(b) <= maxLine {
		c, err := d.byte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(b), nil
		}
		b = append(b, c)
	}
	return "", refuse("a line of more than %d bytes", maxLine)
}

// number reads a little-endian unsigned number of n bytes.
func (d *decoder) number(n int) (uint64, error) {
	var v uint64
	for i := range n {
		c, err := d.byte()
		if err != nil {
			return 0, err
		}
		v |= uint64(c) << (8 * i)
	}
	return v, nil
}
