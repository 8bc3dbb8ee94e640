package main

import (
	"bytes"
	"testing"
)

// TestBroadcast holds encodings against those of the GNU assembler.
func TestBroadcast(t *testing.T) {
	for _, c := range []struct {
		sum, x int
		m      memory
		want   []byte
	}{
		{0, 24, memory{base: "DX"}, []byte{0x62, 0xf2, 0x3e, 0x50, 0x52, 0x02}},
		{9, 25, memory{4, "DX", "R10"}, []byte{0x62, 0x32, 0x36, 0x50, 0x52, 0x4c, 0x12, 0x01}},
		{22, 27, memory{at: 4, base: "R13"}, []byte{0x62, 0xc2, 0x26, 0x50, 0x52, 0x75, 0x01}},
		{31, 7, memory{8, "R13", "R10"}, []byte{0x62, 0x02, 0x46, 0x58, 0x52, 0x7c, 0x15, 0x02}},
		{16, 15, memory{12, "AX", "CX"}, []byte{0x62, 0xe2, 0x06, 0x58, 0x52, 0x44, 0x08, 0x03}},
	} {
		if got := vdpbf16ps(c.sum, c.x, c.m); !bytes.Equal(got, c.want) {
			t.Errorf("vdpbf16ps(%d, %d, %v) = %x, want %x", c.sum, c.x, c.m, got, c.want)
		}
	}
}
