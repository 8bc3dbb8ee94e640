package torchfile

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

const twelve = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"

// TestViews reads views of twelve bytes, whole and in all parts.
func TestViews(t *testing.T) {
	for name, c := range map[string]struct {
		offset        int64
		shape, stride []int64
		want          string
	}{
		"whole":     {0, []int64{3, 4}, []int64{4, 1}, twelve},
		"turned":    {0, []int64{4, 3}, []int64{1, 4}, "\x00\x04\x08\x01\x05\x09\x02\x06\x0a\x03\x07\x0b"},
		"inner":     {1, []int64{2, 2}, []int64{4, 1}, "\x01\x02\x05\x06"},
		"expanded":  {2, []int64{2, 3}, []int64{0, 1}, "\x02\x03\x04\x02\x03\x04"},
		"repeated":  {2, []int64{2, 3}, []int64{1, 0}, "\x02\x02\x02\x03\x03\x03"},
		"steps":     {1, []int64{3}, []int64{5}, "\x01\x06\x0b"},
		"scalar":    {7, nil, nil, "\x07"},
		"ones":      {3, []int64{1, 2, 1}, []int64{99, 1, 77}, "\x03\x04"},
		"ones, far": {3, []int64{2, 1}, []int64{8, 77}, "\x03\x0b"},
		"empty":     {12, []int64{0, 5}, []int64{5, 1}, ""},
		"no room":   {99, []int64{0}, []int64{1}, ""},
		"cube":      {0, []int64{2, 3, 2}, []int64{1, 4, 2}, "\x00\x02\x04\x06\x08\x0a\x01\x03\x05\x07\x09\x0b"},
	} {
		t.Run(name, func(t *testing.T) {
			f := mustOpen(t, torchZip(dictOf("t", view(storageID("ByteStorage", "0", 12), c.offset, c.shape, c.stride)), twelve))
			v := tensorOf(t, f, "t")
			n := int64(len(c.want))
			if v.Elements() != n || v.Bytes() != n {
				t.Fatalf("%d elements in %d bytes", v.Elements(), v.Bytes())
			}
			for first := range n + 1 {
				for end := first; end <= n; end++ {
					b := make([]byte, end-first)
					if err := v.ReadAt(b, first); err != nil || string(b) != c.want[first:end] {
						t.Errorf("[%d, %d): %q, %v", first, end, b, err)
					}
				}
			}
			named, err := v.Named("t")
			if err != nil {
				t.Fatal(err)
			}
			if b, err := named.Slice(0, named.Size()); err != nil || string(b) != c.want {
				t.Errorf("Named: %q, %v", b, err)
			}
		})
	}
}

// TestBigView gathers from windows that are smaller than the storage.
func TestBigView(t *testing.T) {
	const rows, columns = 1100, 1000 // of two bytes
	data := make([]byte, 2*rows*columns)
	for i := range rows * columns {
		data[2*i], data[2*i+1] = byte(i), byte(i>>8)^byte(i>>16)
	}
	storage := storageID("ShortStorage", "0", rows*columns)
	f := mustOpen(t, torchZip(dictOf("t", view(storage, 0, []int64{columns, rows}, []int64{1, columns})), string(data)))
	v := tensorOf(t, f, "t")
	got := make([]byte, v.Bytes())
	if err := v.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	for c := range columns {
		for r := range rows {
			if at, from := 2*(c*rows+r), 2*(r*columns+c); got[at] != data[from] || got[at+1] != data[from+1] {
				t.Fatalf("row %d of column %d is wrong", r, c)
			}
		}
	}
}

