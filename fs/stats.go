package fs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"lorafs/cache"
)

// statsDocument is .lorafs/stats.json.
type statsDocument struct {
	UptimeSeconds float64           `json:"uptime_seconds"`
	Models        int               `json:"models"`
	Invalid       int               `json:"invalid"`
	Files         int64             `json:"files"`
	Bytes         int64             `json:"bytes"`
	OpenFiles     int               `json:"open_files"`
	Opens         map[string]int64  `json:"opens"`
	Reads         map[string]opStat `json:"reads"`
	Errors        int64             `json:"errors"`
	Interrupted   int64             `json:"interrupted"`
	Cache         *cache.Stats      `json:"cache,omitempty"`
}

type opStat struct {
	Count   int64   `json:"count"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

func (t *tree) statsJSON(models, invalid int) []byte {
	d := statsDocument{
		UptimeSeconds: time.Since(t.stats.started).Round(time.Millisecond).Seconds(),
		Models:        models,
		Invalid:       invalid,
		Files:         t.files.Load(),
		Bytes:         t.bytes.Load(),
		OpenFiles:     t.handles.count(),
		Opens:         make(map[string]int64),
		Reads:         make(map[string]opStat),
		Errors:        t.stats.errors.Load(),
		Interrupted:   t.stats.interrupted.Load(),
	}
	for i := range t.stats.opens {
		d.Opens[kindNames[i]] = t.stats.opens[i].Load()
	}
	for i := range t.stats.reads {
		l := &t.stats.reads[i]
		d.Reads[kindNames[i]] = opStat{l.count(), l.bytes.Load(), time.Duration(l.nanos.Load()).Seconds()}
	}
	if t.cache != nil {
		s := t.cache()
		d.Cache = &s
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

// metrics is .lorafs/metrics, in the text format of Prometheus.
func (t *tree) metrics(models, invalid int) []byte {
	var p prometheus
	p.metric("lorafs_uptime_seconds", "gauge", "Time since the mount.", time.Since(t.stats.started).Seconds())
	p.metric("lorafs_models", "gauge", "Models in the tree.", float64(models))
	p.metric("lorafs_invalid_adapters", "gauge", "Broken adapters in the tree.", float64(invalid))
	p.metric("lorafs_files", "gauge", "Files in the tree.", float64(t.files.Load()))
	p.metric("lorafs_open_files", "gauge", "Files that are open.", float64(t.handles.count()))
	p.metric("lorafs_errors_total", "counter", "Requests answered with an error that is not the client's.", float64(t.stats.errors.Load()))
	p.metric("lorafs_interrupted_total", "counter", "Requests that the client gave up.", float64(t.stats.interrupted.Load()))
	p.head("lorafs_opens_total", "counter", "Files opened, by how they are served.")
	for i := range t.stats.opens {
		p.value("lorafs_opens_total", fmt.Sprintf("kind=%q", kindNames[i]), float64(t.stats.opens[i].Load()))
	}
	p.head("lorafs_read_bytes_total", "counter", "Bytes served; what passes through the kernel is not seen.")
	for i := range t.stats.reads {
		p.value("lorafs_read_bytes_total", fmt.Sprintf("kind=%q", kindNames[i]), float64(t.stats.reads[i].bytes.Load()))
	}
	p.head("lorafs_read_seconds", "histogram", "Time to answer a read.")
	for i := range t.stats.reads {
		p.histogram("lorafs_read_seconds", fmt.Sprintf("kind=%q", kindNames[i]), &t.stats.reads[i])
	}
	if t.cache != nil {
		p.cache(t.cache())
	}
	return p.Bytes()
}

// prometheus writes the text format.
type prometheus struct{ bytes.Buffer }

func (p *prometheus) head(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (p *prometheus) value(name, labels string, v float64) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	fmt.Fprintf(p, "%s%s %g\n", name, labels, v)
}

func (p *prometheus) metric(name, kind, help string, v float64) {
	p.head(name, kind, help)
	p.value(name, "", v)
}

// histogram reads each bucket once, so that the count agrees with the buckets while
// reads go on.
func (p *prometheus) histogram(name, labels string, l *latency) {
	seconds := time.Duration(l.nanos.Load()).Seconds()
	total := int64(0)
	for i := range l.buckets {
		total += l.buckets[i].Load()
		limit := "+Inf"
		if i < len(bounds) {
			limit = fmt.Sprintf("%g", bounds[i].Seconds())
		}
		p.value(name+"_bucket", fmt.Sprintf("%s,le=%q", labels, limit), float64(total))
	}
	p.value(name+"_sum", labels, seconds)
	p.value(name+"_count", labels, float64(total))
}

func (p *prometheus) cache(s cache.Stats) {
	p.metric("lorafs_cache_hits_total", "counter", "Requests answered from the cache.", float64(s.Hits))
	p.metric("lorafs_cache_waits_total", "counter", "Requests answered by a computation under way.", float64(s.Waits))
	p.metric("lorafs_cache_misses_total", "counter", "Requests that computed.", float64(s.Misses))
	p.metric("lorafs_cache_failures_total", "counter", "Computations that failed or were given up.", float64(s.Failures))
	p.metric("lorafs_cache_evictions_total", "counter", "Values dropped to make room.", float64(s.Evictions))
	p.metric("lorafs_cache_entries", "gauge", "Values kept.", float64(s.Entries))
	p.metric("lorafs_cache_bytes", "gauge", "Memory held within the capacity.", float64(s.Bytes))
	p.metric("lorafs_cache_private_bytes", "gauge", "Memory of values that found no room.", float64(s.Private))
	p.metric("lorafs_cache_capacity_bytes", "gauge", "Most memory that is held.", float64(s.Capacity))
}
