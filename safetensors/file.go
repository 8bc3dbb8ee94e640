package safetensors

import (
	"errors"
	"io/fs"
)

// File is an open file: its header, and its data mapped read-only. It may be
// used by many goroutines at a time; Close must come after the last use of any
// bytes that a Tensor's Slice gave.
type File struct {
	*Mapping
	header  *Header
	tensors []*Tensor
	byName  map[string]*Tensor
}

// Open maps the file at path and checks all of its header. What is wrong with
// the content is an *Error, what is wrong with the path an *fs.PathError.
func Open(path string) (*File, error) {
	m, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	f := &File{Mapping: m}
	if err := f.load(); err != nil {
		m.fd.Close()
		return nil, err
	}
	return f, nil
}

func (f *File) load() (err error) {
	if f.header, err = ReadHeader(f.fd, f.size); err != nil {
		return f.located(err)
	}
	if err := f.mapAll(); err != nil {
		return err
	}
	f.index()
	return nil
}

// located adds the path to an error of ReadHeader.
func (f *File) located(err error) error {
	e := (*Error)(nil)
	if errors.As(err, &e) {
		e.Path = f.path
		pathErr := (*fs.PathError)(nil)
		if errors.As(e.Err, &pathErr) {
			return pathErr
		}
	}
	return err
}

func (f *File) index() {
	all := make([]Tensor, len(f.header.Entries))
	f.tensors = make([]*Tensor, len(all))
	f.byName = make(map[string]*Tensor, len(all))
	for i, e := range f.header.Entries {
		begin, end := f.header.DataStart+e.Begin, f.header.DataStart+e.End
		all[i] = Tensor{Info: e.Info, data: f.mapping[begin:end:end], file: f.Mapping, begin: begin}
		f.tensors[i] = &all[i]
		f.byName[e.Name] = &all[i]
	}
}

// Header returns the header, which must not be changed.
func (f *File) Header() *Header { return f.header }

// Tensors returns all tensors in the order of their data.
func (f *File) Tensors() []*Tensor { return f.tensors }

// Tensor returns the tensor of that name, nil when there is none.
func (f *File) Tensor(name string) *Tensor { return f.byName[name] }
