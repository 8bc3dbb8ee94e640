package transform

import "math"

// activations are transformers' (activations.py, ACT2CLS of 5.23), without xielu, whose
// parameters are of a model.
var activations = map[string]func(float64) float64{
	"gelu":              gelu,
	"gelu_10":           func(x float64) float64 { return min(max(gelu(x), -10), 10) },
	"gelu_accurate":     geluTanh,
	"gelu_fast":         func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(x*0.7978845608*(1+0.044715*x*x))) },
	"gelu_new":          geluTanh,
	"gelu_python":       gelu,
	"gelu_python_tanh":  geluTanh,
	"gelu_pytorch_tanh": geluTanh,
	"hardswish":         func(x float64) float64 { return x * min(max(x+3, 0), 6) / 6 },
	"laplace":           func(x float64) float64 { return 0.5 * (1 + math.Erf((x-0.707107)/(0.282095*math.Sqrt2))) },
	"leaky_relu":        func(x float64) float64 { return max(x, 0.01*x) },
	"linear":            func(x float64) float64 { return x },
	"mish":              func(x float64) float64 { return x * math.Tanh(softplus(x)) },
	"prelu":             func(x float64) float64 { return max(x, 0.25*x) },
	"quick_gelu":        func(x float64) float64 { return x * sigmoid(1.702*x) },
	"relu":              relu,
	"relu2":             func(x float64) float64 { return relu(x) * relu(x) },
	"relu6":             func(x float64) float64 { return min(relu(x), 6) },
	"sigmoid":           sigmoid,
	"silu":              silu,
	"sqrtsoftplus":      func(x float64) float64 { return math.Sqrt(softplus(x)) },
	"swish":             silu,
	"tanh":              math.Tanh,
}

func relu(x float64) float64 { return max(x, 0) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func silu(x float64) float64 { return x * sigmoid(x) }

func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// softplus is torch's, the identity from 20 on.
func softplus(x float64) float64 {
	if x > 20 {
		return x
	}
	return math.Log1p(math.Exp(x))
}

// HasActivation tells whether transformers' activation of that name is known.
func HasActivation(name string) bool { return activations[name] != nil }
