//go:build amd64 && !purego

package kernel_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"testing"
)

// tileUnit interprets the tile instructions of one thread, as Intel's Software
// Developer's Manual describes them. What the processor refuses is an error, and so is
// what our functions never mean to do.
type tileUnit struct {
	configured bool
	rows       [8]int
	bytes      [8]int          // of a row
	data       [8][16][64]byte // zero outside of rows and bytes
}

// machine is what an instruction finds around the unit.
type machine struct {
	register func(number int) uint64
	next     uint64 // address of the next instruction
	// read and write move n rows, a stride from each other.
	read, write func(rows [][]byte, at, stride uint64) error
}

// The six instructions.
const (
	opLDTILECFG   = "LDTILECFG"
	opTILERELEASE = "TILERELEASE"
	opTILEZERO    = "TILEZERO"
	opTILELOADD   = "TILELOADD"
	opTILESTORED  = "TILESTORED"
	opTDPBF16PS   = "TDPBF16PS"
)

// tileInstruction is one of them, decoded.
type tileInstruction struct {
	name         string
	length       int
	reg, rm, v   int // tiles
	base, index  int // registers, or none
	scale        uint
	displacement int32
	relative     bool // to the next instruction
}

const none = -1

// decodeTile decodes the instruction at the beginning of code; ok is false where it is
// not one of a tile unit.
func decodeTile(code []byte) (in tileInstruction, ok bool) {
	if len(code) < 5 || code[0] != 0xc4 || code[1]&0x1f != 2 || code[2]&0x84 != 0 {
		return in, false // not VEX.128.0F38.W0
	}
	r, x, b := int(^code[1]>>7&1), int(^code[1]>>6&1), int(^code[1]>>5&1)
	in.v = int(^code[2] >> 3 & 15)
	prefix, op, modrm := code[2]&3, code[3], code[4]
	mode := modrm >> 6
	in.reg, in.rm, in.length = int(modrm>>3&7), int(modrm&7), 5
	in.base, in.index = none, none
	if r != 0 {
		return in, false
	}
	switch {
	case op == 0x49 && prefix == 0 && mode == 3 && in.reg == 0 && in.rm == 0 && in.v == 0:
		in.name = opTILERELEASE
	case op == 0x49 && prefix == 0 && mode != 3 && in.reg == 0 && in.v == 0:
		in.name = opLDTILECFG
	case op == 0x49 && prefix == 3 && mode == 3 && in.rm == 0 && in.v == 0:
		in.name = opTILEZERO
	case op == 0x4b && prefix == 3 && mode != 3 && in.rm == 4 && in.v == 0:
		in.name = opTILELOADD
	case op == 0x4b && prefix == 2 && mode != 3 && in.rm == 4 && in.v == 0:
		in.name = opTILESTORED
	case op == 0x5c && prefix == 2 && mode == 3 && in.v < 8 && b == 0:
		in.name = opTDPBF16PS
	default:
		return in, false
	}
	if mode == 3 {
		return in, true
	}
	return in, in.operand(code, mode, x, b)
}

// operand decodes the memory operand.
func (in *tileInstruction) operand(code []byte, mode byte, x, b int) bool {
	low := in.rm
	if low == 4 {
		if len(code) < 6 {
			return false
		}
		sib := code[5]
		in.length++
		low = int(sib & 7)
		if index := int(sib>>3&7) | x<<3; index != 4 {
			in.index, in.scale = index, uint(sib>>6)
		}
	}
	size := map[byte]int{1: 1, 2: 4}[mode]
	switch {
	case mode == 0 && low == 5:
		size, in.relative = 4, in.rm == 5
	default:
		in.base = low | b<<3
	}
	if len(code) < in.length+size {
		return false
	}
	switch rest := code[in.length:]; size {
	case 1:
		in.displacement = int32(int8(rest[0]))
	case 4:
		in.displacement = int32(binary.LittleEndian.Uint32(rest))
	}
	in.length += size
	return true
}

