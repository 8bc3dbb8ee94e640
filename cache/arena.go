package cache

import (
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"
)

const page = 4096

// arena is the idle memory: mappings of buffers that are gone, by size class. A 1 MiB
// mapping costs 256 page faults to make, so memory is used again where the bound
// permits.
type arena struct {
	limit int64 // of used and idle memory together
	idle  int64
	free  map[int64][][]byte // never an empty list
}

// roundUp is the size class: whole pages, and beyond 32 KiB eight classes between two
// powers of two, so that no more than an eighth is wasted.
func roundUp(size int64) int64 {
	if size < 0 {
		panic("cache: negative size")
	}
	step := max(page, int64(1)<<max(0, bits.Len64(uint64(max(size, 1)-1))-4))
	return max(page, (size+step-1)/step*step)
}

func (a *arena) get(class int64) []byte {
	list := a.free[class]
	if len(list) == 0 {
		return nil
	}
	return a.pop(class)
}

// largest takes a mapping of the largest class there is.
func (a *arena) largest() []byte {
	class := int64(0)
	for c := range a.free {
		class = max(class, c)
	}
	if class == 0 {
		return nil
	}
	return a.pop(class)
}

func (a *arena) pop(class int64) []byte {
	list := a.free[class]
	mem := list[len(list)-1]
	if len(list) == 1 {
		delete(a.free, class)
	} else {
		a.free[class] = list[:len(list)-1]
	}
	a.idle -= class
	return mem
}

func (a *arena) put(mem []byte) {
	if a.free == nil {
		a.free = make(map[int64][][]byte)
	}
	class := int64(len(mem))
	a.free[class] = append(a.free[class], mem)
	a.idle += class
}

// surplus takes out the idle memory that the limit does not permit beside used bytes.
func (a *arena) surplus(used int64) (gone [][]byte) {
	for a.idle > 0 && used+a.idle > a.limit {
		gone = append(gone, a.largest())
	}
	return gone
}

func mapMemory(size int64) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes for the cache: %w", size, err)
	}
	return mem, nil
}

func unmap(mem []byte) {
	if err := unix.Munmap(mem); err != nil {
		panic(fmt.Sprintf("cache: unmap: %v", err))
	}
}

func unmapAll(gone [][]byte) {
	for _, mem := range gone {
		unmap(mem)
	}
}
