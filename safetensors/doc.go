// Package safetensors reads, checks and lays out files of the safetensors
// format.
//
// The one idea: a header is judged whole and strictly, by the rules of the Rust
// reference (0.8), before anything believes it; after that every tensor is a
// range of a read-only mapping, and a file that does not exist yet is a header
// and a list of offsets.
//
// Open maps a file, Map one of another format, ReadHeader judges any io.ReaderAt, Build lays out a file
// whose data comes from elsewhere, Write writes one whose data is at hand.
//
// The caller must take bytes through Tensor.Slice just before using them, must
// not write to them, must not keep them past File.Close, and must expect them
// unaligned: the length of a header is any number. A file that is truncated
// after Slice returned can still fault; a server calls debug.SetPanicOnFault on
// the goroutine that touches the bytes. A file rewritten in place yields wrong
// bytes without any fault, which only Mapping.Unchanged notices. On systems other
// than Linux, and on Linux before 5.14, Slice cannot make bytes resident and
// checks nothing.
//
// The package knows nothing of models, adapters, or directories, and does not
// judge the file names in an index.
package safetensors
