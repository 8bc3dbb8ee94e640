package torchrand

import (
	"context"
	"math"
)

// batch is how many elements torch makes at a time (aten
// native/cpu/DistributionTemplates.h, normal_fill). Fewer are made one by one.
const batch = 16

// Normal calls each with the elements of torch.normal(0, std, (n,), generator=g), in
// order. A tensor is drawn at once: g is not for use afterwards.
func (g *Generator) Normal(ctx context.Context, n int64, std float32, each func(i int64, x float32)) error {
	if n < batch {
		g.fewNormal(n, std, each)
		return nil
	}
	// The last batch is drawn again when it is not whole, over the end of the one before.
	last := n - batch
	whole := n%batch == 0
	for at := int64(0); at+batch <= n; at += batch {
		if at%drawsBetween == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		values := g.normals(std)
		for i, x := range values {
			if i := at + int64(i); whole || i < last {
				each(i, x)
			}
		}
	}
	if whole {
		return nil
	}
	g.Skip(n % batch) // the uniform draws of the elements left over
	for i, x := range g.normals(std) {
		each(last+int64(i), x)
	}
	return nil
}

// normals is Box and Muller's transform of a batch.
func (g *Generator) normals(std float32) (x [batch]float32) {
	g.Uniform(x[:], 0, 1)
	const half = batch / 2
	for j := range half {
		radius := float32(math.Sqrt(float64(-2 * float32(math.Log(float64(1-x[j]))))))
		angle := float64(float32(2*math.Pi) * x[j+half])
		x[j] = radius * float32(math.Cos(angle)) * std
		x[j+half] = radius * float32(math.Sin(angle)) * std
	}
	return x
}

// fewNormal draws in double precision, two elements at a time.
func (g *Generator) fewNormal(n int64, std float32, each func(i int64, x float32)) {
	for i := int64(0); i < n; i += 2 {
		angle := 2 * math.Pi * g.float64()
		radius := math.Sqrt(-2 * math.Log1p(-g.float64()))
		each(i, float32(radius*math.Cos(angle)*float64(std)))
		if i+1 < n {
			each(i+1, float32(radius*math.Sin(angle)*float64(std)))
		}
	}
}
