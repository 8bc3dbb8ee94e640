package main

import (
	"bytes"
	"testing"
)

// TestEncoding holds encodings against those of the GNU assembler, which leaves out a
// displacement of zero.
func TestEncoding(t *testing.T) {
	const ax, cx, dx, r10, r13 = 0, 1, 2, 10, 13
	for _, c := range []struct {
		sum, x int
		m      memory
		want   []byte
	}{
		{0, 24, memory{base: dx}, []byte{0x62, 0xf2, 0x3e, 0x50, 0x52, 0x42, 0x00}},
		{9, 25, memory{dx, r10, 1, 4}, []byte{0x62, 0x32, 0x36, 0x50, 0x52, 0x4c, 0x12, 0x01}},
		{22, 27, memory{base: r13, disp: 4}, []byte{0x62, 0xc2, 0x26, 0x50, 0x52, 0x75, 0x01}},
		{31, 7, memory{r13, r10, 1, 8}, []byte{0x62, 0x02, 0x46, 0x58, 0x52, 0x7c, 0x15, 0x02}},
		{16, 15, memory{ax, cx, 1, 12}, []byte{0x62, 0xe2, 0x06, 0x58, 0x52, 0x44, 0x08, 0x03}},
	} {
		if got := vdpbf16ps(c.sum, c.x, c.m); !bytes.Equal(got, c.want) {
			t.Errorf("vdpbf16ps(%d, %d, %v) = %x, want %x", c.sum, c.x, c.m, got, c.want)
		}
	}
}