func TestBigEndian(t *testing.T) {
	const complexClass = "ComplexFloatStorage"
	entries := []entry{
		{name: "a/data.pkl", content: dictOf(
			"i", view(storageID("IntStorage", "0", 3), 1, []int64{2}, []int64{1}),
			"b", view(storageID("ByteStorage", "1", 12), 1, []int64{2}, []int64{1}),
			"c", view(storageID(complexClass, "2", 1), 0, []int64{1}, []int64{1}))},
		{name: "a/byteorder", content: "big"}, {name: "a/data/0", content: twelve}, {name: "a/data/1", content: twelve}, {name: "a/data/2", content: twelve[:8]},
	}
	f := mustOpen(t, zipOf(entries...))
	for name, want := range map[string]string{"i": "\x07\x06\x05\x04\x0b\x0a\x09\x08", "b": "\x01\x02", "c": "\x03\x02\x01\x00\x07\x06\x05\x04"} {
		v := tensorOf(t, f, name)
		got := make([]byte, v.Bytes())
		if err := v.ReadAt(got, 0); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		named, err := v.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := named.Slice(0, named.Size()); err != nil || string(b) != want {
			t.Errorf("%s by Named: %q, %v", name, b, err)
		}
	}
}

func TestInPlace(t *testing.T) {
	content := torchZip(dictOf("t", view(storageID("FloatStorage", "0", 3), 1, []int64{2}, []int64{1})), twelve)
	path := put(t, content)
	w, err := OpenWeights(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if ts := w.Tensors(); len(ts) != 1 || ts[0].Path() != path || ts[0].DType != safetensors.F32 || !slices.Equal(ts[0].Shape, []int64{2}) {
		t.Fatalf("%+v", ts)
	}
	if err := os.Truncate(path, int64(bytes.Index(content, []byte(twelve)))+4); err != nil {
		t.Fatal(err)
	}
	changed := (*safetensors.ChangedError)(nil)
	if err := w.Unchanged(); !errors.As(err, &changed) {
		t.Errorf("unchanged: %v", err)
	}
	v := tensorOf(t, w.File, "t")
	if err := v.ReadAt(make([]byte, 8), 0); !errors.As(err, &changed) {
		t.Errorf("ReadAt: %v", err)
	}
}

// TestSection reads a stream between other bytes.
func TestSection(t *testing.T) {
	for name, content := range map[string][]byte{
		"zip":    torchZip("\x80\x02"+view(storageID("ByteStorage", "0", 12), 2, []int64{3}, []int64{1})+".", twelve),
		"legacy": legacy(view(storageID("ByteStorage", "0", 12), 2, []int64{3}, []int64{1}), "]"+text("0")+"a", count(12)+twelve),
	} {
		path := put(t, slices.Concat([]byte("before"), content, []byte("PK\x05\x06 behind")))
		f, err := OpenSection(path, 6, int64(len(content)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer f.Close()
		v, ok := f.Root().(*Tensor)
		if !ok {
			t.Fatalf("%s: %T", name, f.Root())
		}
		named, err := v.Named("t")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := named.Slice(0, 3); err != nil || string(b) != twelve[2:5] || named.Path() != path {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		for _, bad := range [][2]int64{{-1, 5}, {0, -1}, {1 << 40, 1}, {1, 1 << 40}, {1, math.MaxInt64}} {
			if _, err := OpenSection(path, bad[0], bad[1]); !isKind(err, Truncated) {
				t.Errorf("%v: %v", bad, err)
			}
		}
	}
}

func isKind(err error, kinds ...Kind) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && slices.Contains(kinds, e.Kind)
}

// patched changes bytes at an offset from where a signature stands for the nth time.
func patched(content []byte, sign string, nth, at int, bytes string) []byte {
	b := slices.Clone(content)
	from := 0
	for range nth + 1 {
		i := strings.Index(string(b[from:]), sign)
		if i < 0 {
			panic("no " + sign)
		}
		from += i + 1
	}
	copy(b[from-1+at:], bytes)
	return b
}

// refusals are files that must not open, and why.
func refusals() map[string]struct {
	kind    Kind
	content []byte
} {
	type row = struct {
		kind    Kind
		content []byte
	}
	tensor := dictOf("t", view(storageID("ByteStorage", "0", 12), 0, []int64{12}, []int64{1}))
	good := torchZip(tensor, twelve)
	withTensor := func(offset int64, shape, stride []int64) []byte {
		return torchZip(dictOf("t", view(storageID("ByteStorage", "0", 12), offset, shape, stride)), twelve)
	}
	withStorage := func(id string) []byte { return torchZip(dictOf("t", id), twelve) }
	stored := view(storageID("ByteStorage", "0", 12), 0, []int64{12}, []int64{1})
	const central, local, end = "PK\x01\x02", "PK\x03\x04", "PK\x05\x06"
	return map[string]row{
		"nothing":            {NotTorch, nil},
		"one byte":           {NotTorch, []byte("P")},
		"text":               {NotTorch, []byte("hello, this is no torch file at all")},
		"a plain pickle":     {NotTorch, []byte("\x80\x02}.")},
		"zeros":              {NotTorch, make([]byte, 5000)},
		"tar":                {Tar, []byte(strings.Repeat("x", 257) + "ustar\x0000")},
		"only a signature":   {Truncated, []byte(local)},
		"no data.pkl":        {NotTorch, zipOf(entry{name: "archive/x"})},
		"no folder":          {NotTorch, zipOf(entry{name: "data.pkl", content: tensor})},
		"a script":           {TorchScript, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "a/constants.pkl"})},
		"deflated":           {Compressed, zipOf(entry{name: "a/data.pkl", content: "N.", method: zipDeflate})},
		"deflated storage":   {Compressed, zipOf(entry{name: "a/data.pkl", content: tensor}, entry{name: "a/data/0", content: twelve, method: zipDeflate})},
		"encrypted":          {Compressed, patched(good, central, 0, 8, "\x01")},
		"deflated, locally":  {Compressed, patched(good, local, 0, 8, "\x08")},
		"two data.pkl":       {BadName, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "b/data.pkl", content: "N."})},
		"one data.pkl twice": {BadName, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "a/data.pkl", content: "N."})},
		"a deep data.pkl":    {BadName, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "a/b/data.pkl", content: "N."})},
		"a storage twice":    {BadName, zipOf(entry{name: "a/data.pkl", content: tensor}, entry{name: "a/data/0", content: twelve}, entry{name: "a/data/0", content: twelve})},
		"upward":             {BadName, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "a/../../etc/passwd"})},
		"absolute":           {BadName, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "/etc/passwd"})},
		"backslash":          {BadName, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: `a\..\x`})},
		"dots":               {BadName, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "a/./x"})},
		"no UTF-8":           {BadName, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "a/\xff"})},
		"other byte order":   {BadZip, zipOf(entry{name: "a/data.pkl", content: "N."}, entry{name: "a/byteorder", content: "middle"})},
		"cut":                {Truncated, good[:len(good)-1]},
		"cut in the middle":  {Truncated, good[:len(good)/2]},
		"many records":       {BadZip, patched(good, end, 0, 10, "\xfe\xff")},
		"few records":        {BadZip, patched(good, end, 0, 10, "\x01\x00")},
		"directory far off":  {BadZip, patched(good, end, 0, 16, "\xff\xff\xff\x7f")},
		"directory not here": {BadZip, patched(good, end, 0, 16, "\x05\x00\x00\x00")},
		"zip64 is missing":   {BadZip, patched(good, end, 0, 16, "\xff\xff\xff\xff")},
		"a part of several":  {BadZip, patched(good, end, 0, 4, "\x02")},
		"record too long":    {Truncated, patched(patched(good, central, 3, 20, "\xff\xff\xff\x7f"), central, 3, 24, "\xff\xff\xff\x7f")},
		"records overlap":    {Overlapping, patched(patched(good, central, 0, 20, "\xff\x01\x00\x00"), central, 0, 24, "\xff\x01\x00\x00")},
		"one place for two":  {Overlapping, patched(good, central, 1, 42, "\x00\x00\x00\x00")},
		"not where it says":  {BadZip, patched(good, central, 0, 42, "\x01\x00\x00\x00")},
		"another local name": {BadZip, patched(good, local, 0, 30, "b")},
		"long local extra":   {Overlapping, patched(good, local, 0, 28, "\xff\x0f")},
		"zip64 sizes lack":   {BadZip, patched(good, central, 0, 20, "\xff\xff\xff\xff\xff\xff\xff\xff")},
		"no storage":         {MissingRecord, torchZip(tensor)},
		"broken pickle":      {BadPickle, torchZip("\x80\x02}h\x05.")},
		"cut pickle":         {Truncated, torchZip("\x80\x02}")},
		"storage too big":    {StorageSize, withStorage(storageID("ByteStorage", "0", 13))},
		"storage very big":   {StorageSize, withStorage(storageID("DoubleStorage", "0", 1<<40))},
		"storage of 2^62":    {StorageSize, withStorage(storageID("DoubleStorage", "0", 1<<62))},
		"negative storage":   {StorageSize, withStorage(storageID("ByteStorage", "0", -1))},
		"storage elsewhere":  {MissingRecord, withStorage(storageID("ByteStorage", "../../data.pkl", 1))},
		"unknown storage":    {UnknownDType, withStorage(storageID("SystemStorage", "0", 1))},
		"odd persistent id":  {BadStorage, withStorage("K\x01Q")},
		"module id":          {BadStorage, withStorage("(" + text("module") + "NNNNtQ")},
		"two sizes":          {BadStorage, torchZip(dictOf("a", storageID("ByteStorage", "0", 12), "b", storageID("ByteStorage", "0", 11)), twelve)},
		"view beyond":        {BadTensor, withTensor(1, []int64{12}, []int64{1})},
		"stride beyond":      {BadTensor, withTensor(0, []int64{2}, []int64{12})},
		"negative offset":    {BadTensor, withTensor(-1, []int64{1}, []int64{1})},
		"negative stride":    {BadTensor, withTensor(11, []int64{12}, []int64{-1})},
		"negative size":      {BadTensor, withTensor(0, []int64{-1}, []int64{1})},
		"overflow of sizes":  {BadTensor, withTensor(0, []int64{1 << 32, 1 << 32}, []int64{0, 0})},
		"overflow of places": {BadTensor, withTensor(0, []int64{3, 3}, []int64{math.MaxInt64, math.MaxInt64})},
		"overflow of offset": {BadTensor, withTensor(math.MaxInt64, []int64{2}, []int64{1})},
		"sizes and strides":  {BadTensor, withTensor(0, []int64{2, 2}, []int64{1})},
		"a shape of text":    {BadTensor, torchZip(dictOf("t", "ctorch._utils\n_rebuild_tensor_v2\n("+storageID("ByteStorage", "0", 12)+"K\x00"+text("a")+")\x89}tR"), twelve)},
		"legacy, cut":        {Truncated, legacy(stored, "]"+text("0")+"a", count(12)+twelve[:11])},
		"legacy, no count":   {Truncated, legacy(stored, "]"+text("0")+"a", "")},
		"legacy, no keys":    {MissingRecord, legacy(stored, "]", "")},
		"legacy, two counts": {StorageSize, legacy(stored, "]"+text("0")+"a", count(11)+twelve)},
		"legacy, 2^63":       {StorageSize, legacy(stored, "]"+text("0")+"a", count(1<<63)+twelve)},
		"legacy, key twice":  {BadStorage, legacy(stored, "]"+text("0")+"a"+text("0")+"a", count(12)+twelve+count(12)+twelve)},
		"legacy, other key":  {BadStorage, legacy(stored, "]"+text("1")+"a", count(12)+twelve)},
		"legacy, keys":       {BadPickle, legacy(stored, "}", "")},
		"legacy, no object":  {Truncated, legacy("", "", "")[:26]},
		"legacy, view":       {BadStorage, legacy("("+text("storage")+"ctorch\nByteStorage\n"+text("0")+text("cpu")+number(12)+"("+text("v")+number(5)+number(8)+"ttQ", "]"+text("0")+"a", count(12)+twelve)},
	}
}

