// Package modeldir says what is at a path: a base model, an adapter, a library of
// adapters, the output of a training run, or an entry of the local hub cache.
//
// The one idea: a path is read once into a sorted list of regular files, each with
// its place in the tree and its real place on disk. What a client could mistake for
// the model's weights (other formats, duplicates, adapters) never gets into the
// list, because a client that finds unmerged weights uses them.
//
// Symbolic links are followed when they stay in the named directory or end in the
// blobs of a hub cache; any other link could show a file that nobody named. A
// weights file behind such a link is an error, any other file is left out. Nothing
// but regular files is ever opened, so a FIFO cannot block.
//
// Results are plain values; the package keeps nothing and may be called
// concurrently. It knows headers well enough to tell a usable checkpoint from a
// broken one, and nothing else of tensors or of adapters.
package modeldir
