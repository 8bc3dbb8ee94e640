// Package checkpoint reads what training runs write: DeepSpeed's ZeRO checkpoints of
// every stage and its universal ones, FSDP's whole and sharded ones, plain state dicts.
//
// The one idea: a checkpoint is a list of named tensors, each of which knows the pieces
// of files that it is made of. Opening reads the pickles and headers, and proves that
// the pieces fit: names, shapes, counts and ranks of all files have to agree. A Tensor
// then reads the ranges of elements that it is asked for, and nothing else is touched:
// neither frozen weights nor the moments of the optimizer.
//
// What cannot be proved is refused with a typed error that names the file. No code in a
// pickle is run (torchfile). The package knows nothing of adapters. A Checkpoint may be
// used by many goroutines at a time until its Close.
package checkpoint
