package safetensors_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"lorafs/safetensors"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.safetensors")
	w, err := safetensors.FromBytes(safetensors.Info{Name: "w", DType: safetensors.BF16, Shape: []int64{2}}, []byte{0x80, 0x3f, 0x00, 0xc0})
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, map[string]string{"format": "pt"}, []*safetensors.Tensor{w}); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		log.Fatal(err)
	}

	f, err := safetensors.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for _, t := range f.Tensors() {
		data, err := t.Slice(0, t.Size())
		if err != nil {
			log.Fatal(err)
		}
		values := make([]float32, 2)
		if err := safetensors.AsFloat32(values, data, t.DType); err != nil {
			log.Fatal(err)
		}
		fmt.Println(t.Name, t.DType, t.Shape, values)
	}
	// Output: w BF16 [2] [1 -2]
}

func ExampleReadHeader() {
	file := []byte("\x02\x00\x00\x00\x00\x00\x00\x00{}surplus")
	_, err := safetensors.ReadHeader(bytes.NewReader(file), int64(len(file)))
	var e *safetensors.Error
	if errors.As(err, &e) {
		fmt.Println(e.Kind)
	}
	fmt.Println(err)
	// Output:
	// MetadataIncompleteBuffer
	// MetadataIncompleteBuffer: incomplete metadata, file not fully covered: tensors take 0 bytes, data section has 7
}

func ExampleBuild() {
	l, err := safetensors.Build([]safetensors.Info{
		{Name: "embed", DType: safetensors.F32, Shape: []int64{4, 8}},
		{Name: "head", DType: safetensors.F32, Shape: []int64{8}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(l.Header), l.Offsets, l.Size)
	// Output: 192 [192 320] 352
}

func ExampleParseIndex() {
	x, err := safetensors.ParseIndex([]byte(`{"metadata":{"total_size":8},"weight_map":{"w":"model-00001-of-00001.safetensors"}}`))
	if err != nil {
		log.Fatal(err)
	}
	text, err := x.Encode()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(text))
	// Output:
	// {
	//   "metadata": {
	//     "total_size": 8
	//   },
	//   "weight_map": {
	//     "w": "model-00001-of-00001.safetensors"
	//   }
	// }
}
