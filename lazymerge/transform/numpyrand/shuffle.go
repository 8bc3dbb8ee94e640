package numpyrand

import "context"

// drawsBetween is how many draws are made between two looks at a context.
const drawsBetween = 1 << 20

// Shuffle is rng.shuffle of n elements: it calls swap(i, j) for each exchange.
func (g *Generator) Shuffle(ctx context.Context, n int64, swap func(i, j int64)) error {
	return shuffle(ctx, n, 1, g.upTo, swap)
}

// shuffle exchanges the elements from the last down to first, each with one of those
// before it or itself.
func shuffle(ctx context.Context, n, first int64, draw func(most uint64) uint64, swap func(i, j int64)) error {
	for i := n - 1; i >= first; i-- {
		if i%drawsBetween == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		swap(i, int64(draw(uint64(i))))
	}
	return nil
}

// Choice is rng.choice(n, size=k, replace=False), 0 ≤ k ≤ n: by a shuffle of the end of
// a list when k is a good part of a large n, else by Floyd's method and a shuffle.
func (g *Generator) Choice(ctx context.Context, n, k int64) ([]int64, error) {
	if n > 10000 && k > n/50 {
		all := make([]int64, n)
		for i := range all {
			all[i] = int64(i)
		}
		err := shuffle(ctx, n, max(n-k, 1), g.within, func(i, j int64) { all[i], all[j] = all[j], all[i] })
		return all[n-k:], err
	}
	chosen := make([]int64, 0, k)
	taken := make(map[int64]bool)
	for j := n - k; j < n; j++ {
		x := int64(g.within(uint64(j)))
		if taken[x] {
			x = j
		}
		taken[x] = true
		chosen = append(chosen, x)
	}
	err := shuffle(ctx, k, 1, g.within, func(i, j int64) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	return chosen, err
}