const zipDeflate = 8

func TestRefusals(t *testing.T) {
	for name, r := range refusals() {
		t.Run(name, func(t *testing.T) {
			path := put(t, r.content)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f, err := Open(path)
			runtime.ReadMemStats(&after)
			if f != nil {
				f.Close()
			}
			if !isKind(err, r.kind) {
				t.Fatalf("%v; wanted %s", err, r.kind)
			}
			if e := (*Error)(nil); !errors.As(err, &e) || e.Path != path {
				t.Errorf("the path is %q", e.Path)
			}
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 4<<20 {
				t.Errorf("%d bytes took %d of memory", len(r.content), spent)
			}
		})
	}
}

// TestHostileFiles: what is no tensor stays a record of a call, and tensors beside it
// can be read.
func TestHostileFiles(t *testing.T) {
	tensor := view(storageID("ByteStorage", "0", 12), 0, []int64{12}, []int64{1})
	marker := filepath.Join(t.TempDir(), "ran")
	for name, call := range map[string]string{
		"system":  "cos\nsystem\n" + text("touch "+marker) + "\x85R",
		"posix":   "cposix\nsystem\n" + text("touch "+marker) + "\x85R",
		"eval":    "cbuiltins\neval\n" + text("open('"+marker+"', 'w')") + "\x85R",
		"getattr": "cbuiltins\ngetattr\n(cbuiltins\n__import__\n" + text("os") + "\x85R" + text("system") + "tR" + text("touch "+marker) + "\x85R",
		"rebuild": "ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n" + text("touch "+marker) + "\x85}tR",
		"sparse":  "ctorch._utils\n_rebuild_sparse_tensor\n(NNtR",
	} {
		f := mustOpen(t, torchZip(dictOf("bad", call, "t", tensor), twelve))
		s, ok := StateDict(f.Root())
		if !ok || len(s.Tensors) != 1 || len(s.Others) != 1 || s.Others[0].Name != "bad" {
			t.Fatalf("%s: %+v", name, s)
		}
		if _, ok := s.Others[0].Value.(*pickle.Object); !ok {
			t.Errorf("%s: %T", name, s.Others[0].Value)
		}
		if _, err := OpenWeights(f.Path()); !isKind(err, NotTensors) || !strings.Contains(err.Error(), "bad") {
			t.Errorf("%s as weights: %v", name, err)
		}
	}
	if _, err := os.Stat(marker); !errors.Is(err, fs.ErrNotExist) {
		t.Error("code was run")
	}
}

