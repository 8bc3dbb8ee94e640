package torchfile

import (
	"bufio"
	"context"
	"errors"
	"io"
	"path/filepath"

	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// File is an open file of torch.save. It may be used by many goroutines at a time.
type File struct {
	mapping *safetensors.Mapping
	in      *io.SectionReader // the stream, in the file
	base    int64             // where it begins
	root    any
	big     bool // the storages are big-endian
	folder  string
	pickled int64
}

// Open maps the file at path and reads its pickles. Errors: *Error, *fs.PathError.
func Open(path string) (*File, error) {
	m, err := safetensors.Map(path)
	if err != nil {
		return nil, err
	}
	return open(m, 0, m.Size())
}

// OpenSection opens a stream of torch.save inside a file, as the items of PyTorch's
// distributed checkpoints are. Errors: those of Open.
func OpenSection(path string, offset, length int64) (*File, error) {
	m, err := safetensors.Map(path)
	if err != nil {
		return nil, err
	}
	if offset < 0 || length < 0 || offset > m.Size() || length > m.Size()-offset {
		e := problem(Truncated, "%d bytes at %d of %d", length, offset, m.Size())
		e.Path = path
		return nil, errors.Join(e, m.Close())
	}
	return open(m, offset, length)
}

func open(m *safetensors.Mapping, offset, length int64) (*File, error) {
	f := &File{mapping: m, base: offset, in: io.NewSectionReader(m, offset, length)}
	if err := f.load(); err != nil {
		m.Close()
		return nil, f.located(err)
	}
	return f, nil
}

// located adds the path to an error.
func (f *File) located(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) && e.Path == "" {
		e.Path = f.Path()
		return e
	}
	return err
}

// HasExtension tells whether a file has one of the extensions that tools give those of torch.save.
func HasExtension(path string) bool {
	switch filepath.Ext(path) {
	case ".bin", ".pt", ".pth", ".ckpt":
		return true
	}
	return false
}

// Root is the object that was saved. In it tensors, and parameters, are *Tensor and
// storages *Storage; all else is as package pickle has it.
func (f *File) Root() any { return f.root }

// Path is the path given to Open.
func (f *File) Path() string { return f.mapping.Path() }

// Folder is the folder of a zip file's records, which torch calls after the file that it
// saves, "archive" where it cannot know; "" of the older format.
func (f *File) Folder() string { return f.folder }

// Pickled is the length in bytes of what was read to describe the storages; what Root
// takes is a small multiple of it.
func (f *File) Pickled() int64 { return f.pickled }

// Size is the size of the file in bytes.
func (f *File) Size() int64 { return f.mapping.Size() }

// Unchanged asks whether the file is what it was. Error: *safetensors.ChangedError.
func (f *File) Unchanged() error { return f.mapping.Unchanged() }

// Close unmaps the file.
func (f *File) Close() error { return f.mapping.Close() }

// tarName is where a tar file says "ustar".
const tarName = 257

// load tells the formats apart by content.
func (f *File) load() error {
	start := make([]byte, min(f.in.Size(), tarName+5))
	if err := readFull(f.in, start, 0); err != nil {
		return err
	}
	switch {
	case len(start) == 0:
		return problem(NotTorch, "it is empty")
	case len(start) >= len(zipMagic) && string(start[:len(zipMagic)]) == zipMagic:
		return f.loadZip()
	case len(start) == tarName+5 && string(start[tarName:]) == "ustar":
		return problem(Tar, "")
	}
	return f.loadLegacy()
}

// loadZip reads the format of torch 1.6 and later.
func (f *File) loadZip() error {
	a, err := readArchive(f.in, f.in.Size())
	if err != nil {
		return err
	}
	if a.records["constants.pkl"] != nil {
		return problem(TorchScript, "")
	}
	if f.big, err = a.bigEndian(); err != nil {
		return err
	}
	data, err := a.find("data.pkl")
	if err != nil {
		return err
	}
	if err := data.verify(context.Background(), f.in); err != nil {
		return err
	}
	f.folder, f.pickled = a.folder, data.size
	l := &loader{file: f, storages: make(map[string]*Storage)}
	l.locate = func(s *Storage) error { return a.storage(s) }
	f.root, err = l.decode(bufio.NewReader(io.NewSectionReader(f.in, data.data, data.size)))
	return err
}

// bigEndian reads the record that says the order of bytes; files of torch before 2.1
// have none and are taken for little-endian, as torch does.
func (a *archive) bigEndian() (bool, error) {
	if a.records["byteorder"] == nil {
		return false, nil
	}
	r, err := a.find("byteorder")
	if err != nil {
		return false, err
	}
	b := make([]byte, min(r.size, 16))
	if err := readFull(a.in, b, r.data); err != nil {
		return false, err
	}
	switch string(b) {
	case "little":
		return false, nil
	case "big":
		return true, nil
	}
	return false, problem(BadZip, "the order of bytes is %q", shorten(string(b)))
}

// storage finds the bytes of a storage, which must be as many as were declared.
func (a *archive) storage(s *Storage) error {
	name := "data/" + s.Key
	if s.Bytes == 0 && a.records[name] == nil {
		return nil
	}
	r, err := a.find(name)
	if err != nil {
		return err
	}
	if r.size < s.Bytes {
		return problem(StorageSize, "%q has %d bytes and is said to have %d", shorten(r.name), r.size, s.Bytes)
	}
	s.begin, s.record = r.data, r
	return nil
}

// loader gives a pickle's persistent ids and functions their meaning.
type loader struct {
	file     *File
	storages map[string]*Storage
	locate   func(*Storage) error // finds the bytes; nil when they are found later
}

func (l *loader) decode(in *bufio.Reader) (any, error) {
	v, err := pickle.Decode(in, pickle.Options{PersistentID: l.persistent, Reduce: l.reduce})
	if err == nil {
		return v, nil
	}
	// What this package found wrong says it better than the pickle's place does.
	if e := (*Error)(nil); errors.As(err, &e) {
		return nil, e
	}
	return nil, pickleProblem(err)
}

func pickleProblem(err error) error {
	if changed := (*safetensors.ChangedError)(nil); errors.As(err, &changed) {
		return changed
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Kind: Truncated, Err: err}
	}
	return &Error{Kind: BadPickle, Err: err}
}
