package main

import "fmt"

// The tile instructions, which the assembler lacks. All of them are VEX.128.0F38.W0;
// the mandatory prefix tells those of an opcode apart.
const (
	vexNone = iota
	vex66
	vexF3
	vexF2
)

const (
	opConfig  = 0x49 // LDTILECFG, TILERELEASE and TILEZERO
	opMove    = 0x4b // TILELOADD and TILESTORED
	opProduct = 0x5c // TDPBF16PS
)

// registers in the order of their numbers.
var registers = []string{"AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}

func number(register string) int {
	for i, r := range registers {
		if r == register {
			return i
		}
	}
	panic("no register " + register)
}

// memory is an operand: base + index + at. Without an index it is base + at; with one,
// a row of a tile lies the index behind the one before.
type memory struct {
	at          int
	base, index string
}

func (m memory) String() string {
	s := fmt.Sprintf("(%s)", m.base)
	if m.index != "" {
		s += fmt.Sprintf("(%s*1)", m.index)
	}
	if m.at != 0 {
		s = fmt.Sprint(m.at) + s
	}
	return s
}

// vex encodes an instruction with registers only. Tiles are 0 to 7, so that no
// extension bit is needed, and v is that of the third operand.
func vex(prefix, op, reg, v, rm int) []byte {
	return []byte{0xc4, 0xe2, byte(^v&15<<3 | prefix), byte(op), byte(0xc0 | reg<<3 | rm)}
}

// numbers are those of the registers, that of the index 4 where there is none.
func (m memory) numbers() (base, index int) {
	const none = 4
	if m.index == "" {
		return number(m.base), none
	}
	if index = number(m.index); index == none {
		panic("SP cannot be an index")
	}
	return number(m.base), index
}

// operand encodes the operand beside a register. A short displacement counts units.
func (m memory) operand(reg, unit int) []byte {
	base, index := m.numbers()
	mode, at := 0, []byte{}
	short := m.at / unit
	switch {
	case m.at == 0 && base&7 != 5:
	case m.at%unit == 0 && short == int(int8(short)):
		mode, at = 1, []byte{byte(short)}
	default:
		mode, at = 2, []byte{byte(m.at), byte(m.at >> 8), byte(m.at >> 16), byte(m.at >> 24)}
	}
	reg = reg & 7 << 3
	if m.index == "" && base&7 != 4 {
		return append([]byte{byte(mode<<6 | reg | base&7)}, at...)
	}
	return append([]byte{byte(mode<<6 | reg | 4), byte(index&7<<3 | base&7)}, at...)
}

// vexMemory encodes an instruction with a memory operand.
func vexMemory(prefix, op, reg int, m memory) []byte {
	base, index := m.numbers()
	code := []byte{0xc4, byte(0xe2 ^ index>>3<<6 ^ base>>3<<5), byte(15<<3 | prefix), byte(op)}
	return append(code, m.operand(reg, 1)...)
}

func ldtilecfg(m memory) []byte         { return vexMemory(vexNone, opConfig, 0, m) }
func tilerelease() []byte               { return vex(vexNone, opConfig, 0, 0, 0) }
func tilezero(t int) []byte             { return vex(vexF2, opConfig, t, 0, 0) }
func tileloadd(t int, m memory) []byte  { return vexMemory(vexF2, opMove, t, m) }
func tilestored(t int, m memory) []byte { return vexMemory(vexF3, opMove, t, m) }

// tdpbf16ps adds to the tile sum the product of a, rows of pairs along k, and b, a pair
// of k in each row.
func tdpbf16ps(sum, a, b int) []byte { return vex(vexF3, opProduct, sum, b, a) }

// raw prints an instruction as bytes, and its name beside them.
func (e *emitter) raw(code []byte, format string, args ...any) {
	s := ""
	for i, x := range code {
		if i > 0 {
			s += "; "
		}
		s += fmt.Sprintf("BYTE $%#02x", x)
	}
	e.op("%s // %s", s, fmt.Sprintf(format, args...))
}
