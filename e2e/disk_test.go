package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A disk without space refuses what would be stored, at once, with 503 and a
// message that says why; what is stored goes on to be served; and when there is
// space again everything is accepted again, by the same process.
func TestFullDisk(t *testing.T) {
	needsHost(t)
	_, python := runtimes(t)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=192m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(disk, "data")
	startOn(t, data, "--storage-reserve-mb", "32")
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	api := connect(t, data)
	const code = "def handler(event, context): return event\n"
	create(t, api, creating("f", python, zipped(t, "app.py", code)))
	echo := func() error {
		out, err := api.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte("[1]")})
		if err == nil && string(out.Payload) != "[1]" {
			err = fmt.Errorf("answered %s", out.Payload)
		}
		return err
	}
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	writes := map[string]func(i int) error{
		"create": func(i int) error {
			_, err := api.CreateFunction(t.Context(), creating(fmt.Sprint("g", i), python, zipped(t, "app.py", code, "n", fmt.Sprint(i))))
			return err
		},
		"configure": func(int) error {
			_, err := api.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Timeout: aws.Int32(9)})
			return err
		},
		"event": func(int) error {
			_, err := api.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), InvocationType: types.InvocationTypeEvent})
			return err
		},
		"key": func(int) error {
			if exit, out := command(t, nil, "keys", "create", "--data", data); exit != 0 {
				return &smithy.GenericAPIError{Code: "ServiceUnavailableException", Message: out}
			}
			return nil
		},
	}
	for _, leave := range []int64{16 << 20, 0} { // below the reserve, and nothing at all
		t.Run(fmt.Sprint(leave>>20, " MB left"), func(t *testing.T) {
			ballast := fill(t, disk, leave)
			before := inventory(t, api)
			for name, write := range writes {
				began := time.Now()
				err := write(0)
				var got smithy.APIError
				if !errors.As(err, &got) || got.ErrorCode() != "ServiceUnavailableException" || !strings.Contains(got.ErrorMessage(), "disk is full") {
					t.Errorf("%s: %v", name, err)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("%s: refused after %v", name, took)
				}
			}
			if diff := cmp.Diff(before, inventory(t, api)); diff != "" {
				t.Errorf("the store was changed:\n%s", diff)
			}
			if err := echo(); err != nil {
				t.Errorf("what is stored is not served: %v", err)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			i := int(leave>>20) + 1
			for name, write := range writes {
				for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) { // polls a server; nothing to wait on
					err := write(i)
					if err == nil {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("%s: not accepted again: %v", name, err)
					}
				}
			}
			if err := echo(); err != nil {
				t.Error(err)
			}
			updated := lambda.NewFunctionUpdatedV2Waiter(api, func(o *lambda.FunctionUpdatedV2WaiterOptions) { o.MinDelay = 100 * time.Millisecond })
			if err := updated.Wait(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("f")}, 30*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	list, err := api.ListFunctions(t.Context(), &lambda.ListFunctionsInput{})
	if err != nil || len(list.Functions) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
}

// fill writes a file until the disk has at most leave bytes free.
func fill(t *testing.T, disk string, leave int64) string {
	t.Helper()
	name := filepath.Join(disk, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 64<<10)
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		free := int64(st.Bavail)*st.Bsize - leave
		if free <= 0 {
			return name
		}
		if _, err := f.Write(chunk[:min(free, int64(len(chunk)))]); err != nil {
			return name
		}
	}
}
