package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// tuneScheduler gives the runtime more threads to run on than there are CPUs: an
// assembly kernel cannot be preempted, and with one P a CPU the goroutines that
// answer small requests would wait for whole tiles (measured: 4 KiB reads three
// times slower). With more, the system takes turns.
func tuneScheduler() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(4, 2*runtime.NumCPU()))
	}
}

// heapRoom is what the Go heap may grow by after the models are open. Finished
// tiles lie outside that heap, so what grows are request buffers.
const heapRoom = 24 << 20

// tuneMemory returns the garbage of opening to the system and keeps the heap close
// to what the models need.
func tuneMemory() {
	debug.FreeOSMemory()
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	debug.SetMemoryLimit(int64(s.Sys-s.HeapReleased) + heapRoom)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}
