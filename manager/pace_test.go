package manager_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"
	"time"

	"thermocline"
	"thermocline/manager"
	"thermocline/manager/pool"
)

// Whatever of the pool has to do with time goes through the pace.
func TestPaceIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "pace.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	paced := map[string]bool{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			paced[f.Name.Name] = true
		}
	}
	about := func(t reflect.Type) bool {
		return t == reflect.TypeFor[time.Time]() || t == reflect.TypeFor[time.Duration]()
	}
	of := reflect.TypeFor[*pool.Pool]()
	for i := range of.NumMethod() {
		m := of.Method(i)
		timed := false
		for in := range m.Type.Ins() {
			timed = timed || about(in)
		}
		for out := range m.Type.Outs() {
			timed = timed || about(out)
		}
		if timed && !paced[m.Name] {
			t.Errorf("pace.go does not translate %s", m.Name)
		}
	}
}

// Sixty times as fast, ten minutes of keep-alive are ten seconds.
func TestPace(t *testing.T) {
	n := newNode(4096)
	o := manager.Options{
		Pool: pool.Config{KeepAlive: 10 * time.Minute, Fixed: true},
		Pace: thermocline.Pace{Origin: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), Factor: 60},
	}
	bench(t, n, o, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		for i, tt := range []struct {
			after time.Duration
			want  thermocline.StartKind
		}{{0, thermocline.StartFull}, {9 * time.Second, thermocline.StartWarm}, {12 * time.Second, thermocline.StartFull}} {
			time.Sleep(tt.after)
			res, err := m.Handle(t.Context(), invocation("f", i), yes)
			if err != nil {
				t.Fatal(err)
			}
			if res.Report.Start != tt.want {
				t.Errorf("after %v: %s, want %s", tt.after, res.Report.Start, tt.want)
			}
		}
	})
}
