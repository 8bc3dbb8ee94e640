// Package lazymerge shows a base model and an adapter as the files of one merged
// model, and computes their bytes when they are read.
//
// The one idea: opening a pair makes an immutable plan. Names are resolved,
// shapes checked, headers and small files written in memory; no weight is
// computed. A virtual file is a list of extents (header bytes, bytes of the base
// as they are, tensors to merge), and ReadAt walks the extents that a request
// covers. A merged tensor is computed in rows: straight into the caller's buffer
// when the request covers many, through a cached tile when it covers few.
//
// A Base is opened once and shared by any number of Models. Every Model and every
// File must be closed; the last Close unmaps the inputs. All methods may be
// called concurrently. No lock is held while bytes are computed.
//
// Inputs are memory-mapped. ReadAt turns a fault in a mapping, and an input that
// was rewritten in place, into *InputChangedError: wrong bytes are never returned.
//
// The package knows nothing of FUSE, of command lines and of advice to users.
package lazymerge
