package report

import (
	"bytes"
	"html/template"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	gdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"thermocline/simulate"
)

const width, height = 18 * vg.Centimeter, 12 * vg.Centimeter

// palette is Okabe and Ito's, which the colour-blind can tell apart.
var palette = []color.RGBA{
	{213, 94, 0, 255}, {0, 114, 178, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255},
	{86, 180, 233, 255}, {0, 0, 0, 255}, {120, 120, 120, 255}, {150, 110, 60, 255},
}

// draw makes all plots.
func draw(results []*simulate.Result) ([]drawing, error) {
	var all []drawing
	for _, one := range []struct {
		make    func([]*simulate.Result) (*plot.Plot, error)
		caption string
	}{
		{scatter("cold starts, % of invocations", func(r *simulate.Result) float64 { return 100 * r.ColdRatio }),
			"Cold ratio against the memory that waits idle: down and to the left is better. A point is a seed."},
		{scatter("cold starts of rare functions, %", func(r *simulate.Result) float64 { return 100 * r.ColdRatioRare }),
			"The same for the functions that are called at most once a minute."},
		{exceeding, "The share of invocations that start later than so long after their arrival, over all seeds."},
		{delays, "Start delay: mean, 99th and 99.9th percentile, means of the seeds."},
	} {
		p, err := one.make(results)
		if err != nil {
			return nil, err
		}
		c := vgsvg.New(width, height)
		p.Draw(gdraw.New(c))
		var svg bytes.Buffer
		if _, err := c.WriteTo(&svg); err != nil {
			return nil, err
		}
		// The prologue of a file has no place inside of a page.
		raw := svg.Bytes()
		raw = raw[max(0, bytes.Index(raw, []byte("<svg"))):]
		all = append(all, drawing{SVG: template.HTML(raw), Caption: one.caption}) // ours, and names are drawn as escaped text
	}
	return all, nil
}

// policies returns the results by policy, in the order in which they come.
func policies(results []*simulate.Result) (names []string, of map[string][]*simulate.Result) {
	of = map[string][]*simulate.Result{}
	for _, r := range results {
		if of[r.Policy] == nil {
			names = append(names, r.Policy)
		}
		of[r.Policy] = append(of[r.Policy], r)
	}
	return names, of
}

func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	return p
}

// logarithmic has an axis in decades; nothing on it is smaller than least.
func logarithmic(a *plot.Axis, least, most float64) {
	a.Scale, a.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	a.Min = math.Pow(10, math.Floor(math.Log10(least)))
	a.Max = math.Pow(10, math.Ceil(math.Log10(max(most, 2*least))))
}

// scatter plots a share in percent against idle memory.
func scatter(label string, of func(*simulate.Result) float64) func([]*simulate.Result) (*plot.Plot, error) {
	return func(results []*simulate.Result) (*plot.Plot, error) {
		p := newPlot("idle memory, thousand GB·s", label)
		names, by := policies(results)
		least, most, far := math.Inf(1), 0.0, 1.0
		for i, name := range names {
			var points plotter.XYs
			for _, r := range by[name] {
				if y := of(r); y > 0 { // nothing has no logarithm
					points = append(points, plotter.XY{X: r.IdleGBs / 1000, Y: y})
					far = max(far, r.IdleGBs/1000)
					least, most = min(least, y), max(most, y)
				}
			}
			if points == nil {
				continue
			}
			s, err := plotter.NewScatter(points)
			if err != nil {
				return nil, err
			}
			s.Color, s.Shape, s.Radius = palette[i%len(palette)], shape(i), vg.Points(4)
			p.Add(s)
			p.Legend.Add(name, s)
		}
		p.X.Min, p.X.Max = 0, far*1.35 // with a place for the legend
		if most > 0 {
			logarithmic(&p.Y, least, most)
		}
		return p, nil
	}
}

func shape(i int) gdraw.GlyphDrawer {
	shapes := []gdraw.GlyphDrawer{gdraw.CircleGlyph{}, gdraw.SquareGlyph{}, gdraw.TriangleGlyph{}, gdraw.RingGlyph{}, gdraw.CrossGlyph{}}
	return shapes[i%len(shapes)]
}

// exceeding plots the complement of the distribution of start delays.
func exceeding(results []*simulate.Result) (*plot.Plot, error) {
	p := newPlot("start delay, ms", "share that is delayed longer, %")
	names, by := policies(results)
	least, most, far := math.Inf(1), 0.0, 10.0
	for i, name := range names {
		var line plotter.XYs
		for x := 1.0; x <= 1e7; x *= 1.05 {
			y := 0.0
			for _, r := range by[name] {
				y += 100 * r.Exceeding(x) / float64(len(by[name]))
			}
			if y <= 0 {
				break
			}
			line = append(line, plotter.XY{X: x, Y: y})
			least, most, far = min(least, y), max(most, y), max(far, x)
		}
		if line == nil {
			continue
		}
		l, err := plotter.NewLine(line)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width = palette[i%len(palette)], vg.Points(1.5)
		p.Add(l)
		p.Legend.Add(name, l)
	}
	if most > 0 {
		logarithmic(&p.X, 1, far*20) // with a place for the legend
		logarithmic(&p.Y, least, most)
	}
	return p, nil
}

// delays plots bars.
func delays(results []*simulate.Result) (*plot.Plot, error) {
	p := newPlot("", "start delay, ms")
	means := simulate.Mean(results)
	kinds := []struct {
		name string
		of   func(*simulate.Result) float64
	}{
		{"mean", func(r *simulate.Result) float64 { return r.StartDelayMean }},
		{"p99", func(r *simulate.Result) float64 { return r.StartDelayP99 }},
		{"p99.9", func(r *simulate.Result) float64 { return r.StartDelayP999 }},
	}
	bar := vg.Points(9)
	for k, kind := range kinds {
		var values plotter.Values
		for _, r := range means {
			values = append(values, kind.of(r))
		}
		if values == nil {
			return p, nil
		}
		b, err := plotter.NewBarChart(values, bar)
		if err != nil {
			return nil, err
		}
		b.Color, b.LineStyle.Width, b.Offset = palette[k+1], 0, bar*vg.Length(k-1)
		p.Add(b)
		p.Legend.Add(kind.name, b)
	}
	var names []string
	for _, r := range means {
		names = append(names, r.Policy)
	}
	p.NominalX(names...)
	p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = 0.5, gdraw.XRight, gdraw.YCenter
	p.Y.Min, p.Y.Scale, p.Y.Tick.Marker = 0, nearlyLog{}, decades{}
	p.X.Max += 1.5 // a place for the legend
	return p, nil
}

// nearlyLog is the scale log(1+x): decades, and nothing at all has a place.
type nearlyLog struct{}

func (nearlyLog) Normalize(least, most, x float64) float64 {
	log := func(x float64) float64 { return math.Log1p(max(0, x)) }
	return (log(x) - log(least)) / (log(most) - log(least))
}

// decades are the ticks of nearlyLog.
type decades struct{}

func (decades) Ticks(_, most float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 0, Label: "0"}}
	for x := 1.0; x <= most; x *= 10 {
		ticks = append(ticks, plot.Tick{Value: x, Label: strconv.FormatFloat(x, 'f', -1, 64)})
	}
	return ticks
}
