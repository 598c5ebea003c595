package code_test

import (
	"os"
	"path/filepath"
	"testing"

	"thermocline"
	"thermocline/store/code"
)

func TestScratch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	if err := os.MkdirAll(filepath.Join(dir, "left", "task"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := code.NewScratch(dir, 32<<10)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("what a dead owner left is there: %v", left)
	}
	zip := zipOf(t, f{"main.py", 0o644, "print(1)"})
	task, release, err := s.Unpack(t.Context(), zip)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(task, "main.py")); err != nil || string(got) != "print(1)" {
		t.Errorf("unpacked %q, %v", got, err)
	}
	// Each entry counts with what it takes at least; the bound holds for all.
	var releases []func()
	for {
		_, release, err := s.Unpack(t.Context(), zip)
		if err != nil {
			if thermocline.KindOf(err) != thermocline.KindRefused {
				t.Fatal(err)
			}
			break
		}
		if releases = append(releases, release); len(releases) > 8 {
			t.Fatal("nothing bounds what is unpacked at once")
		}
	}
	for _, release := range append(releases, release, release) {
		release()
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left after its release", left)
	}
	if _, _, err := s.Unpack(t.Context(), []byte("no zip")); thermocline.KindOf(err) != thermocline.KindInvalidParameter {
		t.Errorf("no zip: %v", err)
	}
	if _, release, err := s.Unpack(t.Context(), zip); err != nil {
		t.Errorf("what failed has kept room: %v", err)
	} else {
		release()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("the directory is left after Close")
	}
}

func TestCheckProgram(t *testing.T) {
	large := zipOf(t, f{"main.js", 0o644, string(make([]byte, code.MaxScratch))})
	if err := code.CheckProgram(large); thermocline.KindOf(err) != thermocline.KindInvalidParameter {
		t.Errorf("a program of %d bytes: %v", code.MaxScratch, err)
	}
	s, err := code.NewScratch(t.TempDir(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Unpack(t.Context(), large); thermocline.KindOf(err) != thermocline.KindInvalidParameter {
		t.Errorf("unpack a program of %d bytes: %v", code.MaxScratch, err)
	}
	if err := code.CheckProgram(zipOf(t, f{"main.js", 0o644, "1"})); err != nil {
		t.Error(err)
	}
}
