package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"thermocline/simulate"
	"thermocline/simulate/report"
	"thermocline/trace"
)

func results(t *testing.T) []*simulate.Result {
	t.Helper()
	var counts []trace.Count
	for m := range 40 {
		counts = append(counts, trace.Count{Minute: m, N: 1 + m%7*m%5})
	}
	w, err := trace.New([]trace.Function{{ID: "a", MemoryMB: 100}, {ID: "b", MemoryMB: 200}}, 40, [][]trace.Count{counts, counts[:20]})
	if err != nil {
		t.Fatal(err)
	}
	o := simulate.Defaults()
	o.Warmup, o.LoseInstance = 0, 20*time.Minute
	o.Burst = &trace.Burst{Functions: []int{0}, Factor: 5, From: 10 * time.Minute, To: 12 * time.Minute}
	c := simulate.Campaign{Options: o, Policies: simulate.Policies(), Seeds: []uint64{1, 2}}
	r, err := c.Run(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPage(t *testing.T) {
	r := results(t)
	facts := []report.Fact{{Name: "trace", Value: "<b>small</b>"}}
	page, err := report.Page("Policies", facts, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<h1>Policies</h1>", "&lt;b&gt;small", "hybrid-histogram, seed 2", "The loss of an instance", "without and with the burst", "Okabe",
	} {
		if found := strings.Contains(string(page), want); found == (want == "Okabe") {
			t.Errorf("%q: %t", want, found)
		}
	}
	if n := strings.Count(string(page), "<svg"); n != 4 {
		t.Errorf("%d plots", n)
	}
	// It needs no network and no scripts.
	if bad := regexp.MustCompile(`<script|<link|<img|@import|url\(|(src|href)=`).Find(page); bad != nil {
		t.Errorf("the page has %s", bad)
	}
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAll(page, -1) {
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("a plot is not well-formed: %v", err)
			}
		}
		if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Error("a plot has a place that is none")
		}
	}
	again, err := report.Page("Policies", facts, r)
	if err != nil || !bytes.Equal(page, again) {
		t.Errorf("the page does not repeat (%v)", err)
	}
}

// Nothing at all, and nothing cold, can be drawn too.
func TestPageOfNothing(t *testing.T) {
	for name, r := range map[string][]*simulate.Result{
		"no result": nil, "nothing happened": {{Policy: "hiku"}},
	} {
		page, err := report.Page("Nothing", nil, r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(page, []byte("NaN")) {
			t.Errorf("%s: the page has NaN", name)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir() + "/new"
	path, err := report.Write(dir, "Policies", nil, results(t)[:2])
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(raw, []byte("</html>\n")) {
		t.Errorf("%s: %d bytes, %v", path, len(raw), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if _, err := report.Write(path, "Policies", nil, nil); err == nil {
		t.Error("a file is no directory")
	}
}
