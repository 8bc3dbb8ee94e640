package torchfile

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// archive is the directory of a zip file whose records are stored as they are.
type archive struct {
	in      io.ReaderAt
	records map[string]*record // by names without the archive's folder
	folder  string
}

// record is one file of an archive.
type record struct {
	name   string
	header int64 // where its local header begins
	next   int64 // where the next header or the directory begins
	size   int64
	data   int64       // where its bytes begin, once located; 0 before
	sum    uint32      // CRC-32 of its bytes; 0 where none was computed
	sound  atomic.Bool // the sum was seen to be right
}

// Sizes of zip's headers without names and extra fields, and their signatures.
const (
	localBytes  = 30
	entryBytes  = 46
	endBytes    = 22
	locateBytes = 20
	end64Bytes  = 56

	localSign  = 0x04034b50
	entrySign  = 0x02014b50
	endSign    = 0x06054b50
	locateSign = 0x07064b50
	end64Sign  = 0x06064b50
)

// zipMagic begins a zip file that has a record.
const zipMagic = "PK\x03\x04"

// maxDirectory bounds the directory: a model of a million tensors has some 100 MB.
const maxDirectory = 256 << 20

// directory is where an archive's list of records is.
type directory struct {
	offset, size, count uint64
}

// readArchive reads the directory of a zip file of size bytes, and proves that the
// records lie one after the other before it.
func readArchive(in io.ReaderAt, size int64) (*archive, error) {
	dir, limit, err := findDirectory(in, size)
	if err != nil {
		return nil, err
	}
	if dir.offset > uint64(limit) || dir.size > uint64(limit)-dir.offset || dir.count > dir.size/entryBytes {
		return nil, problem(BadZip, "a directory of %d records in %d bytes at %d of %d", dir.count, dir.size, dir.offset, size)
	}
	if dir.size > maxDirectory {
		return nil, problem(BadZip, "a directory of %d bytes", dir.size)
	}
	text := make([]byte, dir.size)
	if err := readFull(in, text, int64(dir.offset)); err != nil {
		return nil, err
	}
	a := &archive{in: in, records: make(map[string]*record, dir.count)}
	all, err := readEntries(text, dir.count)
	if err != nil {
		return nil, err
	}
	if err := order(all, int64(dir.offset)); err != nil {
		return nil, err
	}
	return a, a.name(all)
}

// findDirectory finds the end record, which stands last, before a comment. limit is
// where it begins.
func findDirectory(in io.ReaderAt, size int64) (dir directory, limit int64, err error) {
	const maxComment = 1<<16 - 1
	tail := make([]byte, min(size, endBytes+maxComment))
	if err := readFull(in, tail, size-int64(len(tail))); err != nil {
		return dir, 0, err
	}
	le := binary.LittleEndian
	for i := len(tail) - endBytes; i >= 0; i-- {
		b := tail[i:]
		if le.Uint32(b) != endSign || int(le.Uint16(b[20:])) != len(b)-endBytes {
			continue
		}
		at := size - int64(len(b))
		dir = directory{count: uint64(le.Uint16(b[10:])), size: uint64(le.Uint32(b[12:])), offset: uint64(le.Uint32(b[16:]))}
		if le.Uint16(b[4:]) != 0 && le.Uint16(b[4:]) != 0xffff {
			return dir, 0, problem(BadZip, "it is one of several parts")
		}
		return findDirectory64(in, dir, at)
	}
	return dir, 0, problem(Truncated, "it has no zip directory at its end")
}

// findDirectory64 reads the end record of zip64 in place of one at which a locator
// points.
func findDirectory64(in io.ReaderAt, dir directory, end int64) (directory, int64, error) {
	le := binary.LittleEndian
	var locator [locateBytes]byte
	if end >= locateBytes {
		if err := readFull(in, locator[:], end-locateBytes); err != nil {
			return dir, 0, err
		}
	}
	if le.Uint32(locator[:]) != locateSign {
		if dir.count == 0xffff || dir.size == 0xffffffff || dir.offset == 0xffffffff {
			return dir, 0, problem(BadZip, "its zip64 directory is missing")
		}
		return dir, end, nil
	}
	at := le.Uint64(locator[8:])
	if at > uint64(end-locateBytes) || uint64(end-locateBytes)-at < end64Bytes {
		return dir, 0, problem(BadZip, "its zip64 directory is said to be at %d", at)
	}
	var b [end64Bytes]byte
	if err := readFull(in, b[:], int64(at)); err != nil {
		return dir, 0, err
	}
	if le.Uint32(b[:]) != end64Sign {
		return dir, 0, problem(BadZip, "its zip64 directory is not at %d", at)
	}
	wide := directory{count: le.Uint64(b[32:]), size: le.Uint64(b[40:]), offset: le.Uint64(b[48:])}
	if !agree(dir.count, 0xffff, wide.count) || !agree(dir.size, 0xffffffff, wide.size) || !agree(dir.offset, 0xffffffff, wide.offset) {
		return dir, 0, problem(BadZip, "its two end records disagree")
	}
	return wide, int64(at), nil
}

// agree: a narrow field says what the wide one does, or that it is the wide one's.
func agree(narrow, escape, wide uint64) bool { return narrow == escape || narrow == wide }

func readEntries(text []byte, count uint64) ([]*record, error) {
	all := make([]*record, 0, count)
	for i := range count {
		if len(text) < entryBytes || binary.LittleEndian.Uint32(text) != entrySign {
			return nil, problem(BadZip, "entry %d of its directory of %d is none", i, count)
		}
		r, n, err := readEntry(text)
		if err != nil {
			return nil, err
		}
		all, text = append(all, r), text[n:]
	}
	if len(text) != 0 {
		return nil, problem(BadZip, "%d bytes behind the last entry of its directory", len(text))
	}
	return all, nil
}