// address is where the operand begins; stride the distance of its rows.
func (in *tileInstruction) address(m *machine) (at, stride uint64) {
	at = uint64(int64(in.displacement))
	if in.relative {
		at += m.next
	}
	if in.base != none {
		at += m.register(in.base)
	}
	if in.index != none {
		stride = m.register(in.index) << in.scale
	}
	return at, stride
}

// run executes an instruction.
func (u *tileUnit) run(in *tileInstruction, m *machine) error {
	at, stride := in.address(m)
	switch in.name {
	case opLDTILECFG:
		var config [64]byte
		if err := m.read([][]byte{config[:]}, at+stride, 0); err != nil {
			return err
		}
		return u.configure(&config)
	case opTILERELEASE:
		*u = tileUnit{}
		return nil
	case opTDPBF16PS:
		return u.multiply(in.reg, in.rm, in.v)
	}
	if err := u.usable(in.reg); err != nil {
		return err
	}
	rows := make([][]byte, u.rows[in.reg])
	for i := range rows {
		rows[i] = u.data[in.reg][i][:u.bytes[in.reg]]
	}
	switch in.name {
	case opTILELOADD:
		return m.read(rows, at, stride)
	case opTILESTORED:
		return m.write(rows, at, stride)
	default:
		u.data[in.reg] = [16][64]byte{}
		return nil
	}
}

// configure takes a palette of 8 tiles of up to 16 rows of 64 bytes.
func (u *tileUnit) configure(c *[64]byte) error {
	if u.configured {
		return errors.New("configured again without a TILERELEASE")
	}
	if c[0] != 1 || c[1] != 0 {
		return fmt.Errorf("#GP: palette %d, first row %d", c[0], c[1])
	}
	for _, reserved := range [][]byte{c[2:16], c[32:48], c[56:64]} {
		for _, b := range reserved {
			if b != 0 {
				return fmt.Errorf("#GP: a reserved byte is set: % x", *c)
			}
		}
	}
	*u = tileUnit{configured: true}
	for t := range 8 {
		rows, bytes := int(c[48+t]), int(binary.LittleEndian.Uint16(c[16+2*t:]))
		if rows > 16 || bytes > 64 || (rows == 0) != (bytes == 0) {
			return fmt.Errorf("#GP: tile %d has %d rows of %d bytes", t, rows, bytes)
		}
		u.rows[t], u.bytes[t] = rows, bytes
	}
	return nil
}

func (u *tileUnit) usable(t int) error {
	if !u.configured || u.rows[t] == 0 {
		return fmt.Errorf("#UD: tile %d is not configured", t)
	}
	return nil
}

// multiply adds to the tile sum the product of the tiles a and b.
func (u *tileUnit) multiply(sum, a, b int) error {
	for _, t := range []int{sum, a, b} {
		if err := u.usable(t); err != nil {
			return err
		}
		if u.bytes[t]%4 != 0 {
			return fmt.Errorf("#UD: tile %d has rows of %d bytes", t, u.bytes[t])
		}
	}
	if sum == a || sum == b || a == b {
		return fmt.Errorf("#UD: the same tile twice in %d, %d, %d", sum, a, b)
	}
	if u.rows[sum] != u.rows[a] || u.bytes[a]/4 != u.rows[b] || u.bytes[sum] != u.bytes[b] {
		return fmt.Errorf("#UD: %d×%d bytes are not %d×%d times %d×%d",
			u.rows[sum], u.bytes[sum], u.rows[a], u.bytes[a], u.rows[b], u.bytes[b])
	}
	cols, pairs := u.bytes[sum]/4, u.rows[b]
	var even, odd [16][16]float32 // of b
	for k := range pairs {
		for j := range cols {
			even[k][j], odd[k][j] = bothBF16(u.data[b][k][4*j:])
		}
	}
	for i := range u.rows[sum] {
		var e, o [16]float32
		for k := range pairs {
			x, y := bothBF16(u.data[a][i][4*k:])
			for j := range cols {
				e[j] = unitFMA(x, even[k][j], e[j])
				o[j] = unitFMA(y, odd[k][j], o[j])
			}
		}
		for j := range cols {
			at := u.data[sum][i][4*j:]
			c := flush(math.Float32frombits(binary.LittleEndian.Uint32(at)))
			c = flush(c + flush(e[j]+o[j]))
			binary.LittleEndian.PutUint32(at, math.Float32bits(c))
		}
	}
	return nil
}

