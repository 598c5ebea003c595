package natsstore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"thermocline"
	"thermocline/store"
)

// What AppendSoon has taken is stored when Close returns, each caller's lines in
// their order, also when far more is on its way than may be unconfirmed.
func TestAppendSoon(t *testing.T) {
	dir := t.TempDir()
	_, nc := serve(t, dir)
	s := open(t, nc, dir)
	const callers, each = 16, 100
	var writing sync.WaitGroup
	for c := range callers {
		writing.Go(func() {
			for i := range each {
				line := thermocline.LogLine{
					Time: time.Now(), Account: "000000000000", Function: "f", Version: "$LATEST",
					RequestID: fmt.Sprint("caller-", c), Kind: thermocline.LogText, Text: fmt.Sprint(i),
				}
				if err := s.AppendSoon(t.Context(), []thermocline.LogLine{line}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendSoon(t.Context(), []thermocline.LogLine{{Account: "000000000000", Function: "f"}}); err == nil {
		t.Error("a closed store takes lines")
	}
	next := map[string]int{}
	again := open(t, nc, dir)
	err := again.Read(t.Context(), store.LogQuery{Account: "000000000000", Function: "f"}, func(l thermocline.LogLine) error {
		if l.Text != fmt.Sprint(next[l.RequestID]) {
			t.Errorf("%s: line %s, not %d", l.RequestID, l.Text, next[l.RequestID])
		}
		next[l.RequestID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for c := range callers {
		if n := next[fmt.Sprint("caller-", c)]; n != each {
			t.Errorf("caller %d has %d lines of %d", c, n, each)
		}
	}
}
