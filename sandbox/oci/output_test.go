package oci_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"thermocline/sandbox"
	"thermocline/sandbox/oci"
)

// pipe makes a pipe whose lines are collected.
func pipe(t testing.TB) (p *oci.Pipe, lines *[]sandbox.Line) {
	t.Helper()
	lines = new([]sandbox.Line)
	p, err := oci.NewPipe(func(l sandbox.Line) { *lines = append(*lines, l) })
	if err != nil {
		t.Fatal(err)
	}
	return p, lines
}

// What is written before the first invocation waits for it; what is written
// before Drain is there after it; what comes between invocations has no id.
func TestOutputRequests(t *testing.T) {
	p, lines := pipe(t)
	write := func(text string) {
		if _, err := p.W.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("init\n")
	p.SetRequest("1")
	write("one\npart")
	p.Drain()
	p.SetRequest("")
	write("between\n")
	p.Drain()
	p.SetRequest("2")
	write("two")
	p.W.Close()
	p.Close()
	var got []string
	for _, l := range *lines {
		got = append(got, l.RequestID+":"+l.Text)
		if time.Since(l.Time) > time.Minute {
			t.Errorf("the line's time is %v", l.Time)
		}
	}
	if s := strings.Join(got, " "); s != "1:init 1:one 1:part :between 2:two" {
		t.Errorf("the lines are %s", s)
	}
}

// A slow receiver holds the writer up, and nothing is lost.
func TestOutputBackpressure(t *testing.T) {
	n := 0
	p, err := oci.NewPipe(func(l sandbox.Line) {
		if n++; n%1000 == 0 {
			time.Sleep(time.Millisecond)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.SetRequest("1")
	line := strings.Repeat("x", 99) + "\n"
	for range 20000 { // 2 MB through a pipe of 256 KB
		if _, err := p.W.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	p.Drain()
	if n != 20000 {
		t.Errorf("%d lines came", n)
	}
	p.W.Close()
	p.Close()
}

// Who writes more than the bounds waits; Close does not, and loses nothing.
func TestOutputRate(t *testing.T) {
	n := 0
	p, err := oci.NewPipe(func(l sandbox.Line) { n += len(l.Text) + 1 })
	if err != nil {
		t.Fatal(err)
	}
	p.SetRequest("1")
	line := []byte(strings.Repeat("x", 64<<10-1) + "\n")
	const mb = 6 // of which 4 at once and 4 a second
	began := time.Now()
	for range mb << 4 {
		if _, err := p.W.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 400*time.Millisecond || took > 5*time.Second {
		t.Errorf("%d MB took %v", mb, took)
	}
	p.W.Close()
	began = time.Now()
	p.Close()
	if took := time.Since(began); took > time.Second || n != mb<<20 {
		t.Errorf("Close took %v, and %d bytes came", took, n)
	}
}

func FuzzOutput(f *testing.F) {
	f.Add([]byte("a\nb"), 1)
	f.Add([]byte("\n\n\xff\xfe\n"), 2)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		if len(data) > 16<<10 { // short of the rate's bounds, whatever is in it
			return
		}
		p, lines := pipe(t)
		p.SetRequest("1")
		for rest := data; len(rest) > 0; {
			n := min(max(step, 1), len(rest))
			if _, err := p.W.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		p.W.Close()
		p.Close()
		var want []string
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSuffix(line, "\n")
			want = append(want, strings.ToValidUTF8(line[:min(len(line), 256<<10)], "\uFFFD"))
		}
		if len(*lines) != len(want) {
			t.Fatalf("%d lines, want %d", len(*lines), len(want))
		}
		for i, l := range *lines {
			if l.Text != want[i] || !utf8.ValidString(l.Text) {
				t.Errorf("line %d is %.50q, want %.50q", i, l.Text, want[i])
			}
		}
	})
}
