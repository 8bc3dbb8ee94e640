package transform

import (
	"slices"
	"unsafe"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Matrix is a matrix of fp32 values that are computed when they are asked for: a
// delta [out, in], where a convolution's kernel belongs to in, or a factor of one. It
// is used by many at a time.
type Matrix interface {
	// Size is the number of rows and columns.
	Size() (rows, cols int64)
	// Check looks once at the shapes and dtypes of the tensors, before the first
	// Area. Errors: *ShapeError, *DTypeError; the caller completes their Tensor.
	Check() error
	// Area sets dst, row by row, to the elements of b, which lies inside. Its time is
	// to be in proportion to the area.
	Area(dst []float32, b Block) error
	// Tensors lists the adapter tensors it reads.
	Tensors() []*safetensors.Tensor
	// Norm is an upper bound of the Frobenius norm, from those of the tensors: 0 only
	// when all elements are zero, infinite when there is no bound.
	Norm(of func(*safetensors.Tensor) float64) float64
}

// Block is the rows [Row, Row+Rows) and the columns [Col, Col+Cols) of a Matrix.
type Block struct{ Row, Rows, Col, Cols int64 }

func (b Block) size() int { return int(b.Rows * b.Cols) }

// Turned is the transposed block.
func (b Block) Turned() Block { return Block{b.Col, b.Cols, b.Row, b.Rows} }

// Stored is a tensor as a matrix: its first dimension by all the others.
type Stored struct{ *safetensors.Tensor }

// Size implements Matrix.
func (m Stored) Size() (rows, cols int64) { return flatten(m.Shape) }

// Check implements Matrix.
func (m Stored) Check() error {
	if len(m.Shape) < 2 {
		return &ShapeError{Other: m.Name, Got: m.Shape, Want: []int64{-1, -1}}
	}
	return needFloats(m.Tensor)
}

// Area implements Matrix.
func (m Stored) Area(dst []float32, b Block) error {
	_, cols := m.Size()
	if b.Cols == cols {
		return ReadFloats(dst[:b.size()], m.Tensor, b.Row*cols)
	}
	for i := range b.Rows {
		if err := ReadFloats(dst[i*b.Cols:(i+1)*b.Cols], m.Tensor, (b.Row+i)*cols+b.Col); err != nil {
			return err
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Stored) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Tensor} }

// Norm implements Matrix.
func (m Stored) Norm(of func(*safetensors.Tensor) float64) float64 { return of(m.Tensor) }

// ReadFloats fills dst with t's elements from the from-th on, widened.
func ReadFloats(dst []float32, t *safetensors.Tensor, from int64) error {
	size := int64(t.DType.Bits() / 8)
	b, err := t.Slice(from*size, (from+int64(len(dst)))*size)
	if err != nil {
		return err
	}
	return toFloats(dst, b, t.DType)
}

// Turned is the transpose of a matrix.
type Turned struct{ Of Matrix }

// Size implements Matrix.
func (m Turned) Size() (rows, cols int64) {
	rows, cols = m.Of.Size()
	return cols, rows
}

// Check implements Matrix.
func (m Turned) Check() error { return m.Of.Check() }

// Area implements Matrix.
func (m Turned) Area(dst []float32, b Block) error {
	s := getScratch()
	defer s.release()
	s.turn = grow(s.turn, b.size())
	if err := m.Of.Area(s.turn, b.Turned()); err != nil {
		return err
	}
	for j := range int(b.Cols) {
		for i, x := range s.turn[j*int(b.Rows) : (j+1)*int(b.Rows)] {
			dst[i*int(b.Cols)+j] = x
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Turned) Tensors() []*safetensors.Tensor { return m.Of.Tensors() }

// Norm implements Matrix.
func (m Turned) Norm(of func(*safetensors.Tensor) float64) float64 { return m.Of.Norm(of) }

// Product is Left·Right, each element summed in fp32 as package kernel does.
type Product struct{ Left, Right Matrix }

// Size implements Matrix.
func (m Product) Size() (rows, cols int64) {
	rows, _ = m.Left.Size()
	_, cols = m.Right.Size()
	return rows, cols
}

// Check implements Matrix.
func (m Product) Check() error {
	if err := m.Left.Check(); err != nil {
		return err
	}
	if err := m.Right.Check(); err != nil {
		return err
	}
	_, inner := m.Left.Size()
	if n, cols := m.Right.Size(); n != inner {
		e := sizeError(m.Right, []int64{inner, cols})
		e.besideLast(m.Left)
		if t := m.Right.Tensors(); len(t) > 0 {
			e.blame(t[0], n, inner)
		}
		return e
	}
	return nil
}

// Area implements Matrix.
func (m Product) Area(dst []float32, b Block) error {
	_, inner := m.Left.Size()
	s := getScratch()
	defer s.release()
	s.left = grow(s.left, int(b.Rows*inner))
	s.right = grow(s.right, int(inner*b.Cols))
	if err := m.Left.Area(s.left, Block{b.Row, b.Rows, 0, inner}); err != nil {
		return err
	}
	if err := m.Right.Area(s.right, Block{0, inner, b.Col, b.Cols}); err != nil {
		return err
	}
	s.product(dst[:b.size()], int(b.Rows), int(inner), int(b.Cols))
	return nil
}

// Tensors implements Matrix.
func (m Product) Tensors() []*safetensors.Tensor {
	return append(m.Left.Tensors(), m.Right.Tensors()...)
}

// Norm implements Matrix.
func (m Product) Norm(of func(*safetensors.Tensor) float64) float64 {
	return m.Left.Norm(of) * m.Right.Norm(of)
}

// product sets dst to s.left·s.right, of rows·inner and inner·cols elements.
func (s *scratch) product(dst []float32, rows, inner, cols int) {
	clear(dst)
	if inner == 0 || len(dst) == 0 {
		return
	}
	s.packed = grow(s.packed, int(kernel.PackSize(inner, cols)))
	p := kernel.NewPacker(s.packed, inner, cols)
	for k := range inner {
		p.Row(k, 0, s.right[k*cols:(k+1)*cols])
	}
	p.Finish()
	s.coeffs.Reset(rows, inner)
	for i := range rows {
		s.coeffs.Row(i, s.left[i*inner:(i+1)*inner])
	}
	s.args = kernel.Args{Src: floatBytes(dst), DType: kernel.F32, A: kernel.View(s.packed, inner, cols), B: &s.coeffs, Scale: 1}
	kernel.SumRows(dst, &s.args)
}

// multiply sets dst to left·right, where right has inner rows of cols columns. It suits
// small matrices.
func multiply(dst, left, right []float32, inner, cols int) {
	for ; len(dst) > 0; dst, left = dst[cols:], left[inner:] {
		kernel.Product(dst[:cols], left[:inner], right)
	}
}

// floatBytes are the bytes of values.
func floatBytes(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// Hadamard is the elementwise product of two matrices of one size.
type Hadamard struct{ X, Y Matrix }

// Size implements Matrix.
func (m Hadamard) Size() (rows, cols int64) { return m.X.Size() }

// Check implements Matrix.
func (m Hadamard) Check() error {
	if err := m.X.Check(); err != nil {
		return err
	}
	if err := m.Y.Check(); err != nil {
		return err
	}
	rows, cols := m.X.Size()
	if n, k := m.Y.Size(); n != rows || k != cols {
		return unequal(m.X, m.Y)
	}
	return nil
}

// Area implements Matrix.
func (m Hadamard) Area(dst []float32, b Block) error {
	s := getScratch()
	defer s.release()
	if err := m.areas(s, dst, b); err != nil {
		return err
	}
	kernel.Mul(dst[:b.size()], s.sums)
	return nil
}

// areas sets dst to the area of X and s.sums to that of Y.
func (m Hadamard) areas(s *scratch, dst []float32, b Block) error {
	s.sums = grow(s.sums, b.size())
	if err := m.X.Area(dst, b); err != nil {
		return err
	}
	return m.Y.Area(s.sums, b)
}

// Tensors implements Matrix.
func (m Hadamard) Tensors() []*safetensors.Tensor {
	return append(m.X.Tensors(), m.Y.Tensors()...)
}

// Norm implements Matrix.
func (m Hadamard) Norm(of func(*safetensors.Tensor) float64) float64 {
	return m.X.Norm(of) * m.Y.Norm(of)
}

// Vector is a tensor as a matrix of one column.
type Vector struct{ *safetensors.Tensor }

// Size implements Matrix.
func (m Vector) Size() (rows, cols int64) { return product(m.Shape), 1 }

// Check implements Matrix.
func (m Vector) Check() error { return needFloats(m.Tensor) }

// Area implements Matrix.
func (m Vector) Area(dst []float32, b Block) error {
	return ReadFloats(dst[:b.size()], m.Tensor, b.Row)
}

// Tensors implements Matrix.
func (m Vector) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Tensor} }

// Norm implements Matrix.
func (m Vector) Norm(of func(*safetensors.Tensor) float64) float64 { return of(m.Tensor) }

// ScaledRows is Of with row i multiplied by element i of a column: diag(By)·Of.
type ScaledRows struct{ By, Of Matrix }

// Size implements Matrix.
func (m ScaledRows) Size() (rows, cols int64) { return m.Of.Size() }

// Check implements Matrix.
func (m ScaledRows) Check() error {
	if err := m.Of.Check(); err != nil {
		return err
	}
	if err := m.By.Check(); err != nil {
		return err
	}
	rows, _ := m.Of.Size()
	if n, cols := m.By.Size(); n != rows || cols != 1 {
		e := sizeError(m.By, []int64{rows, 1})
		e.besideLast(m.Of)
		return e
	}
	return nil
}

// Area implements Matrix.
func (m ScaledRows) Area(dst []float32, b Block) error {
	s := getScratch()
	defer s.release()
	s.wide = grow(s.wide, int(b.Rows))
	if err := m.By.Area(s.wide, Block{b.Row, b.Rows, 0, 1}); err != nil {
		return err
	}
	if err := m.Of.Area(dst, b); err != nil {
		return err
	}
	for i, x := range s.wide {
		row := dst[i*int(b.Cols):][:b.Cols]
		for j := range row {
			row[j] *= x
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m ScaledRows) Tensors() []*safetensors.Tensor {
	return append(m.By.Tensors(), m.Of.Tensors()...)
}

// Norm implements Matrix.
func (m ScaledRows) Norm(of func(*safetensors.Tensor) float64) float64 {
	return m.By.Norm(of) * m.Of.Norm(of)
}

// Rounded is Of rounded to a dtype.
type Rounded struct {
	Of    Matrix
	DType kernel.DType
}

// Size implements Matrix.
func (m Rounded) Size() (rows, cols int64) { return m.Of.Size() }

// Check implements Matrix.
func (m Rounded) Check() error { return m.Of.Check() }

// Area implements Matrix.
func (m Rounded) Area(dst []float32, b Block) error {
	if err := m.Of.Area(dst, b); err != nil {
		return err
	}
	dst = dst[:b.size()]
	s := getScratch()
	defer s.release()
	s.bytes = grow(s.bytes, len(dst)*m.DType.Size())
	kernel.Store(s.bytes, dst, m.DType)
	kernel.Load(dst, s.bytes, m.DType)
	return nil
}

// Tensors implements Matrix.
func (m Rounded) Tensors() []*safetensors.Tensor { return m.Of.Tensors() }

// Norm implements Matrix.
func (m Rounded) Norm(of func(*safetensors.Tensor) float64) float64 {
	return 2 * m.Of.Norm(of)
}

// Part is the first Rows rows and Cols columns of a larger matrix.
type Part struct {
	Of         Matrix
	Rows, Cols int64
}

// Size implements Matrix.
func (m Part) Size() (rows, cols int64) { return m.Rows, m.Cols }

// Check implements Matrix.
func (m Part) Check() error {
	if err := m.Of.Check(); err != nil {
		return err
	}
	if rows, cols := m.Of.Size(); rows < m.Rows || cols < m.Cols {
		return sizeError(m.Of, []int64{m.Rows, m.Cols})
	}
	return nil
}

// Area implements Matrix.
func (m Part) Area(dst []float32, b Block) error { return m.Of.Area(dst, b) }

// Tensors implements Matrix.
func (m Part) Tensors() []*safetensors.Tensor { return m.Of.Tensors() }

// Norm implements Matrix.
func (m Part) Norm(of func(*safetensors.Tensor) float64) float64 { return m.Of.Norm(of) }

// sizeError says that a matrix made of tensors has another size than is needed.
func sizeError(m Matrix, want []int64) *ShapeError {
	rows, cols := m.Size()
	e := &ShapeError{Want: want, Got: []int64{rows, cols}}
	if t := m.Tensors(); len(t) > 0 {
		e.Other = t[0].Name
		e.Made = len(t) > 1 || len(t[0].Shape) != 2 || t[0].Shape[0] != rows
	}
	return e
}

// besideLast says that the wanted size follows from a matrix, which ends in the columns
// of its last tensor.
func (e *ShapeError) besideLast(m Matrix) {
	if t := m.Tensors(); len(t) > 0 {
		last := t[len(t)-1]
		e.Beside, e.BesideShape = last.Name, last.Shape
	}
}

// unequal says that y is not of the size of x. Rows are those of the first tensor that a
// matrix is made of, columns those of the last.
func unequal(x, y Matrix) *ShapeError {
	rows, cols := x.Size()
	e := sizeError(y, []int64{rows, cols})
	of, beside := y.Tensors(), x.Tensors()
	if len(of) == 0 || len(beside) == 0 {
		return e
	}
	n, k := y.Size()
	at, last, got, want := of[0], beside[0], n, rows
	if n == rows {
		at, last, got, want = of[len(of)-1], beside[len(beside)-1], k, cols
	}
	e.Other, e.Beside, e.BesideShape = at.Name, last.Name, last.Shape
	e.blame(at, got, want)
	return e
}

// blame says the same of a tensor's own shape, where the wrong size is one of its
// dimensions. The others may be any.
func (e *ShapeError) blame(t *safetensors.Tensor, got, want int64) {
	i := slices.Index(t.Shape, got)
	if i < 0 {
		return
	}
	e.Other, e.Got, e.Made = t.Name, t.Shape, false
	e.Want = slices.Repeat([]int64{-1}, len(t.Shape))
	e.Want[i] = want
}

// about completes an error of a Matrix with the parameter's name and shape.
func about(err error, p Param) error {
	switch e := err.(type) {
	case *ShapeError:
		e.Tensor, e.Base = p.Name, p.Shape
	}
	return err
}
