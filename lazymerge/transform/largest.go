package transform

import "math/bits"

// ranked is a value and its place, as torch.topk arranges them.
type ranked struct {
	value float32
	at    int32
}

// largest marks the k largest of the values.
func largest(values []float32, k int) []bool {
	kept := make([]bool, len(values))
	if k = min(k, len(values)); k > 0 {
		for _, r := range arrange(nil, values, k) {
			kept[r.at] = true
		}
	}
	return kept
}

// greatest sets picks to the places of the largest values, and found to those, in falling
// order, as torch.topk does. queue is memory.
func greatest(picks []int64, found, values []float32, queue []ranked) []ranked {
	queue = arrange(queue, values, len(picks))
	if len(picks)*64 <= len(values) {
		sortHeap(queue)
	} else {
		insertionSort(queue)
	}
	for i, r := range queue {
		picks[i], found[i] = int64(r.at), r.value
	}
	return queue
}

// arrange returns the k largest of the values, of at least one. Among equal ones the
// choice is torch's: topk arranges with libstdc++'s partial_sort or nth_element (aten
// native/TopKImpl.h), whose steps decide.
func arrange(queue []ranked, values []float32, k int) []ranked {
	queue = grow(queue, len(values))
	for i, v := range values {
		queue[i] = ranked{v, int32(i)}
	}
	if k*64 <= len(queue) {
		heapSelect(queue, k)
	} else {
		introSelect(queue, k-1)
	}
	return queue[:k]
}

// before tells whether a comes first: NaN before all, then the greater.
func before(a, b ranked) bool {
	return a.value > b.value || a.value != a.value && b.value == b.value
}

// introSelect is std::nth_element for the element nth.
func introSelect(all []ranked, nth int) {
	first, last := 0, len(all)
	limit := 2 * (bits.Len(uint(last)) - 1)
	for last-first > 3 {
		if limit == 0 {
			heapSelect(all[first:last], nth+1-first)
			all[first], all[nth] = all[nth], all[first]
			return
		}
		limit--
		cut := first + partition(all[first:last])
		if cut <= nth {
			first = cut
		} else {
			last = cut
		}
	}
	insertionSort(all[first:last])
}

// partition splits about the median of three and returns where the second part begins.
func partition(a []ranked) int {
	x, y, z := 1, len(a)/2, len(a)-1
	median := y
	switch {
	case before(a[x], a[y]):
		if !before(a[y], a[z]) {
			median = x
			if before(a[x], a[z]) {
				median = z
			}
		}
	case before(a[x], a[z]):
		median = x
	case before(a[y], a[z]):
		median = z
	}
	a[0], a[median] = a[median], a[0]
	lo, hi := 1, len(a)
	for {
		for before(a[lo], a[0]) {
			lo++
		}
		hi--
		for before(a[0], a[hi]) {
			hi--
		}
		if lo >= hi {
			return lo
		}
		a[lo], a[hi] = a[hi], a[lo]
		lo++
	}
}

func insertionSort(a []ranked) {
	for i := 1; i < len(a); i++ {
		for j := i; j > 0 && before(a[j], a[j-1]); j-- {
			a[j], a[j-1] = a[j-1], a[j]
		}
	}
}

// heapSelect brings the first k of the order to the front.
func heapSelect(a []ranked, k int) {
	heap := a[:k]
	for parent := (k - 2) / 2; parent >= 0 && k > 1; parent-- {
		sift(heap, parent, heap[parent])
	}
	for i := k; i < len(a); i++ {
		if before(a[i], a[0]) {
			v := a[i]
			a[i] = a[0]
			sift(heap, 0, v)
		}
	}
}

// sortHeap is std::sort_heap.
func sortHeap(heap []ranked) {
	for n := len(heap) - 1; n > 0; n-- {
		v := heap[n]
		heap[n] = heap[0]
		sift(heap[:n], 0, v)
	}
}

// sift is std::__adjust_heap: the hole sinks to a leaf, then the value rises.
func sift(heap []ranked, hole int, v ranked) {
	top, child, n := hole, hole, len(heap)
	for child < (n-1)/2 {
		child = 2 * (child + 1)
		if before(heap[child], heap[child-1]) {
			child--
		}
		heap[hole] = heap[child]
		hole = child
	}
	if n%2 == 0 && child == (n-2)/2 {
		child = 2 * (child + 1)
		heap[hole] = heap[child-1]
		hole = child - 1
	}
	for hole > top {
		parent := (hole - 1) / 2
		if !before(heap[parent], v) {
			break
		}
		heap[hole] = heap[parent]
		hole = parent
	}
	heap[hole] = v
}
