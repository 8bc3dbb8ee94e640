package transform

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

//go:generate sh gen/run.sh

//go:embed wavelets.txt
var waveletTable string

// Wavelet is the pair of filters that put a matrix together again from its bands: each
// coefficient spreads over len(low) rows and columns.
type Wavelet struct{ low, high []float32 }

// none leaves a matrix as it is.
var none = Wavelet{low: []float32{1}}

var wavelets = sync.OnceValue(func() map[string]Wavelet {
	table := make(map[string]Wavelet)
	for line := range strings.Lines(waveletTable) {
		words := strings.Fields(line)
		var w Wavelet
		for i := range words[1:] {
			w.low = append(w.low, tap(words[1+i]))
			w.high = append(w.high, tap(words[len(words)-1-i]))
			if i%2 == 1 {
				w.high[i] = -w.high[i]
			}
		}
		table[words[0]] = w
	}
	return table
})

func tap(text string) float32 {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic("transform: wavelets.txt: " + err.Error())
	}
	return float32(x)
}

// FindWavelet is the wavelet that PEFT knows by the name, "db1".
func FindWavelet(name string) (Wavelet, bool) {
	w, ok := wavelets()[name]
	return w, ok
}

// band is the filter of the low or high half of the coefficients of one dimension.
func (w Wavelet) band(high bool) []float32 {
	if high {
		return w.high
	}
	return w.low
}

// place is where coefficient i of a dimension of n elements begins to act, and in which
// band it is. PEFT puts the n coefficients amid as many as n elements need, the low
// half first, and drops what the filters add at both ends (peft
// tuners/waveft/layer.py:124 @0.21.2).
func (w Wavelet) place(i, n int64) (first int64, high bool) {
	over := int64(len(w.low)) - 2
	if over < 0 {
		return i, false
	}
	padded := (n + over + 1) / 2 * 2
	i += (padded - n) / 2
	if high = i >= padded/2; high {
		i -= padded / 2
	}
	return 2*i - over, high
}
