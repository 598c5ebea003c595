package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"thermocline"
	"thermocline/store"
)

func testCreateAndGet(t *testing.T, s store.Store) {
	ctx := t.Context()
	_, err := s.Get(ctx, id("f"))
	want(t, err, thermocline.KindNotFound)
	_, err = s.Fresh(ctx, id("f"))
	want(t, err, thermocline.KindNotFound)

	ok(t, s.Create(ctx, function("f")))
	want(t, s.Create(ctx, function("f")), thermocline.KindConflict)
	for name, get := range map[string]func() (*thermocline.Function, error){
		"Get":   func() (*thermocline.Function, error) { return s.Get(ctx, id("f")) },
		"Fresh": func() (*thermocline.Function, error) { return s.Fresh(ctx, id("f")) },
	} {
		got, err := get()
		ok(t, err)
		same(t, name, got, function("f"))
	}
	numbered := function("g")
	numbered.Version = "1"
	want(t, s.Create(ctx, numbered), thermocline.KindInvalidParameter)

	// An absent environment is not an empty one.
	none, empty := function("none"), function("empty")
	none.Environment, empty.Environment = nil, map[string]string{}
	ok(t, s.Create(ctx, none))
	ok(t, s.Create(ctx, empty))
	got, err := s.Get(ctx, id("none"))
	ok(t, err)
	if got.Environment != nil {
		t.Error("an absent environment came back empty")
	}
	got, err = s.Get(ctx, id("empty"))
	ok(t, err)
	if got.Environment == nil {
		t.Error("an empty environment came back absent")
	}
}

func testIsolation(t *testing.T, s store.Store) {
	ctx := t.Context()
	f := function("f")
	ok(t, s.Create(ctx, f))
	f.Environment["A"] = "changed"
	f.Layers[0] = "changed"
	got, err := s.Get(ctx, id("f"))
	ok(t, err)
	same(t, "after the caller changed its own", got, function("f"))

	var kept *thermocline.Function
	_, err = s.Update(ctx, id("f"), func(f *thermocline.Function) error {
		kept = f
		f.Environment["A"] = "new"
		return nil
	})
	ok(t, err)
	if got.Environment["A"] != "b" {
		t.Error("an update changed what was returned before")
	}
	kept.Environment["A"] = "newer"
	got, err = s.Get(ctx, id("f"))
	ok(t, err)
	if got.Environment["A"] != "new" {
		t.Errorf("the environment is %q", got.Environment["A"])
	}
}

func testNames(t *testing.T, s store.Store) {
	ctx := t.Context()
	names := []string{"a", "A", "a-b", "a_b", "a.b", "a=2Eb", "a b", "a*", "a>", "*", ">", "=", "ü", "a/b", "a\x00b", "$LATEST"}
	for _, n := range names {
		f := function(n)
		f.Description = n
		ok(t, s.Create(ctx, f))
	}
	// The parts of an id do not run into one another.
	f := function("b")
	f.Account, f.Description = account+".a", "dotted"
	ok(t, s.Create(ctx, f))
	for _, n := range names {
		got, err := s.Fresh(ctx, id(n))
		ok(t, err)
		if got.Description != n || got.Name != n {
			t.Errorf("%q is %q, described as %q", n, got.Name, got.Description)
		}
	}
	fs, next, err := s.List(ctx, account, "", 100)
	ok(t, err)
	slices.Sort(names)
	same(t, "the names", namesOf(fs), names)
	if next != "" {
		t.Errorf("a marker %q at the end", next)
	}
}

