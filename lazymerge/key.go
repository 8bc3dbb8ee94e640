package lazymerge

// Key names a cached buffer: a tile of finished rows, or the packed factors of one
// edit.
type Key struct {
	Model  uint64 // unique in the process
	Tensor int32  // index in the model's plan
	Part   int32  // tile number, or -1-i for the factors of edit i
}
