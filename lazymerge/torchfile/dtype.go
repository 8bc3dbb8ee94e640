package torchfile

import "lorafs/safetensors"

// elementType is a dtype of torch: its width, and its form in safetensors where it has
// one.
type elementType struct {
	name  string
	bytes int64
	dtype safetensors.DType // Unknown where there is none
}

// elementTypes are torch's dtypes by their names, without "torch.". Quantised ones
// need more than their elements.
var elementTypes = func() map[string]*elementType {
	m := make(map[string]*elementType)
	for _, t := range []elementType{
		{"bool", 1, safetensors.BOOL},
		{"uint8", 1, safetensors.U8},
		{"int8", 1, safetensors.I8},
		{"int16", 2, safetensors.I16},
		{"uint16", 2, safetensors.U16},
		{"int32", 4, safetensors.I32},
		{"uint32", 4, safetensors.U32},
		{"int64", 8, safetensors.I64},
		{"uint64", 8, safetensors.U64},
		{"float16", 2, safetensors.F16},
		{"bfloat16", 2, safetensors.BF16},
		{"float32", 4, safetensors.F32},
		{"float64", 8, safetensors.F64},
		{"complex64", 8, safetensors.C64},
		{"float8_e4m3fn", 1, safetensors.F8E4M3},
		{"float8_e5m2", 1, safetensors.F8E5M2},
		{"float8_e4m3fnuz", 1, safetensors.F8E4M3FNUZ},
		{"float8_e5m2fnuz", 1, safetensors.F8E5M2FNUZ},
		{"float8_e8m0fnu", 1, safetensors.F8E8M0},
		{"complex32", 4, safetensors.Unknown},
		{"complex128", 16, safetensors.Unknown},
		{"float4_e2m1fn_x2", 1, safetensors.Unknown},
		{"quint8", 1, safetensors.Unknown},
		{"qint8", 1, safetensors.Unknown},
		{"qint32", 4, safetensors.Unknown},
		{"quint4x2", 1, safetensors.Unknown},
		{"quint2x4", 1, safetensors.Unknown},
		{"bits8", 1, safetensors.Unknown},
		{"bits16", 2, safetensors.Unknown},
		{"bits1x8", 1, safetensors.Unknown},
		{"bits2x4", 1, safetensors.Unknown},
		{"bits4x2", 1, safetensors.Unknown},
	} {
		m[t.name] = &t
	}
	for alias, name := range map[string]string{
		"float": "float32", "double": "float64", "half": "float16", "short": "int16", "int": "int32", "long": "int64",
		"cfloat": "complex64", "cdouble": "complex128", "chalf": "complex32",
	} {
		m[alias] = m[name]
	}
	return m
}()

// untyped is the type of storages that are bytes.
var untyped = &elementType{"untyped", 1, safetensors.U8}

// storageTypes are the element types of torch's storage classes, by the class's name.
// Modules differ: torch, torch.storage, torch.cuda.
var storageTypes = map[string]*elementType{
	"UntypedStorage":       untyped,
	"_UntypedStorage":      untyped,
	"BoolStorage":          elementTypes["bool"],
	"ByteStorage":          elementTypes["uint8"],
	"CharStorage":          elementTypes["int8"],
	"ShortStorage":         elementTypes["int16"],
	"IntStorage":           elementTypes["int32"],
	"LongStorage":          elementTypes["int64"],
	"HalfStorage":          elementTypes["float16"],
	"BFloat16Storage":      elementTypes["bfloat16"],
	"FloatStorage":         elementTypes["float32"],
	"DoubleStorage":        elementTypes["float64"],
	"ComplexFloatStorage":  elementTypes["complex64"],
	"ComplexDoubleStorage": elementTypes["complex128"],
	"QUInt8Storage":        elementTypes["quint8"],
	"QInt8Storage":         elementTypes["qint8"],
	"QInt32Storage":        elementTypes["qint32"],
	"QUInt4x2Storage":      elementTypes["quint4x2"],
	"QUInt2x4Storage":      elementTypes["quint2x4"],
}