func testUpdate(t *testing.T, s store.Store) {
	ctx := t.Context()
	noop := func(*thermocline.Function) error { return nil }
	_, err := s.Update(ctx, id("f"), noop)
	want(t, err, thermocline.KindNotFound)
	ok(t, s.Create(ctx, function("f")))

	refusal := errors.New("no")
	_, err = s.Update(ctx, id("f"), func(f *thermocline.Function) error {
		f.Description = "must not be seen"
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Fatalf("the error of change came back as %v", err)
	}
	got, err := s.Update(ctx, id("f"), func(f *thermocline.Function) error {
		f.MemoryMB = 256
		f.Environment = nil
		return nil
	})
	ok(t, err)
	expect := function("f")
	expect.MemoryMB, expect.Environment = 256, nil
	same(t, "returned", got, expect)
	got, err = s.Get(ctx, id("f"))
	ok(t, err)
	same(t, "stored", got, expect)

	_, err = s.Update(ctx, id("f"), func(f *thermocline.Function) error { f.Name = "g"; return nil })
	want(t, err, thermocline.KindInternal)
	_, err = s.Get(ctx, id("g"))
	want(t, err, thermocline.KindNotFound)
}

func testConcurrentUpdates(t *testing.T, s store.Store) {
	ctx := t.Context()
	ok(t, s.Create(ctx, function("f")))
	const writers, each = 16, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, err := s.Update(ctx, id("f"), func(f *thermocline.Function) error { f.Generation++; return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Get(ctx, id("f"))
	ok(t, err)
	if n := got.Generation; n != 7+writers*each {
		t.Errorf("generation %d: %d updates were lost", n, 7+writers*each-n)
	}
}

func testConcurrentCreates(t *testing.T, s store.Store) {
	created := make(chan error, 16)
	for range cap(created) {
		go func() { created <- s.Create(t.Context(), function("f")) }()
	}
	n := 0
	for range cap(created) {
		if err := <-created; err == nil {
			n++
		} else if thermocline.KindOf(err) != thermocline.KindConflict {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("created %d times", n)
	}
}

// version is a numbered version.
func version(name, number string) *thermocline.Function {
	f := function(name)
	f.Version = number
	return f
}

func testVersions(t *testing.T, s store.Store) {
	ctx := t.Context()
	want(t, s.Publish(ctx, version("f", "1")), thermocline.KindNotFound)
	_, err := s.Versions(ctx, account, "f")
	want(t, err, thermocline.KindNotFound)
	_, err = s.NextVersion(ctx, account, "f")
	want(t, err, thermocline.KindNotFound)

	ok(t, s.Create(ctx, function("f")))
	for i := range 11 {
		n, err := s.NextVersion(ctx, account, "f")
		ok(t, err)
		if n != fmt.Sprint(i+1) {
			t.Fatalf("the next version is %s, not %d", n, i+1)
		}
		v := version("f", n)
		v.Description = "number " + n
		ok(t, s.Publish(ctx, v))
		want(t, s.Publish(ctx, v), thermocline.KindConflict)
	}
	for _, bad := range []string{"", "0", "01", "-1", "1.5", "x", thermocline.Latest, "99999999999999999999"} {
		want(t, s.Publish(ctx, version("f", bad)), thermocline.KindInvalidParameter)
	}
	fs, err := s.Versions(ctx, account, "f")
	ok(t, err)
	same(t, "versions", versionsOf(fs), []string{thermocline.Latest, "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"})

	v3 := version("f", "3").FunctionID
	got, err := s.Get(ctx, v3)
	ok(t, err)
	if got.Description != "number 3" {
		t.Errorf("version 3 is %q", got.Description)
	}
	// Versions change too (their state does).
	_, err = s.Update(ctx, v3, func(f *thermocline.Function) error { f.State = thermocline.StateActive; return nil })
	ok(t, err)
	got, err = s.Fresh(ctx, v3)
	ok(t, err)
	if got.State != thermocline.StateActive {
		t.Errorf("version 3 is %s", got.State)
	}
	// An update of $LATEST does not forget the numbers.
	_, err = s.Update(ctx, id("f"), func(f *thermocline.Function) error { f.Generation++; return nil })
	ok(t, err)

	ok(t, s.Delete(ctx, version("f", "11").FunctionID))
	want(t, s.Publish(ctx, version("f", "11")), thermocline.KindConflict)
	n, err := s.NextVersion(ctx, account, "f")
	ok(t, err)
	if n != "12" {
		t.Errorf("after 11 was deleted the next version is %s", n)
	}
}

func testConcurrentPublishes(t *testing.T, s store.Store) {
	ctx := t.Context()
	ok(t, s.Create(ctx, function("f")))
	const publishers = 8
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for {
				n, err := s.NextVersion(ctx, account, "f")
				if err == nil {
					err = s.Publish(ctx, version("f", n))
				}
				if err == nil {
					return
				}
				if thermocline.KindOf(err) != thermocline.KindConflict {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	fs, err := s.Versions(ctx, account, "f")
	ok(t, err)
	same(t, "versions", versionsOf(fs), []string{thermocline.Latest, "1", "2", "3", "4", "5", "6", "7", "8"})
}

func testDelete(t *testing.T, s store.Store) {
	ctx := t.Context()
	whole := id("f")
	whole.Version = ""
	want(t, s.Delete(ctx, whole), thermocline.KindNotFound)
	want(t, s.Delete(ctx, version("f", "1").FunctionID), thermocline.KindNotFound)

	ok(t, s.Create(ctx, function("f")))
	ok(t, s.Create(ctx, function("g")))
	ok(t, s.Publish(ctx, version("f", "1")))
	ok(t, s.Publish(ctx, version("f", "2")))
	want(t, s.Delete(ctx, id("f")), thermocline.KindInvalidParameter)

	ok(t, s.Delete(ctx, version("f", "1").FunctionID))
	want(t, s.Delete(ctx, version("f", "1").FunctionID), thermocline.KindNotFound)
	_, err := s.Get(ctx, version("f", "1").FunctionID)
	want(t, err, thermocline.KindNotFound)

	ok(t, s.Delete(ctx, whole))
	for _, gone := range []thermocline.FunctionID{id("f"), version("f", "2").FunctionID} {
		_, err = s.Get(ctx, gone)
		want(t, err, thermocline.KindNotFound)
		_, err = s.Fresh(ctx, gone)
		want(t, err, thermocline.KindNotFound)
	}
	_, err = s.Versions(ctx, account, "f")
	want(t, err, thermocline.KindNotFound)
	want(t, s.Delete(ctx, whole), thermocline.KindNotFound)

	// A function of the same name starts anew.
	ok(t, s.Create(ctx, function("f")))
	fs, err := s.Versions(ctx, account, "f")
	ok(t, err)
	same(t, "versions", versionsOf(fs), []string{thermocline.Latest})
	ok(t, s.Publish(ctx, version("f", "1")))
	_, err = s.Get(ctx, id("g"))
	ok(t, err)
}

func testList(t *testing.T, s store.Store) {
	ctx := t.Context()
	fs, next, err := s.List(ctx, account, "", 10)
	ok(t, err)
	if len(fs) != 0 || next != "" {
		t.Fatalf("an empty account lists %v, %q", namesOf(fs), next)
	}
	var all []string
	for i := range 25 {
		name := fmt.Sprintf("f%02d", (i*7)%25)
		ok(t, s.Create(ctx, function(name)))
		all = append(all, name)
	}
	slices.Sort(all)
	ok(t, s.Publish(ctx, version("f00", "1"))) // is no function of its own
	other := function("other")
	other.Account = "210987654321"
	ok(t, s.Create(ctx, other))

	for _, size := range []int{1, 7, 24, 25, 26, 1000} {
		var got []string
		marker := ""
		for page := 0; ; page++ {
			fs, next, err := s.List(ctx, account, marker, size)
			ok(t, err)
			if len(fs) > size || page > 30 {
				t.Fatalf("page %d has %d functions of %d", page, len(fs), size)
			}
			got = append(got, namesOf(fs)...)
			if next == "" {
				break
			}
			marker = next
		}
		same(t, fmt.Sprintf("pages of %d", size), got, all)
	}
	// The function of a marker may be gone by the time it is used.
	fs, next, err = s.List(ctx, account, "f03x", 2)
	ok(t, err)
	same(t, "after a name that is not there", namesOf(fs), []string{"f04", "f05"})
	if next != "f05" {
		t.Errorf("the next marker is %q", next)
	}
	_, _, err = s.List(ctx, account, "", 0)
	want(t, err, thermocline.KindInvalidParameter)
	whole := id("f04")
	whole.Version = ""
	ok(t, s.Delete(ctx, whole))
	fs, _, err = s.List(ctx, account, "f03", 2)
	ok(t, err)
	same(t, "after a deletion", namesOf(fs), []string{"f05", "f06"})
}

func namesOf(fs []*thermocline.Function) (names []string) {
	for _, f := range fs {
		names = append(names, f.Name)
	}
	return names
}

func versionsOf(fs []*thermocline.Function) (versions []string) {
	for _, f := range fs {
		versions = append(versions, f.Version)
	}
	return versions
}
