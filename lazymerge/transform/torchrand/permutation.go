package torchrand

import "context"

// manyElements is the length from which torch shuffles in another way (aten
// native/TensorFactories.cpp, randperm_cpu).
const manyElements = (1<<32 - 1) / 20

// drawsBetween is how many draws are made between two looks at a context.
const drawsBetween = 1 << 20

// Permutation is the first k elements of torch.randperm(n, generator=g), 0 ≤ k ≤ n. It
// keeps memory for k elements; from n = 2³²/20 on it takes n draws.
func (g *Generator) Permutation(ctx context.Context, n, k int64) ([]int64, error) {
	if n >= manyElements {
		return g.insideOut(ctx, n, k)
	}
	first := make([]int64, k)
	moved := make(map[int64]int64) // elements that are not at the place of their number
	at := func(i int64) int64 {
		if x, ok := moved[i]; ok {
			return x
		}
		return i
	}
	for i := range first {
		if i%drawsBetween == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		i := int64(i)
		if i == n-1 { // torch draws nothing for the last
			first[i] = at(i)
			break
		}
		z := i + int64(g.Uint32())%(n-i)
		first[i] = at(z)
		moved[z] = at(i)
		delete(moved, i)
	}
	return first, nil
}

// insideOut is Fisher and Yates' shuffle of a list that grows.
func (g *Generator) insideOut(ctx context.Context, n, k int64) ([]int64, error) {
	first := make([]int64, k)
	for i := range n {
		if i%drawsBetween == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		z := int64(g.Uint64() % uint64(i+1))
		if i < k {
			first[i] = first[z]
		}
		if z < k {
			first[z] = i
		}
	}
	return first, nil
}
