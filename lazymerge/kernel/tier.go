package kernel

import (
	"fmt"
	"os"
	"strings"
)

// Tier is one implementation of the arithmetic.
type Tier struct {
	Name string
	// Available tells whether this machine can run the tier and whether a product came
	// out right.
	Available func() bool
	// AddLowRank fills a.Dst and returns the first row where a finite weight became
	// NaN or infinite, or -1.
	AddLowRank func(a *Args) int
	// SumRows fills dst with W + d in fp32, unrounded; a.Dst and a.Rounding are unused.
	SumRows func(dst []float32, a *Args)
	// Work is the number of multiply-adds that keep a call of these functions to a few
	// milliseconds, after which callers look for cancellation. Within a call, assembly
	// returns to Go at least every 100 µs, where the runtime can preempt.
	Work int

	vectors *vectors // nil: pure Go
}

var pureGo = &Tier{
	Name:       "go",
	Available:  func() bool { return true },
	AddLowRank: addLowRank,
	SumRows:    sumRows,
	Work:       1 << 20,
}

// Tiers lists the implementations of this build, the fastest first. The last one is
// pure Go, always available, and defines what the others must give.
var Tiers = append(assembled(), pureGo)

// Names lists the tiers of all builds.
var Names = []string{"amx", "avx512bf16", "avx512", "avx2", "neon", "go"}

// Default is the tier that the functions of the package use: the first available, or
// what Select chose.
var Default = firstAvailable()

func firstAvailable() *Tier {
	for _, t := range Tiers {
		if t.Available() {
			return t
		}
	}
	panic("kernel: no tier is available")
}

// selectError says that a tier cannot be used.
type selectError struct {
	name  string
	known bool // the name is that of a tier
}

func (e *selectError) Error() string {
	if e.known {
		return fmt.Sprintf("kernel %q is not available on this machine", e.name)
	}
	return fmt.Sprintf("unknown kernel %q (one of %s)", e.name, strings.Join(Names, ", "))
}

// FromEnv selects the tier that LORAFS_KERNEL names, if it is set.
func FromEnv() error { return Select(os.Getenv("LORAFS_KERNEL")) }

// Select makes the named tier the Default; "" leaves the choice to the package. It is
// for the start of a program, before other calls.
func Select(name string) error {
	if name == "" {
		Default = firstAvailable()
		return nil
	}
	for _, t := range Tiers {
		if t.Name == name && t.Available() {
			Default = t
			return nil
		}
	}
	e := &selectError{name: name}
	for _, n := range Names {
		e.known = e.known || n == name
	}
	return e
}
