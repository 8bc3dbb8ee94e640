package lazymerge

import "testing"

func TestRowSpan(t *testing.T) {
	for _, c := range []struct {
		row, off, n int64
		want        span
	}{
		{10, 0, 10, span{0, 1, 0, 1}},
		{10, 0, 25, span{0, 3, 0, 2}},
		{10, 5, 4, span{0, 1, 1, 0}},
		{10, 5, 5, span{0, 1, 1, 1}},
		{10, 5, 20, span{0, 3, 1, 2}},
		{10, 20, 1, span{2, 3, 2, 2}},
		{1, 3, 7, span{3, 10, 3, 10}},
	} {
		if got := rowSpan(c.row, c.off, c.n); got != c.want {
			t.Errorf("rowSpan(%d, %d, %d) = %+v, want %+v", c.row, c.off, c.n, got, c.want)
		}
	}
}