// TestUnread: elements without a form here are no obstacle until they are asked for.
func TestUnread(t *testing.T) {
	f := mustOpen(t, torchZip(dictOf(
		"c", view(storageID("ComplexDoubleStorage", "0", 0), 0, []int64{0}, []int64{1}),
		"conj", "ctorch._utils\n_rebuild_tensor_v2\n("+storageID("ByteStorage", "1", 12)+"K\x00K\x02\x85K\x01\x85\x89}}"+text("conj")+"\x88stR",
		"wide", view(storageID("ByteStorage", "1", 12), 0, []int64{1 << 30, 1 << 10}, []int64{0, 0}),
	), "", twelve))
	for name, kind := range map[string]Kind{"c": UnknownDType, "conj": BadTensor, "wide": BadTensor} {
		if _, err := tensorOf(t, f, name).Named(name); !isKind(err, kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenWeights(f.Path()); !isKind(err, UnknownDType) || !strings.Contains(err.Error(), "`c`") {
		t.Errorf("as weights: %v", err)
	}
	b := make([]byte, 5)
	if err := tensorOf(t, f, "wide").ReadAt(b, 1<<40-5); err != nil || string(b) != "\x00\x00\x00\x00\x00" {
		t.Errorf("the end of a wide view: %q, %v", b, err)
	}
}

// TestManyCopies: views of one storage are not copied without end.
func TestManyCopies(t *testing.T) {
	var pairs []string
	for i := range 200 {
		pairs = append(pairs, strings.Repeat("x", i+1), view(storageID("ByteStorage", "0", 1<<16), 0, []int64{1 << 8, 1 << 8}, []int64{1, 1 << 8}))
	}
	path := put(t, torchZip(dictOf(pairs...), strings.Repeat("\x01", 1<<16)))
	if _, err := OpenWeights(path); !isKind(err, BadTensor) {
		t.Error(err)
	}
}

func TestLegacyViews(t *testing.T) {
	id := "(" + text("storage") + "ctorch\nShortStorage\n" + text("0") + text("cpu") + number(6) + "(" + text("v") + number(2) + number(3) + "ttQ"
	f := mustOpen(t, legacy("}"+text("t")+view(id, 1, []int64{2}, []int64{1})+"s", "]"+text("0")+"a", count(6)+twelve))
	v := tensorOf(t, f, "t")
	b := make([]byte, 4)
	if err := v.ReadAt(b, 0); err != nil || string(b) != twelve[6:10] {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSharded(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tensor := view(storageID("ByteStorage", "0", 12), 0, []int64{12}, []int64{1})
	write("a.bin", torchZip(dictOf("x", tensor, "y", tensor), twelve))
	write("sub/b.bin", torchZip(dictOf("z", tensor), twelve))
	write("list.bin", torchZip("]."))
	write("i/index.json", nil)
	index := filepath.Join(dir, "pytorch_model.bin.index.json")
	write("pytorch_model.bin.index.json", []byte(`{"metadata":{},"weight_map":{"x":"a.bin","y":"a.bin","z":"sub/b.bin","gone":"c.bin","none":"a.bin","list":"list.bin","link":"link.bin"}}`))
	outside := put(t, torchZip(dictOf("link", tensor), twelve))
	if err := os.Symlink(outside, filepath.Join(dir, "link.bin")); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSharded(index)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := strings.Join(s.Names(), " "); got != "gone link list none x y z" {
		t.Errorf("names %s", got)
	}
	for _, name := range []string{"x", "y", "z"} {
		v, err := s.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 12)
		if err := v.ReadAt(b, 0); err != nil || string(b) != twelve {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if len(s.open) != 2 {
		t.Errorf("%d files are open", len(s.open))
	}
	for name, kind := range map[string]Kind{"none": MissingRecord, "unknown": MissingRecord, "list": NotTensors, "link": BadIndex} {
		if _, err := s.Tensor(name); !isKind(err, kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Tensor("gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
	if err := s.Unchanged(); err != nil {
		t.Error(err)
	}
	hub := filepath.Join(dir, "models--o--m")
	write("models--o--m/blobs/1", torchZip(dictOf("x", tensor), twelve))
	write("models--o--m/snapshots/cafe/pytorch_model.bin.index.json", []byte(`{"weight_map":{"x":"a.bin"}}`))
	if err := os.Symlink("../../blobs/1", filepath.Join(hub, "snapshots/cafe/a.bin")); err != nil {
		t.Fatal(err)
	}
	cached, err := OpenSharded(filepath.Join(hub, "snapshots/cafe/pytorch_model.bin.index.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer cached.Close()
	if _, err := cached.Tensor("x"); err != nil {
		t.Errorf("a file of a hub cache: %v", err)
	}
	for _, bad := range []string{"../a.bin", "/etc/passwd", "a/../../b", ""} {
		write("pytorch_model.bin.index.json", []byte(`{"weight_map":{"x":"`+bad+`"}}`))
		if _, err := OpenSharded(index); !isKind(err, BadIndex) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