// bothBF16 are two bf16, with zeros for denormal ones.
func bothBF16(b []byte) (low, high float32) {
	w := binary.LittleEndian.Uint32(b)
	return flush(math.Float32frombits(w << 16)), flush(math.Float32frombits(w & 0xffff0000))
}

// flush makes denormal numbers zeros of their sign.
func flush(x float32) float32 {
	if b := math.Float32bits(x); b&0x7f800000 == 0 {
		return math.Float32frombits(b & 0x80000000)
	}
	return x
}

// unitFMA is x·y + z rounded once to nearest even, for x and y that are bf16; what is
// denormal after rounding becomes zero.
func unitFMA(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z) // p is exact
	s := p + c
	if math.Float64bits(s)<<35 == 1<<63 { // halfway, if it is exact
		t := s - p
		switch lost := (p - (s - t)) + (c - t); {
		case lost > 0:
			s = math.Nextafter(s, math.Inf(1))
		case lost < 0:
			s = math.Nextafter(s, math.Inf(-1))
		}
	}
	if math.Abs(s) < 0x1p-126-0x1p-151 {
		return float32(math.Copysign(0, s))
	}
	return float32(s)
}

// TestDecodeTile decodes what the GNU assembler makes of the comments.
func TestDecodeTile(t *testing.T) {
	for code, want := range map[string]tileInstruction{
		"c4e2784903":           {name: opLDTILECFG, length: 5, reg: 0, rm: 3, base: 3, index: none},                                      // (BX)
		"c4e27849442408":       {name: opLDTILECFG, length: 7, rm: 4, base: 4, index: none, displacement: 8},                             // 8(SP)
		"c4e278490578563412":   {name: opLDTILECFG, length: 9, rm: 5, base: none, index: none, displacement: 0x12345678, relative: true}, // 0x12345678(RIP)
		"c4e27849c0":           {name: opTILERELEASE, length: 5, base: none, index: none},
		"c4e27b49e8":           {name: opTILEZERO, length: 5, reg: 5, base: none, index: none},
		"c4a27b4b7c0040":       {name: opTILELOADD, length: 7, reg: 7, rm: 4, base: 0, index: 8, displacement: 64},                // 64(AX)(R8*1)
		"c4c27b4b340a":         {name: opTILELOADD, length: 6, reg: 6, rm: 4, base: 10, index: 1},                                 // (R10)(CX*1)
		"c4a27b4b6cf5ff":       {name: opTILELOADD, length: 7, reg: 5, rm: 4, base: 5, index: 14, scale: 3, displacement: -1},     // -1(BP)(R14*8)
		"c4e27b4b0c2500100000": {name: opTILELOADD, length: 10, reg: 1, rm: 4, base: none, index: none, displacement: 4096},       // 4096
		"c4827a4b94ac80000000": {name: opTILESTORED, length: 10, reg: 2, rm: 4, base: 12, index: 13, scale: 2, displacement: 128}, // 128(R12)(R13*4)
		"c4e2425cc6":           {name: opTDPBF16PS, length: 5, reg: 0, rm: 6, v: 7, base: none, index: none},
		"c4e2525cdc":           {name: opTDPBF16PS, length: 5, reg: 3, rm: 4, v: 5, base: none, index: none},
		"c4e27b5cdc":           {}, // another of the unit's
		"c4e2fb49e8":           {}, // W
		"62f2650052c0":         {}, // EVEX
		"0f0b":                 {},
	} {
		b, err := hex.DecodeString(code)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := decodeTile(b)
		if ok != (want.name != "") || ok && got != want {
			t.Errorf("%s: got %+v, want %+v", code, got, want)
		}
		for n := range b {
			if got, ok := decodeTile(b[:n]); ok {
				t.Errorf("%x, too short: got %+v", b[:n], got)
			}
		}
	}
}
