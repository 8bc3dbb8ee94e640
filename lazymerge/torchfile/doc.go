// Package torchfile reads files of torch.save without Python.
//
// The one idea: such a file is a pickle and a row of storages. The pickle becomes plain
// values (package pickle), in which a tensor is a view: a storage, an offset, a shape
// and strides. Of the storages nothing is read but what is asked for; each is a range
// of a read-only mapping, found and checked against the file when the pickle names it.
//
// Open reads the zip format and the one before it, OpenSection a stream inside another
// file, OpenSharded an index of several. OpenWeights takes a state dict as a file of
// named tensors.
//
// Nothing in a file is imported, called or executed. What is no dense tensor (sparse,
// quantised, nested, a subclass) stays a *pickle.Object.
//
// The package knows nothing of models and adapters.
package torchfile