// readEntry reads an entry of the directory and says how long it is.
func readEntry(b []byte) (*record, int, error) {
	le := binary.LittleEndian
	flags, method := le.Uint16(b[8:]), le.Uint16(b[10:])
	packed, size, header := uint64(le.Uint32(b[20:])), uint64(le.Uint32(b[24:])), uint64(le.Uint32(b[42:]))
	nameEnd := entryBytes + int(le.Uint16(b[28:]))
	extraEnd := nameEnd + int(le.Uint16(b[30:]))
	end := extraEnd + int(le.Uint16(b[32:]))
	if end > len(b) {
		return nil, 0, problem(BadZip, "an entry leaves its directory")
	}
	name := string(b[entryBytes:nameEnd])
	if err := widen(b[nameEnd:extraEnd], &size, &packed, &header); err != nil {
		return nil, 0, problem(BadZip, "the zip64 sizes of %q are incomplete", shorten(name))
	}
	const encrypted = 1 | 1<<6
	if method != 0 || flags&encrypted != 0 || packed != size {
		return nil, 0, problem(Compressed, "%q", shorten(name))
	}
	if size > 1<<62 || header > 1<<62 {
		return nil, 0, problem(BadZip, "%q has %d bytes at %d", shorten(name), size, header)
	}
	return &record{name: name, header: int64(header), size: int64(size), sum: le.Uint32(b[16:])}, end, nil
}

// widen replaces fields that are full of ones by those of the zip64 extra field, which
// has them in this order.
func widen(extra []byte, fields ...*uint64) error {
	var wide []byte
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if n > len(extra)-4 {
			break
		}
		if id == 1 {
			wide = extra[4 : 4+n]
			break
		}
		extra = extra[4+n:]
	}
	for _, f := range fields {
		if *f != 0xffffffff {
			continue
		}
		if len(wide) < 8 {
			return errors.New("no room")
		}
		*f, wide = binary.LittleEndian.Uint64(wide), wide[8:]
	}
	return nil
}

// order proves that no two records share bytes and none reaches into the directory.
func order(all []*record, end int64) error {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b *record) int {
		if a.header != b.header {
			return int(max(min(a.header-b.header, 1), -1))
		}
		return strings.Compare(a.name, b.name)
	})
	for i, r := range sorted {
		r.next = end
		if i+1 < len(sorted) {
			r.next = min(end, sorted[i+1].header)
		}
		room := r.next - r.header - localBytes - int64(len(r.name))
		if room < r.size {
			if r.next == end {
				return problem(Truncated, "%q has %d bytes at %d, its directory is at %d", shorten(r.name), r.size, r.header, end)
			}
			return problem(Overlapping, "%q and the one after it", shorten(r.name))
		}
	}
	return nil
}

// name checks all names and takes the archive's folder off them.
func (a *archive) name(all []*record) error {
	seen := make(map[string]bool, len(all))
	for _, r := range all {
		if !cleanName(r.name) {
			return problem(BadName, "%q", shorten(r.name))
		}
		if seen[r.name] {
			return problem(BadName, "%q occurs twice", shorten(r.name))
		}
		seen[r.name] = true
		folder, rest, _ := strings.Cut(r.name, "/")
		if rest == "data.pkl" {
			if a.folder != "" && a.folder != folder {
				return problem(BadName, "both %q and %q have a data.pkl", shorten(a.folder), shorten(folder))
			}
			a.folder = folder
		} else if strings.HasSuffix(rest, "/data.pkl") {
			return problem(BadName, "%q is too deep", shorten(r.name))
		}
	}
	if a.folder == "" {
		return problem(NotTorch, "a zip file without a data.pkl in a folder")
	}
	for _, r := range all {
		if rest, ok := strings.CutPrefix(r.name, a.folder+"/"); ok {
			a.records[rest] = r
		}
	}
	return nil
}

// cleanName: relative, without a step upward, and one way to write it.
func cleanName(name string) bool {
	if !utf8.ValidString(name) || strings.ContainsAny(name, "\\\x00") || strings.HasPrefix(name, "/") || name == "" {
		return false
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(name, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// find locates a record by its local header. Error: *Error of kind MissingRecord when
// there is none of the name.
func (a *archive) find(name string) (*record, error) {
	r := a.records[name]
	if r == nil {
		return nil, problem(MissingRecord, "%q", shorten(name))
	}
	if r.data != 0 {
		return r, nil
	}
	b := make([]byte, localBytes+len(r.name))
	if err := readFull(a.in, b, r.header); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	switch {
	case le.Uint32(b) != localSign || int(le.Uint16(b[26:])) != len(r.name) || string(b[localBytes:]) != r.name:
		return nil, problem(BadZip, "%q is not at %d, where the directory says", shorten(r.name), r.header)
	case le.Uint16(b[8:]) != 0 || le.Uint16(b[6:])&1 != 0:
		return nil, problem(Compressed, "%q", shorten(r.name))
	}
	data := r.header + int64(len(b)) + int64(le.Uint16(b[28:]))
	if data+r.size > r.next {
		return nil, problem(Overlapping, "%q and the one after it", shorten(r.name))
	}
	r.data = data
	return r, nil
}

// readFull reads all of b, which the caller knows to lie inside the file.
func readFull(in io.ReaderAt, b []byte, off int64) error {
	n, err := in.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return &Error{Kind: Truncated, Err: io.ErrUnexpectedEOF}
	}
	return err
}
