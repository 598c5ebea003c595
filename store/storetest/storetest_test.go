package storetest_test

import (
	"testing"

	"thermocline/store"
	"thermocline/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Test(t, func(*testing.T) store.Store { return storetest.NewMemory() })
}
