package pickle

import (
	"math"
	"strconv"
)

// The instructions of protocols 0 to 5.
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opDup            = '2'
	opFloat          = 'F'
	opInt            = 'I'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opLong           = 'L'
	opBinInt2        = 'M'
	opNone           = 'N'
	opPersID         = 'P'
	opBinPersID      = 'Q'
	opReduce         = 'R'
	opString         = 'S'
	opBinString      = 'T'
	opShortBinString = 'U'
	opUnicode        = 'V'
	opBinUnicode     = 'X'
	opAppend         = 'a'
	opBuild          = 'b'
	opGlobal         = 'c'
	opDict           = 'd'
	opEmptyDict      = '}'
	opAppends        = 'e'
	opGet            = 'g'
	opBinGet         = 'h'
	opInst           = 'i'
	opLongBinGet     = 'j'
	opList           = 'l'
	opEmptyList      = ']'
	opObj            = 'o'
	opPut            = 'p'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opEmptyTuple     = ')'
	opSetItems       = 'u'
	opBinFloat       = 'G'

	opProto    = 0x80
	opNewObj   = 0x81
	opExt1     = 0x82
	opExt2     = 0x83
	opExt4     = 0x84
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNewTrue  = 0x88
	opNewFalse = 0x89
	opLong1    = 0x8a
	opLong4    = 0x8b

	opBinBytes      = 'B'
	opShortBinBytes = 'C'

	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinBytes8       = 0x8e
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opNewObjEx        = 0x92
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95

	opByteArray8 = 0x96
)

const lastProtocol = 5

// families of instructions, those that are most often met first. Each says whether an
// instruction was its own.
var families = []func(*decoder, byte) (bool, error){
	(*decoder).stepMemo, (*decoder).stepContainer, (*decoder).stepConstant, (*decoder).stepText, (*decoder).stepObject,
}

// run does instructions up to STOP.
func (d *decoder) run() (any, error) {
	for {
		d.start = d.read
		op, err := d.byte()
		if err != nil {
			return nil, err
		}
		if op == opStop {
			return d.pop()
		}
		if err := d.step(op); err != nil {
			return nil, err
		}
	}
}

func (d *decoder) step(op byte) error {
	switch op {
	case opProto:
		if v, err := d.byte(); err != nil || v > lastProtocol {
			return firstError(err, refuse("protocol %d", v))
		}
		return nil
	case opFrame:
		_, err := d.number(8)
		return err
	case opMark:
		return d.mark()
	case opPop:
		return d.drop()
	case opPopMark:
		_, err := d.popMark()
		return err
	case opDup:
		v, err := d.top()
		if err != nil {
			return err
		}
		return d.push(v)
	}
	for _, family := range families {
		if done, err := family(d, op); done || err != nil {
			return err
		}
	}
	return refuse("unknown instruction %#02x", op)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// drop is POP, which takes a mark too when nothing lies above it.
func (d *decoder) drop() error {
	if len(d.marks) > 0 && len(d.stack) == d.floor() {
		d.marks = d.marks[:len(d.marks)-1]
		return nil
	}
	_, err := d.pop()
	return err
}

// stepConstant does the instructions that push numbers and the like.
func (d *decoder) stepConstant(op byte) (bool, error) {
	switch op {
	case opNone:
		return true, d.push(nil)
	case opNewTrue:
		return true, d.push(true)
	case opNewFalse:
		return true, d.push(false)
	case opBinInt:
		v, err := d.number(4)
		return true, d.pushed(int64(int32(v)), err)
	case opBinInt1:
		v, err := d.number(1)
		return true, d.pushed(int64(v), err)
	case opBinInt2:
		v, err := d.number(2)
		return true, d.pushed(int64(v), err)
	case opLong1:
		return true, d.long(1)
	case opLong4:
		return true, d.long(4)
	case opBinFloat:
		b, err := d.bytes(8)
		if err != nil {
			return true, err
		}
		return true, d.push(math.Float64frombits(bigEndian(b)))
	case opInt, opLong, opFloat:
		text, err := d.line()
		if err != nil {
			return true, err
		}
		v, err := parseNumber(op, text)
		return true, d.pushed(v, err)
	}
	return false, nil
}

func bigEndian(b []byte) uint64 {
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// pushed pushes what a step gave, unless it failed.
func (d *decoder) pushed(v any, err error) error {
	if err != nil {
		return err
	}
	return d.push(v)
}

// stepText does the instructions that push strings and bytes.
func (d *decoder) stepText(op byte) (bool, error) {
	switch op {
	case opString, opUnicode:
		text, err := d.line()
		if err != nil {
			return true, err
		}
		v, err := parseText(op, text)
		return true, d.pushed(v, err)
	case opShortBinString, opShortBinUnicode:
		return true, d.sized(1, true)
	case opBinString, opBinUnicode:
		return true, d.sized(4, true)
	case opBinUnicode8:
		return true, d.sized(8, true)
	case opShortBinBytes:
		return true, d.sized(1, false)
	case opBinBytes:
		return true, d.sized(4, false)
	case opBinBytes8, opByteArray8:
		return true, d.sized(8, false)
	}
	return false, nil
}

// sized reads a length of so many bytes and that much content.
func (d *decoder) sized(lengthBytes int, text bool) error {
	n, err := d.number(lengthBytes)
	if err != nil {
		return err
	}
	b, err := d.bytes(n)
	if err != nil {
		return err
	}
	if text {
		return d.push(string(b))
	}
	return d.push(b)
}

// stepMemo does the instructions that keep values and give them again.
func (d *decoder) stepMemo(op byte) (bool, error) {
	switch op {
	case opMemoize:
		return true, d.remember(d.memoized())
	case opPut, opGet:
		text, err := d.line()
		if err != nil {
			return true, err
		}
		i, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return true, refuse("memo entry %q", shorten(text))
		}
		if op == opPut {
			return true, d.remember(i)
		}
		return true, d.recall(i)
	case opBinPut, opLongBinPut:
		i, err := d.number(operandBytes(op == opLongBinPut))
		if err != nil {
			return true, err
		}
		return true, d.remember(i)
	case opBinGet, opLongBinGet:
		i, err := d.number(operandBytes(op == opLongBinGet))
		if err != nil {
			return true, err
		}
		return true, d.recall(i)
	}
	return false, nil
}

func operandBytes(long bool) int {
	if long {
		return 4
	}
	return 1
}
