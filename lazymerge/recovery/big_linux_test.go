package recovery_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"lorafs/lazymerge/recovery"
)

// pickled writes the opcodes that torch.save uses.
type pickled struct{ bytes.Buffer }

func (p *pickled) str(s string) {
	p.WriteByte('X')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
	p.WriteString(s)
}

func (p *pickled) num(n int64) {
	p.WriteString("\x8a\x08") // LONG1
	p.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func (p *pickled) tuple(dims ...int64) {
	p.WriteByte('(')
	for _, d := range dims {
		p.num(d)
	}
	p.WriteByte('t')
}

func (p *pickled) dict(fill func()) {
	p.WriteString("}(")
	fill()
	p.WriteByte('u')
}

func (p *pickled) list(fill func()) {
	p.WriteString("](")
	fill()
	p.WriteByte('e')
}

// archive is a file of torch.save whose storages take no room on the disk.
type archive struct {
	t       *testing.T
	file    *os.File
	at      int64
	pickle  pickled
	sizes   []int64 // of the storages
	entries bytes.Buffer
	count   uint64
}

// vector writes a tensor of one dimension with a storage of its own.
func (a *archive) vector(class string, n, width int64) {
	p := &a.pickle
	p.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
	p.str("storage")
	p.WriteString("ctorch\n" + class + "\n")
	p.str(fmt.Sprint(len(a.sizes)))
	p.str("cpu")
	p.num(n)
	p.WriteString("tQ")
	p.num(0)
	p.tuple(n)
	p.tuple(1)
	p.WriteString("\x89ccollections\nOrderedDict\n)RtR")
	a.sizes = append(a.sizes, n*width)
}

// record adds a stored record of a zip64 file, of which only head is written, with the
// checksum sum.
func (a *archive) record(name string, head []byte, size int64, sum uint32) {
	le := binary.LittleEndian
	begin := a.at
	local := []byte("PK\x03\x04\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff")
	local = le.AppendUint16(local, uint16(len(name)))
	local = le.AppendUint16(local, 20)
	local = append(local, name...)
	extra := le.AppendUint64(le.AppendUint64([]byte{1, 0, 16, 0}, uint64(size)), uint64(size))
	a.write(append(append(local, extra...), head...))
	a.at += size - int64(len(head))
	central := []byte("PK\x01\x02\x2d\x00\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	central = append(le.AppendUint32(central, sum), "\xff\xff\xff\xff\xff\xff\xff\xff"...)
	central = le.AppendUint16(central, uint16(len(name)))
	central = le.AppendUint16(central, 28)
	central = append(central, make([]byte, 10)...)
	central = append(central, 0xff, 0xff, 0xff, 0xff)
	central = append(central, name...)
	central = append(central, 1, 0, 24, 0)
	for _, n := range []int64{size, size, begin} {
		central = le.AppendUint64(central, uint64(n))
	}
	a.entries.Write(central)
	a.count++
}

func (a *archive) write(b []byte) {
	if _, err := a.file.WriteAt(b, a.at); err != nil {
		a.t.Fatal(err)
	}
	a.at += int64(len(b))
}

// save writes the records and the directory of the zip file.
func (a *archive) save() {
	le := binary.LittleEndian
	text := append([]byte("\x80\x02"), append(a.pickle.Bytes(), '.')...)
	a.record("archive/data.pkl", text, int64(len(text)), crc32.ChecksumIEEE(text))
	a.record("archive/byteorder", []byte("little"), 6, 0)
	for i, size := range a.sizes {
		sum := uint32(0xbad) // of what is not to be read
		if size == bigFlat*4 {
			sum = crc32.ChecksumIEEE(make([]byte, size))
		}
		a.record(fmt.Sprintf("archive/data/%d", i), nil, size, sum)
	}
	a.record("archive/version", []byte("3\n"), 2, 0)
	directory := a.at
	a.write(a.entries.Bytes())
	end := a.at
	tail := le.AppendUint64([]byte("PK\x06\x06"), 44)
	tail = append(tail, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, n := range []uint64{a.count, a.count, uint64(end - directory), uint64(directory)} {
		tail = le.AppendUint64(tail, n)
	}
	tail = le.AppendUint64(append(tail, "PK\x06\x07\x00\x00\x00\x00"...), uint64(end))
	tail = append(tail, 1, 0, 0, 0)
	tail = append(tail, "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
	a.write(tail)
	if err := a.file.Close(); err != nil {
		a.t.Fatal(err)
	}
}

func create(t *testing.T, path string) *archive {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return &archive{t: t, file: f}
}

// The sizes of a model of 70 billion parameters with an adapter on two of its layers'
// matrices.
const (
	bigWorld  = 8
	bigLayers = 80
	bigHidden = 8192
	bigInner  = 28672
	bigRank   = 8
	bigFlat   = bigLayers * bigRank * (bigHidden + bigInner) / bigWorld // elements of a rank's vector
)

func bigName(layer int, leaf string) string {
	return fmt.Sprintf("base_model.model.model.layers.%d.mlp.up_proj.%s", layer, leaf)
}

// TestBigCheckpoint rebuilds an adapter from a stage-3 checkpoint of 175 GiB, holes mostly,
// and counts what of it was read: the pages that the kernel holds.
func TestBigCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoint-1")
	step := filepath.Join(dir, "global_step1")
	if err := os.MkdirAll(step, 0o755); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`{"peft_type":"LORA","r":%d,"lora_alpha":16,"target_modules":["up_proj"]}`, bigRank)
	if err := os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	for rank := range bigWorld {
		bigModel(create(t, filepath.Join(step, fmt.Sprintf("zero_pp_rank_%d_mp_rank_00_model_states.pt", rank))))
		bigOptim(create(t, filepath.Join(step, fmt.Sprintf("bf16_zero_pp_rank_%d_mp_rank_00_optim_states.pt", rank))))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := recovery.Adapter(t.Context(), dir, filepath.Join(t.TempDir(), "out"), recovery.Options{}, recovery.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if want := int64(4 * bigLayers * bigRank * (bigHidden + bigInner)); r.Bytes != want || r.Tensors != 2*bigLayers {
		t.Errorf("%d bytes in %d tensors, want %d", r.Bytes, r.Tensors, want)
	}
	size, resident := int64(0), int64(0)
	files, err := filepath.Glob(step + "/*.pt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		s, in := residentBytes(t, f)
		size, resident = size+s, resident+in
	}
	t.Logf("%d GiB in %d files: %d MiB read for %d MiB of values, %d MiB allocated in all", size>>30, len(files), resident>>20, r.Bytes>>20, (after.TotalAlloc-before.TotalAlloc)>>20)
	if most := r.Bytes + r.Bytes/2 + 64<<20; resident > most {
		t.Errorf("%d bytes were read, at most %d are needed", resident, most)
	}
	if most := uint64(256 << 20); after.TotalAlloc-before.TotalAlloc > most {
		t.Errorf("%d bytes were allocated", after.TotalAlloc-before.TotalAlloc)
	}
}

func bigModel(a *archive) {
	p := &a.pickle
	p.dict(func() {
		p.str("module")
		p.dict(func() {})
		p.str("buffer_names")
		p.list(func() {})
		p.str("param_shapes")
		p.list(func() {
			p.dict(func() {
				for layer := range bigLayers {
					p.str(bigName(layer, "lora_A.default.weight"))
					p.tuple(bigRank, bigHidden)
					p.str(bigName(layer, "lora_B.default.weight"))
					p.tuple(bigInner, bigRank)
				}
			})
		})
		p.str("frozen_param_shapes")
		p.dict(func() {
			for layer := range bigLayers {
				p.str(bigName(layer, "base_layer.weight"))
				p.tuple(3*bigInner, bigHidden) // as many as all of a layer's matrices
			}
		})
		p.str("frozen_param_fragments")
		p.dict(func() {
			for layer := range bigLayers {
				p.str(bigName(layer, "base_layer.weight"))
				a.vector("BFloat16Storage", 3*bigInner*bigHidden/bigWorld, 2)
			}
		})
		p.str("shared_params")
		p.dict(func() {})
		p.str("dp_world_size")
		p.num(bigWorld)
		p.str("ds_version")
		p.str("0.19.8")
	})
	a.save()
}

func bigOptim(a *archive) {
	p := &a.pickle
	p.dict(func() {
		p.str("optimizer_state_dict")
		p.dict(func() {
			p.str("zero_stage")
			p.num(3)
			p.str("partition_count")
			p.num(bigWorld)
			p.str("optimizer_state_dict")
			p.dict(func() {
				p.str("state")
				p.dict(func() {
					p.num(0)
					p.dict(func() {
						for _, moment := range []string{"exp_avg", "exp_avg_sq"} {
							p.str(moment)
							a.vector("FloatStorage", 400*bigFlat, 4) // as of a model that is trained whole
						}
					})
				})
			})
			p.str("fp32_flat_groups")
			p.list(func() { a.vector("FloatStorage", bigFlat, 4) })
		})
		p.str("ds_version")
		p.str("0.19.8")
	})
	a.save()
}

// residentBytes gives a file's size and how much of it the kernel has read.
func residentBytes(t *testing.T, path string) (size, resident int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	const window = 1 << 30
	page := int64(os.Getpagesize())
	for at := int64(0); at < st.Size(); at += window {
		n := min(window, st.Size()-at)
		m, err := syscall.Mmap(int(f.Fd()), at, int(n), syscall.PROT_READ, syscall.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		in := make([]byte, (n+page-1)/page)
		if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(n), uintptr(unsafe.Pointer(&in[0]))); errno != 0 {
			t.Fatal(errno)
		}
		for _, b := range in {
			resident += int64(b&1) * page
		}
		if err := syscall.Munmap(m); err != nil {
			t.Fatal(err)
		}
	}
	return st.Size(), resident
}
