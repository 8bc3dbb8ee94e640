package lazymerge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrExists is returned by Export when the output is already there.
var ErrExists = errors.New("output exists and is not an empty directory")

// OutputError is an output directory that lies in an input, where nothing may be
// written.
type OutputError struct{ Path, Input string }

func (e *OutputError) Error() string { return fmt.Sprintf("%s lies in the input %s", e.Path, e.Input) }

const exportBuffer = 4 << 20

// Size is the number of bytes that Export writes.
func (m *Model) Size() int64 {
	var total int64
	for _, e := range m.entries {
		if !e.Hidden {
			total += e.Size
		}
	}
	return total
}

// Export writes the merged model to the directory out. It writes under a temporary
// name beside out and renames at the end: out is either absent or whole. progress
// may be nil. Errors: ErrExists, *OutputError, *fs.PathError, those of File.ReadAt.
func Export(ctx context.Context, m *Model, out string, progress func(done, total int64)) (err error) {
	out, err = filepath.Abs(out)
	if err != nil {
		return err
	}
	if err := vacant(out); err != nil {
		return fmt.Errorf("export to %s: %w", out, err)
	}
	if err := m.outside(filepath.Dir(out)); err != nil {
		return fmt.Errorf("export to %s: %w", out, err)
	}
	err = WriteDir(out, func(tmp string) error { return m.exportTo(ctx, tmp, progress) })
	if err != nil {
		return fmt.Errorf("export to %s: %w", out, err)
	}
	return nil
}

// WriteDir makes the directory out, which must not exist or be empty: fill writes it
// under a temporary name beside out, which is renamed at the end, so that out is either
// absent or whole. Errors: ErrExists, *fs.PathError, those of fill.
func WriteDir(out string, fill func(dir string) error) (err error) {
	if err := vacant(out); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".lorafs-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	return publish(tmp, out)
}

// exportTo writes the model's files into a directory.
func (m *Model) exportTo(ctx context.Context, dir string, progress func(done, total int64)) error {
	var done int64
	total := m.Size()
	for _, e := range m.entries {
		if e.Hidden {
			continue
		}
		if err := exportFile(ctx, m, e, filepath.Join(dir, filepath.FromSlash(e.Path)), func(n int64) {
			if done += n; progress != nil {
				progress(done, total)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// outside says whether dir, which is to gain the output, lies in an input. Where it
// does not exist, what exists above it decides.
func (m *Model) outside(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		return m.outside(filepath.Dir(dir))
	}
	if err != nil {
		return err
	}
	adapter := filepath.Dir(m.recipe.File)
	if m.recipe.ByPart { // one file, whose directory is not the adapter's
		adapter = m.recipe.File
	}
	for _, input := range []string{m.base.Dir(), adapter} {
		if rel, err := filepath.Rel(input, real); err == nil && filepath.IsLocal(rel) {
			return &OutputError{Path: dir, Input: input}
		}
	}
	return nil
}

func vacant(out string) error {
	list, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(list) > 0:
		return ErrExists
	}
	return nil
}

// publish gives the finished directory its name. The system call replaces an empty
// directory, which os.Rename refuses.
func publish(tmp, out string) error {
	if err := syncDir(tmp); err != nil {
		return err
	}
	if err := syscall.Rename(tmp, out); err != nil {
		return &os.LinkError{Op: "rename", Old: tmp, New: out, Err: err}
	}
	return syncDir(filepath.Dir(out))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func exportFile(ctx context.Context, m *Model, e Entry, to string, wrote func(int64)) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := m.OpenFile(e.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, min(exportBuffer, e.Size))
	for off := int64(0); off < e.Size; {
		n, err := in.ReadAt(ctx, buf[:min(int64(len(buf)), e.Size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
		off += int64(n)
		wrote(int64(n))
	}
	return f.Sync()
}
